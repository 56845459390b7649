"""`Scores`: the open sums of an evaluation, which add over initial dates, and the dataset they end in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from gencarbon.errors import InputError
from gencarbon.metrics import Mean, ratio, skill, spread_skill_ratio
from gencarbon.metrics.ranks import nominal_coverage
from gencarbon.probes import Probes

Array = NDArray[np.float64]

BASELINES = {
    "coarse": "co2_background",
    "van_leer": "co2_van_leer",
    "ppm": "co2_ppm",
    "refined": "co2_refined",
    "mean_network": "co2_mean_network",
}
TITLES = {
    "coarse": "the coarse run",
    "van_leer": "the limited van Leer run",
    "ppm": "the limited PPM run",
    "refined": "the refined run",
    "mean_network": "the mean network",
}

PPM = "1e-6"
NAMES: dict[str, tuple[str, str]] = {
    "crps": (PPM, "fair CRPS of CO2 (ppm)"),
    "spread": (PPM, "ensemble spread, root of the mean variance with M - 1 (ppm)"),
    "rmse": (PPM, "RMSE of the ensemble mean (ppm)"),
    "bias": (PPM, "bias of the ensemble mean (ppm)"),
    "spread_skill": ("1", "spread-skill ratio, sqrt((M + 1) / M variance / squared error); 1 = calibrated"),
    "co2_std": (PPM, "standard deviation of the reference CO2 in space (ppm)"),
    "crps_over_std": ("1", "fair CRPS / standard deviation of CO2"),
    "coverage": ("1", "share of the reference inside the central interval of the members"),
    "coverage90": (
        "1",
        "share of the reference inside the central 90 % of the members, interpolated between ranks",
    ),
    "energy_score": (PPM, "fair energy score of whole layers, RMS norm (ppm)"),
    "variogram_score": (
        PPM,
        "variogram score, p = 1/2, mean over ordered pairs of probes, biased in M (ppm)",
    ),
}
for _key, _name in TITLES.items():
    NAMES |= {
        f"{_key}_mae": (PPM, f"mean absolute error of {_name} (ppm)"),
        f"{_key}_rmse": (PPM, f"RMSE of {_name} (ppm)"),
        f"{_key}_bias": (PPM, f"bias of {_name} (ppm)"),
        f"crps_over_{_key}_mae": ("1", f"fair CRPS / mean absolute error of {_name}"),
        f"crps_skill_{_key}": ("1", f"CRPS skill, 1 - CRPS / mean absolute error of {_name}"),
    }

SPECTRA = {
    "spectrum_reference": "power of the reference by spherical-harmonic degree (ppm2)",
    "spectrum_members": "power of single members by spherical-harmonic degree, their mean (ppm2)",
    "spectrum_mean": "power of the ensemble mean by spherical-harmonic degree (ppm2): smoother than any member",
}

GROUPS = {  # axes of (start, lead_time, level) that are pooled
    "": ((0,), ("lead_time", "level"), ""),
    "_by_lead": ((0, 2), ("lead_time",), ", all levels"),
    "_by_level": ((0, 1), ("level",), ", all lead times"),
    "_overall": ((0, 1, 2), (), ", all lead times and levels"),
}


@dataclass(frozen=True)
class Scores:
    """Sums and weights by start, lead time and level. `a + b` puts two ensembles side by side; `to_dataset` pools and divides, once.

    lead_time: (lead_time,) days; level: (level,); means: name -> Mean (start, lead_time, level), the 3-D variance
    `co2_variance_frame` (start, lead_time, 1); rank_count: (lead_time, level, rank), ranks 0..M;
    budget_error: (start, member, lead_time), NaN where it cannot be known; probes: time series at some points; spectra: name -> Mean
    (level, degree); start: (start,) datetime64[ns] of the first frames.
    """

    lead_time: Array
    level: NDArray[np.int64]
    means: Mapping[str, Mean]
    rank_count: Array
    budget_error: Array
    probes: Probes
    spectra: Mapping[str, Mean]
    start: NDArray[np.datetime64]
    attrs: Mapping[str, str | int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "means", MappingProxyType(dict(self.means)))
        object.__setattr__(self, "spectra", MappingProxyType(dict(self.spectra)))
        object.__setattr__(self, "attrs", MappingProxyType(dict(self.attrs)))

    def __reduce__(self) -> tuple:
        """For pickle, which cannot keep read-only mappings."""
        values = (getattr(self, one.name) for one in fields(self))
        return Scores, tuple(dict(v) if isinstance(v, MappingProxyType) else v for v in values)

    @property
    def members(self) -> int:
        """Ensemble size M."""
        return self.rank_count.shape[-1] - 1

    def __add__(self, other: Scores) -> Scores:
        """Pool two ensembles of the same size, lead times, levels and baselines (say, two initial dates)."""
        for name, mine, theirs in (
            ("ensemble size", self.members, other.members),
            ("lead times (days)", self.lead_time.tolist(), other.lead_time.tolist()),
            ("levels", self.level.tolist(), other.level.tolist()),
            ("scores", sorted(self.means), sorted(other.means)),
            ("grid", *(np.stack([p.lat, p.lon]).round(6).tolist() for p in (self.probes, other.probes))),
        ):
            if mine != theirs:
                raise InputError(
                    f"ensembles are pooled only with the same {name}: expected {mine}, got {theirs}; "
                    "select what they share before evaluating"
                )
        if twice := np.intersect1d(self.start, other.start).astype(str).tolist():
            raise InputError(f"expected each initial date once, got {twice} in both; pool different dates")
        return Scores(
            self.lead_time,
            self.level,
            {name: Mean.concatenate([mean, other.means[name]]) for name, mean in self.means.items()},
            self.rank_count + other.rank_count,
            np.concatenate([self.budget_error, other.budget_error]),
            self.probes + other.probes,
            _united(self.spectra, other.spectra),
            np.concatenate([self.start, other.start]),
            {k: _joined(v, other.attrs[k]) for k, v in self.attrs.items() if k in other.attrs}
            | _masked(self, other),
        )

    def resampled(self, starts: NDArray[np.int64]) -> Scores:
        """The sums of these initial dates, by number, each as often as it is named: for the bootstrap. Ranks and probes stay whole."""
        means = {name: Mean(mean.total[starts], mean.weight[starts]) for name, mean in self.means.items()}
        return replace(self, means=means)

    def to_dataset(self) -> xr.Dataset:
        """All scores, by (lead_time, level) and pooled: `_by_lead`, `_by_level`, `_overall`."""
        ds = xr.Dataset(coords=self._coordinates())
        for suffix, (axes, dims, scope) in GROUPS.items():
            for name, value in self.figures(axes).items():
                units, long_name = NAMES[name]
                ds[name + suffix] = (dims, value, {"units": units, "long_name": long_name + scope})
            counts = self.rank_count.sum(axis=tuple(axis - 1 for axis in axes if axis > 0))
            long_name = "cells whose reference has this rank among the members" + scope
            ds["rank_count" + suffix] = ((*dims, "rank"), counts, {"units": "1", "long_name": long_name})
        law = "|mass - initial mass - accumulated flux| / |accumulated net flux|"
        ds["budget_error"] = (
            ("start", "member", "lead_time"),
            self.budget_error,
            {"units": "1", "long_name": law},
        )
        largest = {"units": "1", "long_name": f"largest {law}"}
        ds["budget_error_max_by_lead"] = ("lead_time", self.budget_error.max(axis=(0, 1)), largest)
        ds["budget_error_max"] = ((), self.budget_error.max(), largest)
        ds = ds.merge(self.probes.figures(self.lead_time))
        for name, mean in self.spectra.items():
            ds[name] = (("level", "degree"), mean.value, {"units": "1e-12", "long_name": SPECTRA[name]})
        ds.attrs = {
            "title": "Scores of a CO2 ensemble against reference transport",
            "Conventions": "CF-1.11",
            "weights": "mass of dry air per cell",
            "members": self.members,
            "nominal_coverage": round(nominal_coverage(self.members), 6),
            **self.attrs,
        }
        return ds

    def _coordinates(self) -> dict[str, tuple[str, np.ndarray, dict[str, str]]]:
        since = (self.start - np.datetime64("1970-01-01T00:00:00")) / np.timedelta64(1, "D")
        return {
            "lead_time": (
                "lead_time",
                self.lead_time,
                {
                    "units": "day",
                    "long_name": "time since the first frame",
                    "standard_name": "forecast_period",
                },
            ),
            "level": (
                "level",
                self.level,
                {
                    "units": "1",
                    "long_name": "model layer, from the surface up",
                    "axis": "Z",
                    "positive": "up",
                },
            ),
            **self._degrees(),
            "rank": (
                "rank",
                np.arange(self.members + 1),
                {"units": "1", "long_name": "rank of the reference, 0..M"},
            ),
            "member": (
                "member",
                np.arange(self.budget_error.shape[1]),
                {"units": "1", "standard_name": "realization"},
            ),
            "start": (
                "start",
                since,
                {"units": "day", "long_name": "first frame, days since 1970-01-01 00:00 UTC"},
            ),
        }

    def _degrees(self) -> dict[str, tuple[str, np.ndarray, dict[str, str]]]:
        if not self.spectra:
            return {}
        count = next(iter(self.spectra.values())).total.shape[-1]
        return {
            "degree": ("degree", np.arange(count), {"units": "1", "long_name": "spherical-harmonic degree"})
        }

    def figures(self, axes: tuple[int, ...]) -> dict[str, Array]:
        """Every score of `NAMES` that can be had, pooled over `axes` of (start, lead_time, level)."""
        m = {name: mean.sum(axes).value for name, mean in self.means.items()}
        std = np.sqrt(m["co2_variance_frame"] if 2 in axes else m["co2_variance"])
        out = {
            "crps": m["crps"],
            "spread": np.sqrt(m["variance"]),
            "rmse": np.sqrt(m["squared_error"]),
            "bias": m["error"],
            "spread_skill": spread_skill_ratio(m["variance"], m["squared_error"], self.members),
            "co2_std": std,
            "crps_over_std": ratio(m["crps"], std),
            **{name: m[name] for name in ("coverage", "coverage90", "energy_score", "variogram_score")},
        }
        for key in BASELINES:
            if f"{key}_absolute_error" in m:
                mae = m[f"{key}_absolute_error"]
                out |= {
                    f"{key}_mae": mae,
                    f"{key}_rmse": np.sqrt(m[f"{key}_squared_error"]),
                    f"{key}_bias": m[f"{key}_error"],
                    f"crps_over_{key}_mae": ratio(m["crps"], mae),
                    f"crps_skill_{key}": skill(m["crps"], mae),
                }
        return out


def _united(mine: Mapping[str, Mean], theirs: Mapping[str, Mean]) -> dict[str, Mean]:
    both = {name: mean + theirs[name] for name, mean in mine.items() if name in theirs}
    return {**mine, **theirs, **both}


def _masked(mine: Scores, theirs: Scores) -> dict[str, int]:
    counts = [int(s.attrs["masked_cells"]) for s in (mine, theirs) if "masked_cells" in s.attrs]
    return {"masked_cells": sum(counts)} if counts else {}


def _joined(mine: str | int, theirs: str | int) -> str | int:
    return mine if mine == theirs else f"{mine}, {theirs}"
