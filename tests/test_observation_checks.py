"""Observations that cannot be scored are refused, each with its remedy."""

import numpy as np
import pytest

from gencarbon.errors import InputError
from gencarbon.observation_scores import score_columns, score_stations

PPM = {"units": "1e-6"}


def _with(ds, name, value=np.nan, **where):
    """`ds` with NaN, or another value, in one place of one variable."""
    changed = ds[name].copy(deep=True)
    changed[where] = value
    return ds.assign({name: changed})


def _rename_kernel(S, **names):
    return S.drop_vars("averaging_kernel").assign(averaging_kernel=S.averaging_kernel.rename(names))


BAD_STATIONS = {
    "one member": (lambda E, S: (E.isel(member=[0]), S), "expected at least 2 members, got 1; sample more"),
    "no level": (lambda E, S: (E, S.drop_vars("level")), r"stations: expected .* got no \['level'\].*; rename yours"),
    "wrong dims": (
        lambda E, S: (E, S.rename(station="site")),
        r"stations: co2: expected dims \('station', 'time'\), got \('site', 'time'\); rename",
    ),
    "units": (
        lambda E, S: (E, S.assign(co2=S.co2.assign_attrs(units="mol mol-1"))),
        "stations: co2: expected dry ppm, units 1e-6, got units 'mol mol-1'; convert it",
    ),
    "error units": (
        lambda E, S: (E, S.assign(co2_error=S.co2_error.drop_attrs())),
        "stations: co2_error: expected dry ppm, .* got units None",
    ),
    "ensemble units": (
        lambda E, S: (E.assign(co2=E.co2.assign_attrs(units="kg kg-1")), S),
        "ensemble: co2: expected dry ppm",
    ),
    "error dims": (
        lambda E, S: (E, S.assign(co2_error=("time", np.ones(9), PPM))),
        r"stations: co2_error: expected dims \('station', 'time'\), got \('time',\); rename",
    ),
    "error of zero": (
        lambda E, S: (E, _with(S, "co2_error", station=2, value=0.0)),
        "stations: co2_error: expected errors above 0, got 9 of 45 at or below 0; correct",
    ),
    "latitude": (
        lambda E, S: (E, S.assign_coords(lat=S.lat + 200)),
        r"stations: lat: expected degrees within -90 \.\. 90, got 5 of 5 outside, first .*; correct or drop",
    ),
    "longitude": (lambda E, S: (E, S.assign_coords(lon=S.lon * np.nan)), "stations: lon: .* 5 of 5 outside, first nan"),
    "level": (
        lambda E, S: (E, S.assign_coords(level=S.level + 2)),
        r"stations: level: expected levels of the ensemble, \[1, 2, 3\], got \[.*\]; give the model layer",
    ),
    "times": (
        lambda E, S: (E.isel(time=slice(0, 6)), S),
        r"stations: time: expected times of the ensemble, .* got 3 of 9 missing, first 2001-01-02T12.*; average",
    ),
    "repeated times": (
        lambda E, S: (E, S.isel(time=[0, 1, 1, 2])),
        "each time once, got 1 repeated; drop them",
    ),
    "NaN": (
        lambda E, S: (E, _with(S, "co2", station=1, time=4)),
        "stations: co2: expected finite .* got NaN in 1 of 45 observations; leave them out .*mask_nan=True",
    ),
    "all NaN": (lambda E, S: (E, _with(S, "co2")), "got NaN in 45 of 45 observations; give others, none is left"),
    "no times": (lambda E, S: (E, S.isel(time=[])), "got NaN in 0 of 0 observations; give others"),
    "NaN in a member": (
        lambda E, S: (_with(E, "co2", member=4, time=3), S),
        "ensemble: co2: expected finite values, got NaN at 5 of 40 observations, first in member 4; sample that",
    ),
    "north first": (lambda E, S: (E.isel(lat=slice(None, None, -1)), S), "ensemble: lat: expected increasing .*sortby"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_STATIONS)
def test_bad_stations_are_refused(at_stations, case):
    spoil, message = BAD_STATIONS[case]
    with pytest.raises(InputError, match=message):
        score_stations(*spoil(*at_stations))


BAD_SOUNDINGS = {
    "kernel on model levels": (
        lambda E, S: (E, _rename_kernel(S, retrieval_level="level")),
        r"averaging_kernel: expected dims \('sounding', 'retrieval_level'\), got \('sounding', 'level'\); "
        "give it on the retrieval's levels: the model is interpolated to them",
    ),
    "one kernel for all": (
        lambda E, S: (E, S.assign(averaging_kernel=S.averaging_kernel[0])),
        r"averaging_kernel: expected dims .* got \('retrieval_level',\); rename or select",
    ),
    "weights with the kernel in them": (
        lambda E, S: (E, S.assign(pressure_weight=S.pressure_weight * S.averaging_kernel)),
        r"pressure_weight: expected weights that sum to 1 .* got \d+ of 20 soundings that do not, first 0\.\d+; give",
    ),
    "pressure units": (
        lambda E, S: (E, S.assign(pressure_level=S.pressure_level.drop_attrs())),
        "pressure_level: expected units Pa or hPa, got units None; set",
    ),
    "fill value": (
        lambda E, S: (E, _with(S, "pressure_level", sounding=3, value=-999.0)),
        "soundings: xco2: .* got NaN in 1 of 20",
    ),
    "prior units": (
        lambda E, S: (E, S.assign(co2_prior=S.co2_prior.assign_attrs(units="mol/mol"))),
        "co2_prior: expected dry ppm",
    ),
    "error": (
        lambda E, S: (E, _with(S, "xco2_error", sounding=[1, 2], value=-1.0)),
        "soundings: xco2_error: expected errors above 0, got 2 of 20",
    ),
    "too late": (
        lambda E, S: (E.isel(time=slice(0, 4)), S),
        r"soundings: time: expected times within half a step of a frame, .* got \d+ of 20 soundings farther off; drop",
    ),
    "no soundings": (lambda E, S: (E, S.isel(sounding=[])), "got NaN in 0 of 0 observations; give others"),
    "one frame": (lambda E, S: (E.isel(time=[0]), S), "at least 2 frames, got 1; give a longer period"),
    "no levels": (lambda E, S: (E.drop_vars("hybrid_a"), S), r"ensemble: expected .* got no \['hybrid_a'\]"),
    "NaN in a member": (
        lambda E, S: (_with(E, "co2", member=2), S),
        "got NaN at 20 of 20 observations, first in member 2; sample that member again, or leave them out",
    ),
    "latitude": (lambda E, S: (E, S.assign_coords(lat=S.lat * 0 + 95)), "soundings: lat: .* 20 of 20 outside, first 95"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_SOUNDINGS)
def test_bad_soundings_are_refused(of_columns, case):
    spoil, message = BAD_SOUNDINGS[case]
    with pytest.raises(InputError, match=message):
        score_columns(*spoil(*of_columns))
