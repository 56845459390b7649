"""Do members move as transport would move them?"""

import numpy as np
import pytest
import xarray as xr

from gencarbon.errors import InputError
from gencarbon.grid import HybridLevels, LatLonGrid
from gencarbon.residual import check_winds, transport_residual
from gencarbon.sampling.coarse_run import air_motion
from gencarbon.transport.offline import OfflineRun
from tests import canonical

FIELD = ("time", "level", "lat", "lon")


@pytest.fixture(scope="module")
def carried():
    """Three members carried by the transport itself, exactly, and the second of them as reference."""
    winds, fluxes = canonical.winds(), canonical.fluxes()
    grid, levels = LatLonGrid.from_dataset(winds), HybridLevels.from_dataset(winds)
    air = air_motion(winds, grid, levels, canonical.STEP_SECONDS)
    start = canonical.background(1).co2.values[0] + np.random.default_rng(0).standard_normal((3, 3, 8, 16))
    flux = np.broadcast_to(fluxes.flux.values, (3, *fluxes.flux.shape))
    co2 = np.stack(list(OfflineRun(grid, levels, "ppm").states(start, flux, air)), axis=1)
    E = canonical.ensemble_template().assign(co2=(("member", *FIELD), co2, {"units": "1e-6"}))
    R = canonical.reference().assign(co2=(FIELD, co2[1], {"units": "1e-6"}))
    return E.transpose("member", *FIELD, ...), R, winds


def test_members_carried_by_the_transport_have_no_residual(carried):
    E, R, winds = carried
    found = transport_residual(E, R, check_winds(E, winds))
    assert float(found.continuity_residual_members.max()) < 1e-10
    assert float(found.continuity_layer_members.max()) < 1e-11
    for name in found.data_vars:
        assert found[name].attrs["units"] == "1e-6"


def test_a_disturbed_layer_shows_in_its_own_level(carried):
    E, R, winds = carried
    noise = 0.1 * np.random.default_rng(1).standard_normal(E.co2.shape) * (E.level.values == 2)[:, None, None]
    found = transport_residual(E.assign(co2=E.co2 + noise), R, check_winds(E, winds))
    rms = found.continuity_residual_members.values
    assert rms[1] == pytest.approx(0.1 * np.sqrt(1 + 0.8), rel=0.2)  # of two frames, the first carried
    assert rms[1] > 2 * max(rms[0], rms[2])
    assert float(found.continuity_residual_reference.max()) < 1e-10
    frames = xr.DataArray(np.arange(E.sizes["time"]), dims="time")
    leak = transport_residual(
        E.assign(co2=(E.co2 + 0.01 * frames * (E.level == 1)).transpose(*E.co2.dims)),
        R,
        check_winds(E, winds),
    )
    assert float(leak.continuity_layer_members[0]) == pytest.approx(
        0.01, rel=0.5
    )  # ppm per frame into the lowest layer


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda E, w: (E.drop_vars("flux"), w), "expected flux .* got no flux; add it, or leave --winds out"),
        (lambda E, w: (E, w.isel(lon=slice(0, 8))), "winds: lon: expected 16 values as in the ensemble, got 8 others"),
        (lambda E, w: (E, w.isel(time=slice(0, 5))), "every time of the ensemble, got 4 missing, first 2001-01-02T06"),
    ],
)  # fmt: skip
def test_winds_that_do_not_belong_are_refused(carried, spoil, message):
    E, _, winds = carried
    with pytest.raises(InputError, match=message):
        check_winds(*spoil(E, winds))


def test_the_residual_is_lazy_over_members(carried):
    E, R, winds = carried
    lazy = E.chunk({"time": 1})
    xr.testing.assert_allclose(
        transport_residual(lazy, R, check_winds(E, winds)), transport_residual(E, R, check_winds(E, winds))
    )
