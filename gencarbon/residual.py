"""Box by box, layer by layer: does a member's CO2 move as transport would move it?

    residual_n = x_(n+1) - S(x_n; air, flux)

S is our own transport over one frame, applied to the ensemble's own fields. A fine reference has a residual on the model grid too (what the
coarse grid cannot resolve): members should have as much, no more and no less.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from gencarbon.constants import SECONDS_PER_DAY
from gencarbon.data.axes import step_of
from gencarbon.data.refusal import refusal
from gencarbon.data.store import canonical
from gencarbon.evaluation_checks import FIELD
from gencarbon.grid import HybridLevels, LatLonGrid
from gencarbon.metrics import Mean
from gencarbon.metrics.field import Array
from gencarbon.sampling.coarse_run import air_motion
from gencarbon.threads import one_thread
from gencarbon.transport.offline import AirMotion, OfflineRun

FRAMES, MEMBERS = (
    8,
    8,
)  # evenly spread frames and first members that are looked at: each costs a transport step
SCHEME = "ppm"
PPM = "1e-6"


def check_winds(ensemble: xr.Dataset, winds: xr.Dataset) -> xr.Dataset:
    """Canonical winds of the ensemble's frames; refuses those that do not belong to it, and an ensemble without fluxes."""
    if "flux" not in ensemble:
        raise refusal(
            "ensemble",
            "flux (time, lat, lon), kg m-2 s-1, to carry its CO2 from frame to frame",
            "no flux",
            "add it, or leave --winds out",
        )
    if "member" in ensemble.flux.dims:
        raise refusal(
            "ensemble: flux",
            "fluxes of all members alike where --winds is given",
            "those of each member",
            "leave --winds out",
        )
    for name in ("level", "lat", "lon"):
        mine, theirs = ensemble[name].values, winds[name].values if name in winds.coords else np.array([])
        if mine.shape != theirs.shape or (name != "level" and not np.allclose(mine, theirs, atol=1e-4)):
            raise refusal(
                f"winds: {name}",
                f"{mine.size} values as in the ensemble",
                f"{theirs.size} others",
                "give the winds of the ensemble's grid and levels",
            )
    missing = ~np.isin(ensemble.time.values, winds.time.values if "time" in winds.coords else [])
    if missing.any():
        raise refusal(
            "winds: time",
            "every time of the ensemble",
            f"{missing.sum()} missing, first {ensemble.time.values[missing][0]}",
            "give the winds of the same period",
        )
    return canonical(winds.sel(time=ensemble.time), "winds")


def transport_residual(ensemble: xr.Dataset, reference: xr.Dataset, winds: xr.Dataset) -> xr.Dataset:
    """RMS residual of members and of the reference by level, and what it adds up to over a layer, ppm per frame.

    winds: from `check_winds`. A layer's sum is what moved through its bottom and top unlike in the transport; over all layers it is
    the mass budget's error.
    """
    grid, levels = LatLonGrid.from_dataset(winds), HybridLevels.from_dataset(winds)
    seconds = float(step_of(winds["time"]) / np.timedelta64(1, "s"))
    run, last = OfflineRun(grid, levels, SCHEME), ensemble.sizes["time"] - 1
    totals: dict[str, list[Mean]] = {
        name: [] for name in ("members", "reference", "layer_members", "layer_reference")
    }
    for n in np.unique(np.linspace(0, last - 1, min(last, FRAMES)).round().astype(int)):
        pair = slice(n, n + 2)
        air = air_motion(winds.isel(time=pair), grid, levels, seconds)
        flux = ensemble.flux.isel(time=pair).transpose("time", "lat", "lon").values
        co2 = ensemble.co2.isel(time=pair, member=slice(MEMBERS)).transpose("member", *FIELD).values
        truth = reference.co2.sel(time=ensemble.time[pair]).transpose(*FIELD).values[np.newaxis]
        if not (np.isfinite(co2).all() and np.isfinite(truth).all()):
            raise refusal(
                "ensemble: co2",
                "finite values where --winds is given",
                "NaN",
                "leave --winds out: nothing can carry a gap",
            )
        weight = levels.air_mass(air.surface_pressure[1], grid)
        for name, x in (("members", co2), ("reference", truth)):
            gap = residual(run, x, flux, air)
            totals[name].append(Mean.of(gap**2, weight, axis=(0, 2, 3)))
            layer = Mean.of(gap, weight, axis=(2, 3)).value
            totals[f"layer_{name}"].append(Mean.of(layer**2, 1.0, axis=0))
    found = {name: np.sqrt(Mean.stack(means).sum(axis=0).value) for name, means in totals.items()}
    step = f"per step of {seconds / SECONDS_PER_DAY:g} days"
    who = {"members": "of members", "reference": "of the reference"}
    data = {}
    for name, of in who.items():
        data[f"continuity_residual_{name}"] = (
            found[name],
            f"RMS departure {of} from {SCHEME} transport of their own fields, {step} (ppm)",
        )
        data[f"continuity_layer_{name}"] = (
            found[f"layer_{name}"],
            f"RMS over frames of the departure {of} summed over a layer, {step} (ppm)",
        )
    return xr.Dataset(
        {name: ("level", values, {"units": PPM, "long_name": text}) for name, (values, text) in data.items()},
        {"level": ensemble.level.values.astype(np.int64)},
    )


def residual(run: OfflineRun, x: Array, flux: Array, air: AirMotion) -> Array:
    """x_1 - S(x_0), (member, level, lat, lon) ppm. x: (member, 2, level, lat, lon) ppm; flux: (2, lat, lon) kg m-2 s-1; air: two frames."""
    base = float(x[:, 0].mean())  # carried exactly by hand, so that round-off is that of the anomalies
    start = np.asarray(x[:, 0], np.float64) - base
    with one_thread():
        _, end = run.states(start, np.broadcast_to(flux, (len(x), *flux.shape)), air)
    return np.asarray(x[:, 1], np.float64) - base - end
