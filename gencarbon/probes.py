"""Whole time series at a few points: what they say of time, and of calibration where points know little of each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from gencarbon.metrics.field import Array
from gencarbon.metrics.ranks import count_ranks, decorrelated_points, flatness, ranks, reliability_index
from gencarbon.metrics.temporal import autocorrelation, hovmoeller_w1, waiting_time_w1

SEED = 1  # ties of the ranks
MOST_LAGS = 40
W1 = "Wasserstein-1 distance of members from the reference at the probes:"
HIGH = 0.9  # quantile of the reference beyond which waiting times are counted


@dataclass(frozen=True)
class Probes:
    """lat, lon: (point,) degrees; members: (start, member, lead_time, level, point) ppm; truth: (start, lead_time, level, point)."""

    lat: Array
    lon: Array
    members: Array
    truth: Array

    def __add__(self, other: Probes) -> Probes:
        """Other initial dates at the same points."""
        return Probes(
            self.lat,
            self.lon,
            np.concatenate([self.members, other.members]),
            np.concatenate([self.truth, other.truth]),
        )

    def figures(self, lead_time: Array) -> xr.Dataset:
        """Flatness of ranks on decorrelated points by level, autocorrelation, changes from frame to frame, waiting times."""
        return self._flatness().merge(self._memory(lead_time))

    def _flatness(self) -> xr.Dataset:
        rng = np.random.default_rng(SEED)
        found: list[tuple[Any, ...]] = []
        M = self.members.shape[1]
        for k in range(self.truth.shape[-2]):
            whole = np.isfinite(self.truth[..., k, :]).all(axis=(0, 1))  # probes that are never masked
            members, truth = self.members[..., k, whole], self.truth[..., k, whole]
            if not whole.any():
                found.append((np.nan, np.nan, np.nan, 0, 0, 0))
                continue
            step, points = decorrelated_points(members.mean(axis=1) - truth, self.lat[whole], self.lon[whole])
            rank = ranks(members[:, :, ::step][..., points], truth[:, ::step][..., points], rng, axis=1)
            counts = count_ranks(rank, M)
            found.append((*flatness(counts), reliability_index(counts), counts.sum(), step, len(points)))
        names = {
            "rank_chi2": "chi-squared of ranks per degree of freedom, decorrelated points only",
            "rank_p_value": "probability of such ranks if calibrated, decorrelated points only",
            "reliability_index": "sum of |share - 1 / (M + 1)| over ranks, decorrelated points only",
            "rank_points": "decorrelated points and times",
            "decorrelation_steps": "frames after which errors are decorrelated",
            "decorrelated_places": "places whose errors are decorrelated",
        }
        columns = np.array(found, dtype=np.float64).T
        return xr.Dataset(
            {name: ("level", column, _attrs(text)) for (name, text), column in zip(names.items(), columns)}
        )

    def _memory(self, lead_time: Array) -> xr.Dataset:
        times, whole = self.truth.shape[1], np.isfinite(self.truth).all(axis=(0, 1, 2))
        if times < 6 or not whole.any():
            return xr.Dataset()
        if not whole.all():
            lat, lon = self.lat[whole], self.lon[whole]
            return Probes(lat, lon, self.members[..., whole], self.truth[..., whole])._memory(lead_time)
        lags = np.arange(min(times // 2, MOST_LAGS))
        by_time = lambda x: np.moveaxis(x, -3, 0)  # noqa: E731
        step = float(lead_time[1] - lead_time[0])
        threshold = np.quantile(self.truth, HIGH, axis=(0, 1))
        waits = (
            waiting_time_w1(by_time(self.members - threshold), by_time(self.truth - threshold), 0.0) * step
        )
        both = {"reference": self.truth, "members": self.members}
        found: dict[str, tuple[Any, ...]] = {
            f"autocorrelation_{name}": (
                "lag",
                autocorrelation(by_time(x), lags),
                _attrs(f"autocorrelation in time of the {name} at the probes"),
            )
            for name, x in both.items()
        }
        found["step_change_w1"] = (
            "level",
            self._step_changes(),
            _attrs(f"{W1} changes from frame to frame (ppm)", "1e-6"),
        )
        found["waiting_time_w1"] = (
            (),
            waits,
            _attrs(f"{W1} waits for values above the reference's 90th percentile", "day"),
        )
        return xr.Dataset(found, {"lag": ("lag", lags * step, {"units": "day", "long_name": "lag"})})

    def _step_changes(self) -> Array:
        """By level: do members move from frame to frame as much as the reference does?"""
        pairs = ((self.members[..., k, :], self.truth[..., k, :]) for k in range(self.truth.shape[-2]))
        return np.array([hovmoeller_w1(members, truth) for members, truth in pairs])


def _attrs(long_name: str, units: str = "1") -> dict[str, str]:
    return {"units": units, "long_name": long_name}
