"""Surface fluxes of the benchmark, from nothing but code: fossil, land, ocean and regional fields with realistic totals.

Totals follow the global carbon budget: fossil about 10, land about -3 net over a gross cycle of 100, ocean about -2.5 PgC per year.
Continents are a smooth random field above a threshold; seed and grid fix everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gencarbon.constants import SECONDS_PER_YEAR, pgc_to_kg_co2
from gencarbon.grid import LatLonGrid

TRACERS = ("initial", "fossil", "land", "ocean", "regional")
IN_TOTAL = (
    1.0,
    1.0,
    1.0,
    1.0,
    0.0,
)  # CO2 of the benchmark is 400 ppm plus these; `regional` only feeds augmentation
FOSSIL_PGC, LAND_PGC, LAND_GROSS_PGC, OCEAN_PGC = 10.0, -3.0, 100.0, -2.5  # PgC yr-1


@dataclass(frozen=True)
class SyntheticFluxes:
    """Fluxes of the tagged tracers on a grid. `regional_seed` varies the regional field from run to run."""

    grid: LatLonGrid
    seed: int
    regional_seed: int

    @cached_property
    def _unit_vectors(self) -> np.ndarray:
        lat, lon = np.deg2rad(self.grid.lat)[:, None], np.deg2rad(self.grid.lon)[None]
        return np.stack(
            [np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat) + 0 * lon], axis=-1
        )

    def _blobs(
        self,
        rng: np.random.Generator,
        count: int,
        radius_deg: float,
        lat_range: tuple[float, float] = (-90, 90),
    ) -> np.ndarray:
        """Gaussian bumps at random places, uniform on the sphere between two latitudes: (count, lat, lon)."""
        low, high = np.sin(np.deg2rad(lat_range))
        s = rng.uniform(low, high, count)
        lon = rng.uniform(0, 2 * np.pi, count)
        centre = np.stack([np.sqrt(1 - s**2) * np.cos(lon), np.sqrt(1 - s**2) * np.sin(lon), s], axis=-1)
        distance2 = 2 - 2 * np.einsum("yxc,kc->kyx", self._unit_vectors, centre)
        return np.exp(-distance2 / (2 * np.deg2rad(radius_deg) ** 2))

    @cached_property
    def land(self) -> np.ndarray:
        """Land fraction, (lat, lon): about 30 % of the sphere, more of it in the north."""
        rng = np.random.default_rng([self.seed, 1])
        height = self._blobs(rng, 60, 16.0).sum(0) + 0.8 * np.sin(np.deg2rad(self.grid.lat))[:, None]
        order = np.argsort(height.ravel())
        covered = np.cumsum(self.grid.area.ravel()[order]) / self.grid.area.sum()
        shore = height.ravel()[order][np.searchsorted(covered, 0.7)]
        return 1 / (1 + np.exp(-(height - shore) / 0.05))

    def _scaled(self, pattern: np.ndarray, pgc_per_year: float) -> np.ndarray:
        """`pattern` scaled so that its global total is `pgc_per_year`: kg CO2 m-2 s-1."""
        return pattern * (pgc_to_kg_co2(pgc_per_year) / SECONDS_PER_YEAR / (pattern * self.grid.area).sum())

    @cached_property
    def _fossil(self) -> np.ndarray:
        rng = np.random.default_rng([self.seed, 2])
        towns = self._blobs(rng, 90, 3.0, (15, 60)).sum(0) + 0.5 * self._blobs(rng, 40, 3.0, (-40, 15)).sum(0)
        return self._scaled(towns * self.land, FOSSIL_PGC)

    @cached_property
    def _ocean(self) -> np.ndarray:
        lat = np.deg2rad(self.grid.lat)[:, None]
        pattern = (1 - self.land) * (np.sin(2 * lat) ** 2 - 0.9 * np.exp(-((lat / 0.25) ** 2)))
        return self._scaled(pattern, OCEAN_PGC)

    def _land(self, seconds_of_year: float) -> np.ndarray:
        """Photosynthesis follows daylight and season, respiration is steady through the day."""
        lat = np.deg2rad(self.grid.lat)[:, None]
        year = 2 * np.pi * seconds_of_year / SECONDS_PER_YEAR
        hour_angle = (
            2 * np.pi * (seconds_of_year % 86400.0) / 86400.0 + np.deg2rad(self.grid.lon)[None] - np.pi
        )
        declination = -np.deg2rad(23.4) * np.cos(year + 0.17)
        sun = np.sin(lat) * np.sin(declination) + np.cos(lat) * np.cos(declination) * np.cos(hour_angle)
        season = 1 - 0.8 * np.sin(lat) * np.cos(year - 0.35)
        breathing = self._scaled(
            self.land * np.cos(lat) ** 0.5 * (1 - 0.35 * np.sin(lat) * np.cos(year - 0.35)),
            LAND_GROSS_PGC + LAND_PGC,
        )
        uptake = self.land * np.cos(lat) ** 0.5 * season * np.clip(sun, 0, None)
        return breathing - self._scaled(uptake, LAND_GROSS_PGC)

    @cached_property
    def _regional(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rng = np.random.default_rng([self.seed, 3, self.regional_seed])
        sign = rng.choice([-1.0, 1.0], 16)[:, None, None]
        return sign * self._blobs(rng, 16, 6.0) * 4e-8, rng.uniform(3, 20, 16), rng.uniform(0, 2 * np.pi, 16)

    def at(self, seconds_of_year: float) -> np.ndarray:
        """Fluxes of `TRACERS` at a time, (tracer, lat, lon) kg CO2 m-2 s-1."""
        bumps, period_days, phase = self._regional
        wave = 1 + np.cos(2 * np.pi * seconds_of_year / 86400.0 / period_days + phase)
        regional = np.einsum("kyx,k->yx", bumps, wave)
        return np.stack(
            [np.zeros(self.grid.shape), self._fossil, self._land(seconds_of_year), self._ocean, regional]
        )

    def initial_state(self, levels: int) -> np.ndarray:
        """Mole fractions of `TRACERS` at the start, (tracer, level, lat, lon) ppm: a north-south gradient and broad bumps."""
        rng = np.random.default_rng([self.seed, 4, self.regional_seed])
        height = np.linspace(0, 1, levels)[:, None, None]
        gradient = 2.5 * np.tanh(1.5 * np.sin(np.deg2rad(self.grid.lat)))[:, None] * (1 - 0.6 * height)
        bumps = self._blobs(rng, 24, 14.0) * rng.normal(0, 2.0, 24)[:, None, None]
        profile = np.exp(-((height - rng.uniform(0, 1, 24)[:, None, None, None]) ** 2) / 0.1)
        state = np.zeros((len(TRACERS), levels, *self.grid.shape))
        state[0] = gradient + (bumps[:, None] * profile).sum(0)
        return state
