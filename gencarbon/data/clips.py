"""Training windows: any mixture of tagged tracers, rotated in longitude and mirrored in latitude, as torch tensors.

A sample is a pure function of (seed, index), so that training resumes exactly and worker counts do not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor
from torch.utils.data import Dataset

from gencarbon.data.backgrounds import KINDS, NAMES, REFERENCE, WIDER, with_blocks_of
from gencarbon.data.normalize import Normalizer, clock, face_winds
from gencarbon.errors import InputError
from gencarbon.grid import HybridLevels, LatLonGrid
from gencarbon.transport.variance import pair_weights

LEVEL_FIELDS = ("u_face", "v_face", "background", "refined", "variance", "residual", "air_mass")
OVERLAP = 2  # frames of a window of a roll-out that the previous one has made
NO_BACKGROUND = 0.25  # share of samples with nothing but winds, fluxes and the refined run
MIX_TOTAL = 0.5  # share of samples that are the benchmark's CO2 as it is; the others are random mixtures
AT_START = 0.15  # share of samples that begin with a segment of the refined run, as the first window of a forecast does
FROM_BEGINNINGS = 0.25  # share of samples taken from each set of short runs
NEXT = "next_"  # begins the names of what belongs to the window after


def spanned(frames: int, followed: bool) -> int:
    """Frames of a sample: one window, or two that overlap as those of a roll-out do."""
    return 2 * frames - OVERLAP if followed else frames


class ClipDataset(Dataset):
    """Windows of `frames` frames of a benchmark store held in memory: the refined run, one of the backgrounds, and what the refined run
    lacks. augment=False gives the plain CO2 with the benchmark's coarse run, in order.

    followed: samples hold the window after, too, under names of `next_`: what a roll-out makes next. store: with its `background_runs`,
    `tracer_refined` and `tracer_variance`. beginnings: sets of short runs, each run a sample long (`beginnings_of`).
    """

    def __init__(
        self,
        store: xr.Dataset,
        frames: int,
        length: int,
        seed: int,
        augment: bool = True,
        beginnings: Sequence[ClipDataset] = (),
        followed: bool = False,
    ):
        self.beginnings, self.followed = beginnings, followed
        self.frames, self.length, self.seed, self.augment = frames, length, seed, augment
        self.grid, levels = LatLonGrid.from_dataset(store), HybridLevels.from_dataset(store)
        self.time, self.step_seconds = store["time"].values, float(store.attrs["step_seconds"])
        load = lambda name: np.asarray(store[name].values, np.float32)  # noqa: E731
        self.tracer = load("tracer")
        self.backgrounds = {kind: load(name) for kind, name in NAMES.items()}
        for name, maker in (("tracer_refined", "refined_run_of"), ("tracer_variance", "variances_of")):
            if name not in store:
                raise InputError(
                    f"training needs the refined run of the split and its variance, got a store without {name}; make it with `{maker}`"
                )
        self.refined = load("tracer_refined")
        about = store["tracer_refined"].attrs
        self.segment = int(about["segment_frames"])
        self.begins_from = tuple(about["begins_from"])
        self.refined_by = str(about["scheme"]), int(about["factor"])
        self.variance = store["tracer_variance"].values  # in its file, read as it is needed
        self.flux = load("tracer_flux")
        self.surface_pressure = np.asarray(store["surface_pressure"].values)
        self.in_total = store["in_total"].values
        self.levels = levels
        air = levels.air_mass(self.surface_pressure, self.grid)
        east, north = (store[f"{name}_air_mass_flux"].values for name in ("eastward", "northward"))
        self.u_face, self.v_face = (w.astype(np.float32) for w in face_winds(east, north, air, self.grid))
        self.size = (self.tracer**2).mean((2, 3, 4)) ** 0.5  # (tracer, time)

    def __len__(self) -> int:
        return self.length

    @cached_property
    def starts(self) -> np.ndarray:
        """First frames of all samples: each lies within one segment of the refined run."""
        span = spanned(self.frames, self.followed)
        first = np.arange(len(self.time) - span + 1)
        return first[first % self.segment <= self.segment - span]

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if not self.augment:
            start = self.starts[index * max(1, len(self.starts) // self.length) % len(self.starts)]
            return self._sample(int(start), self.in_total, turn=0, mirror=False, background="coarse")
        rng = np.random.default_rng([self.seed, index])
        if self.beginnings:
            which = int(rng.random() / FROM_BEGINNINGS)
            if which < len(self.beginnings):
                return self.beginnings[which][index]
        begins = self.starts[self.starts % self.segment == 0]
        start = int(rng.choice(begins if rng.random() < AT_START else self.starts))
        weights = self.in_total
        if rng.random() > MIX_TOTAL:
            weights = rng.normal(size=len(weights)) / (self.size[:, start] + 1e-3)
        begun = self.begun_from(start)
        background = str(rng.choice(KINDS)) if begun == REFERENCE else begun
        known = None if rng.random() < NO_BACKGROUND else background
        step = WIDER if known in ("wide", "blocks") else 1  # wide cells stay where they are in use
        turn = step * int(rng.integers(self.grid.shape[1] // step))
        mirror = bool(rng.random() < 0.5)
        return self._sample(start, weights, turn, mirror, known)

    def _sample(
        self, start: int, weights: np.ndarray, turn: int, mirror: bool, background: str | None
    ) -> dict[str, Tensor]:
        made = self.window(start, weights, turn, mirror, background)
        if self.followed:
            after = self.window(start + self.frames - OVERLAP, weights, turn, mirror, background)
            made |= {f"{NEXT}{name}": field for name, field in after.items()}
        return made

    def begun_from(self, start: int) -> str:
        """What the segment of frame `start` begins from."""
        return str(self.begins_from[start // self.segment % len(self.begins_from)])

    def window(
        self, start: int, weights: np.ndarray, turn: int, mirror: bool, background: str | None
    ) -> dict[str, Tensor]:
        """One window, level fields as (level, time, lat, lon); background: one of `KINDS` or none.

        `most_known` counts the first frames that sampling can know: none where the refined run begins from a background, one where it begins
        from a known state, OVERLAP further on. `exact` is 1 where the background's blocks are kept.
        """
        cut = slice(start, start + self.frames)
        mix = lambda a: np.tensordot(weights.astype(np.float32), a[:, cut], axes=1)  # noqa: E731
        ps = self.surface_pressure[cut]
        air_mass, truth, refined = self.levels.air_mass(ps, self.grid), mix(self.tracer), mix(self.refined)
        if background == "blocks":
            coarse = with_blocks_of(truth, WIDER, air_mass).astype(np.float32)
        else:
            coarse = refined if background is None else mix(self.backgrounds[background])
        fields = {
            "u_face": self.u_face[cut],
            "v_face": _mirrored_faces(self.v_face[cut]) if mirror else self.v_face[cut],
            "background": coarse,
            "refined": refined,
            "variance": np.tensordot(pair_weights(weights).astype(np.float32), self.variance[cut], (0, 1)),
            "residual": truth - refined,
            "air_mass": air_mass.astype(np.float32),
            "flux": mix(self.flux),
            "surface_pressure": ps.astype(np.float32),
        }
        flip = (lambda a: a[..., ::-1, :]) if mirror else (lambda a: a)
        out = {name: torch.from_numpy(np.roll(flip(a), turn, -1).copy()) for name, a in fields.items()}
        out = {name: a.movedim(0, 1) if name in LEVEL_FIELDS else a for name, a in out.items()}
        ticks = clock(self.time[cut], torch.tensor(self.grid.lon))
        ticks = torch.roll(ticks, turn, -1)
        ticks[2:] = -ticks[2:] if mirror else ticks[2:]  # the mirror swaps the seasons
        begins = start % self.segment == 0
        most_known = OVERLAP if not begins else int(self.begun_from(start) == REFERENCE)
        exact = background == "blocks"
        return out | {
            "clock": ticks,
            "exact": torch.tensor(float(exact)),
            "most_known": torch.tensor(most_known),
        }

    @property
    def geometry(self) -> dict[str, Tensor]:
        """What a window needs beside its fields: cell areas and latitudes."""
        return {"area": torch.tensor(self.grid.area), "lat": torch.tensor(self.grid.lat)}


def _mirrored_faces(north: np.ndarray) -> np.ndarray:
    """A northward component at southern faces such that `flip` gives that of the mirrored world: a cell's southern face was its
    northern one."""
    return -np.concatenate([north[..., 1:, :], np.zeros_like(north[..., :1, :])], axis=-2)


def fit_scales(
    normalizer: Normalizer,
    data: ClipDataset,
    samples: int,
    progress: Callable[[int], None] = lambda n: None,
) -> None:
    """Sets every scale of the normalizer but `remainder_std` from the first `samples` windows of `data`.

    Residuals of windows differ in size many times; theirs is a geometric mean over windows, which the few large ones do not rule.
    """
    sums: dict[str, Any] = {
        name: 0.0 for name in ("refined_std", "background_std", "residual_std", "u_std", "v_std", "flux_std")
    }
    square = lambda x: (x.double() ** 2).mean((1, 2, 3))  # noqa: E731
    for index in range(samples):
        w = data[index]
        batch = {k: v[None] for k, v in w.items()} | data.geometry
        cond, amplitude = normalizer.encode(batch, data.step_seconds)
        anomaly = cond["levels"][0, : w["refined"].shape[0]].double()
        per_level = lambda s: s[:, None, None, None]  # noqa: E731
        sums["refined_std"] += square(anomaly * per_level(normalizer.refined_std))
        sums["background_std"] += square((w["background"] - w["refined"]) / amplitude[0])
        sums["residual_std"] += square(w["residual"] / amplitude[0]).clamp(min=1e-12).log()
        sums["u_std"] += square(w["u_face"])
        sums["v_std"] += square(w["v_face"])
        sums["flux_std"] += (cond["surface"][0, 0].double() * normalizer.flux_std).pow(2).mean()
        progress(index)
    sums["residual_std"] = samples * (sums["residual_std"] / samples).exp()
    for name, total in sums.items():
        getattr(normalizer, name).copy_((total / samples) ** 0.5)
