"""What the field does today, with the signature of the generator, so that a benchmark cannot tell them apart.

Every member is coarse transport plus something: a residual of other winds and days, a model of the residual, or errors of winds and
fluxes that transport carries on. `Archive` is what they learn from: the training split.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from gencarbon.constants import kgkg_to_ppm
from gencarbon.data.views import canonical_datasets
from gencarbon.sampling.coarse_run import SCHEME
from gencarbon.sampling.components import ModelGrid
from gencarbon.sampling.given import Array, Given
from gencarbon.sampling.projection import close_budget
from gencarbon.threads import one_thread
from gencarbon.transport.offline import AirMotion, OfflineRun
from gencarbon.variables import DIMS, describe

MODES = 60  # of the residual and of the coarse run, each, that the ridge propagator keeps
RIDGE = 1.0  # of its regression on modes of unit variance: as if each had been seen at 0 in one frame more
SEARCHED = 4  # every so many cells of the winds are compared in the search for analogues
APART_DAYS = 3  # between two analogues
SMOOTHING_CELLS = 6  # radius of the errors of fluxes


@dataclass(frozen=True)
class Archive:
    """A benchmark split to learn from: the residual of its coarse run (time, level, lat, lon) ppm, and what it was given."""

    store: xr.Dataset

    @cached_property
    def _sets(self) -> dict[str, xr.Dataset]:
        return canonical_datasets(self.store)

    @cached_property
    def residual(self) -> NDArray[np.float32]:
        return (self._sets["reference"].co2.values - self._sets["background"].co2.values).astype(np.float32)

    @cached_property
    def background(self) -> NDArray[np.float32]:
        """Of zero mean in every layer and frame."""
        b = self._sets["background"].co2.values
        return (b - b.mean((-2, -1), keepdims=True)).astype(np.float32)

    def winds(self, name: str) -> NDArray[np.float32]:
        return self._sets["winds"][name].values

    def __len__(self) -> int:
        return self.store.sizes["time"]


# members of a run: (member, time, level, lat, lon) ppm
Rule = Callable[[Given, int, np.random.Generator], Array]


@dataclass(frozen=True)
class Baseline:
    """An ensemble by `rule`. closes: project every frame of every member onto its budget, by clipping and shifting evenly."""

    grid: ModelGrid
    rule: Rule
    closes: bool = True

    def __call__(
        self,
        winds: xr.Dataset,
        fluxes: xr.Dataset,
        background: xr.Dataset | None = None,
        initial: xr.Dataset | None = None,
        members: int = 16,
        seed: int = 0,
    ) -> xr.Dataset:
        """As `CO2Pipeline.__call__`."""
        given = Given.read(self.grid, winds, fluxes, background, initial)
        with one_thread():
            co2 = self.rule(given, members, np.random.default_rng(seed))
        if self.closes:
            co2 = np.stack([_closed(given, x) for x in co2])
        if given.initial is not None:
            co2[:, 0] = given.initial
        ds = given.template()
        ds["co2"] = (DIMS, co2)
        ds.attrs |= {"seed": seed, "title": "Baseline ensemble of CO2 fields"}
        return describe(ds.assign_coords(member=np.arange(members)))


def persistence(given: Given, members: int, rng: np.random.Generator) -> Array:
    """The residual of the first frame stays as it is. All members are alike: their fair CRPS is an absolute error."""
    return np.repeat((given.background + given.first - given.background[0])[None], members, axis=0)


def known_state(given: Given, members: int, rng: np.random.Generator) -> Array:
    """The coarse run begun again from the known state. All members are alike."""
    return np.repeat(_coarse(given, given.air, given.flux[None]), members, axis=0)


def climatology(archive: Archive) -> Rule:
    """Residuals of the training winds, from a random day on, each member its own."""

    def rule(given: Given, members: int, rng: np.random.Generator) -> Array:
        frames = len(given.time)
        starts = rng.integers(len(archive) - frames + 1, size=members)
        return np.stack([given.background + archive.residual[k : k + frames] for k in starts])

    return rule


def analogues(archive: Archive) -> Rule:
    """The residuals of the training days whose winds and coarse run are most alike, frame by frame; each member keeps its rank."""
    thin = lambda x: x[..., ::2, ::SEARCHED, ::SEARCHED].reshape(len(x), -1)  # noqa: E731
    names = ("u", "v")
    scale = [archive.winds(n).std() for n in names] + [archive.background.std()]
    known = np.concatenate(
        [thin(x) / s for x, s in zip([*(archive.winds(n) for n in names), archive.background], scale)], axis=1
    )

    def rule(given: Given, members: int, rng: np.random.Generator) -> Array:
        anomaly = given.background - given.background.mean((-2, -1), keepdims=True)
        wanted = np.concatenate([thin(x) / s for x, s in zip((given.u, given.v, anomaly), scale)], axis=1)
        distance = (known**2).sum(1) - 2 * wanted.astype(np.float32) @ known.T  # plus a constant per frame
        apart = round(APART_DAYS * 86400 / given.grid.step_seconds)
        return np.stack(
            [b + archive.residual[_nearest(d, members, apart)] for b, d in zip(given.background, distance)],
            axis=1,
        )

    return rule


def _nearest(distance: Array, count: int, apart: int) -> NDArray[np.int64]:
    """The `count` nearest frames, none within `apart` frames of a nearer one."""
    left = distance.copy()
    found: list[int] = []
    for _ in range(count):
        k = int(left.argmin())
        if not np.isfinite(left[k]):
            raise ValueError(
                f"the archive holds {len(found)} analogues {apart} frames apart, wanted {count}; build a longer one"
            )
        found.append(k)
        left[max(0, k - apart) : k + apart + 1] = np.inf
    return np.array(found)


def perturbed_winds(archive: Archive, amplitude: float) -> Rule:
    """Coarse runs whose air mass fluxes err by `amplitude` times the difference of two training periods, over sqrt(2)."""

    def rule(given: Given, members: int, rng: np.random.Generator) -> Array:
        frames, made = len(given.time), []
        for _ in range(members):
            one, other = (slice(k, k + frames) for k in rng.integers(len(archive) - frames + 1, size=2))
            faces = []
            for flux, name in ((given.air.east, "eastward"), (given.air.north, "northward")):
                past = archive.winds(f"{name}_air_mass_flux")
                faces.append(
                    flux + amplitude / np.sqrt(2) * np.subtract(past[one], past[other], dtype=np.float64)
                )
            east, north = faces
            air = AirMotion(given.air.surface_pressure, east, north, given.air.seconds)
            made.append(_coarse(given, air, given.flux[None])[0])
        return np.stack(made)

    return rule


def perturbed_fluxes(amplitude: float) -> Rule:
    """Coarse runs whose fluxes err everywhere by a share of `amplitude`, smooth in space. Their budgets are those of their fluxes."""

    def rule(given: Given, members: int, rng: np.random.Generator) -> Array:
        noise = rng.standard_normal((members, *given.flux.shape[-2:]))
        rows, columns = (
            np.fft.fftfreq(n)[:, None] if i == 0 else np.fft.fftfreq(n) for i, n in enumerate(noise.shape[1:])
        )
        filtered = np.fft.ifft2(
            np.fft.fft2(noise) * np.exp(-2 * (np.pi * SMOOTHING_CELLS / 2) ** 2 * (rows**2 + columns**2))
        ).real
        share = amplitude * filtered / filtered.std()
        return _coarse(given, given.air, given.flux * (1 + share[:, None]))

    return rule


def ridge(archive: Archive) -> Rule:
    """The residual's leading modes propagated by ridge regression on themselves and on those of the coarse run, before and after;
    the regression's own errors in training, drawn in runs of a day, are its noise."""
    flat = lambda x: x.reshape(len(x), -1).astype(np.float64)  # noqa: E731
    _, size, modes = _modes(flat(archive.residual))
    _, _, coarse_modes = _modes(flat(archive.background))
    r, b = flat(archive.residual) @ modes.T / size, flat(archive.background) @ coarse_modes.T
    spread = b.std(0)
    features = lambda r, b, later: np.concatenate([r, b / spread, later / spread], axis=-1)  # noqa: E731
    x, y = features(r[:-1], b[:-1], b[1:]), r[1:]
    weights = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ y)
    errors = y - x @ weights
    left = flat(archive.residual) - (r * size) @ modes  # what the modes cannot hold, drawn whole

    def rule(given: Given, members: int, rng: np.random.Generator) -> Array:
        anomaly = given.background - given.background.mean((-2, -1), keepdims=True)
        b, day = flat(anomaly) @ coarse_modes.T, round(86400 / given.grid.step_seconds)
        state = np.repeat((flat(given.first[None] - given.background[:1]) @ modes.T / size), members, axis=0)
        frames, made = len(given.time), [state]
        for k in range(frames - 1):
            if k % day == 0:
                starts = rng.integers(len(errors) - day, size=members)
            two = np.repeat(b[k : k + 2, None], members, axis=1)
            state = features(state, *two) @ weights + errors[starts + k % day]
            made.append(state)
        rest = np.stack([left[k : k + frames] for k in rng.integers(len(left) - frames + 1, size=members)])
        residual = (np.stack(made, axis=1) * size) @ modes + rest
        return given.background + residual.reshape(members, *given.background.shape)

    return rule


def _modes(x: Array) -> tuple[Array, Array, Array]:
    """Amplitudes (time, mode), their sizes (mode,) and patterns (mode, point) of the leading principal components, about zero."""
    eigenvalue, vector = np.linalg.eigh(x @ x.T)
    leading = slice(-1, -1 - min(MODES, len(x)), -1)
    scale = np.sqrt(np.maximum(eigenvalue[leading], 1e-12 * eigenvalue[-1]))
    patterns = (vector[:, leading] / scale).T @ x
    amplitude = vector[:, leading] * scale
    return amplitude, amplitude.std(0), patterns


def _coarse(given: Given, air: AirMotion, flux: Array) -> Array:
    """Runs from the first state, as many as fluxes (member, time, lat, lon): (member, time, level, lat, lon) ppm."""
    run, base = OfflineRun(given.grid.cells, given.grid.layers, SCHEME), given.first.mean()
    start = np.repeat((given.first - base)[None], len(flux), axis=0)
    return base + np.stack(list(run.states(start, flux, air)), axis=1)


def _closed(given: Given, co2: Array) -> Array:
    """A member with the mass that its budget says in every frame."""
    batch = lambda x: torch.tensor(x.swapaxes(0, 1)[None])  # noqa: E731
    target = torch.tensor(kgkg_to_ppm(given.target_mass))[None, None, :, None, None]
    closed, _ = close_budget(batch(co2), batch(given.air_mass), torch.ones_like(batch(co2)), target)
    return closed[0].numpy().swapaxes(0, 1)
