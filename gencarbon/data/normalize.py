"""Physical fields to network tensors and back, with the symmetries of a passive tracer built in.

    f(alpha b + c, alpha F) = alpha f(b, F) + c        for alpha > 0 and any c

holds because runs of CO2 are centred on the refined run's air-mass-weighted mean and divided, like the fluxes, by one amplitude per
window: that of the refined run and of the CO2 which the fluxes add, combined so that it cannot vanish.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor

from gencarbon.constants import EARTH_RADIUS, SECONDS_PER_DAY, kgkg_to_ppm
from gencarbon.grid import LatLonGrid

LEAST_WIDTH = 0.03  # where nothing has been displaced yet


class Normalizer(ModelMixin, ConfigMixin):
    """Scales learnt from training data, one per level; `remainder_std` from held-out winds.

    All scales are dimensionless after division by the window's amplitude, but those of wind (m s-1).
    """

    config_name: Any
    config: Any

    @register_to_config
    def __init__(self, levels: int = 8):
        super().__init__()
        for name in ("refined_std", "background_std", "residual_std", "remainder_std", "u_std", "v_std"):
            self.register_buffer(name, torch.ones(levels, dtype=torch.float64))
        self.register_buffer("flux_std", torch.ones((), dtype=torch.float64))

    def center(self, co2: Tensor, air_mass: Tensor) -> Tensor:
        """Air-mass-weighted mean of the window, (batch,) ppm. co2, air_mass: (batch, level, time, lat, lon)."""
        return (co2 * air_mass).sum((1, 2, 3, 4)) / air_mass.sum((1, 2, 3, 4))

    def amplitude(self, refined: Tensor, added: Tensor, air_mass: Tensor) -> Tensor:
        """Size of the window's CO2 variations, (batch,) ppm: spread of the run and of the CO2 the fluxes add to a layer in a step."""
        anomaly = refined - self.center(refined, air_mass)[:, None, None, None, None]
        variance = (anomaly**2 * air_mass).sum((1, 2, 3, 4)) / air_mass.sum((1, 2, 3, 4))
        return (variance + (added**2).mean((1, 2, 3))).sqrt()

    @staticmethod
    def detail(co2: Tensor, air_mass: Tensor) -> Tensor:
        """Size of the differences between neighbouring cells, (batch, level) ppm, air-mass-weighted: of the structure that transport on
        such cells gets wrong. Turning the globe or mirroring it leaves it as it is."""
        total: Any = 0.0
        mass = air_mass.sum((2, 3, 4))
        for one, other in _neighbours(co2, air_mass):
            weight = (one[1] + other[1]) / 2
            total = total + ((one[0] - other[0]) ** 2 * weight).sum((2, 3, 4)) / mass
        return total.sqrt()

    def encode(self, window: dict[str, Tensor], step_seconds: float) -> tuple[dict[str, Tensor], Tensor]:
        """Conditions of the networks (float32) and the window's amplitude (batch,) ppm.

        window: refined, background ppm, variance ppm2, u_face, v_face m s-1, air_mass kg (batch, level, time, lat, lon); flux kg m-2 s-1,
        surface_pressure Pa (batch, time, lat, lon); area m2 (lat, lon); clock (batch, 4, lon) from `clock`; lat degrees (lat,);
        exact (batch,), 1 where the background's means over wide cells are to be kept. No background: the refined run in its place.
        """
        g, air = window["refined"].double(), window["air_mass"].double()
        added = kgkg_to_ppm(window["flux"].double() * window["area"] * step_seconds / air[:, 0])
        amplitude = self.amplitude(g, added, air)
        if not torch.all(amplitude > 0):
            raise ValueError("the window has neither CO2 variations nor fluxes; there is nothing to correct")
        a = amplitude[:, None, None, None, None]
        per_level = lambda x, s: x.float() / s.float()[:, None, None, None]  # noqa: E731
        levels = [
            per_level((g - self.center(g, air)[:, None, None, None, None]) / a, self.refined_std),
            per_level((window["background"].double() - g) / a, self.background_std),
            per_level(window["u_face"], self.u_std),
            per_level(window["v_face"], self.v_std),
            self.width(window["variance"].double(), amplitude).log().float(),
        ]
        surface = torch.stack(
            [added / a[:, 0] / self.flux_std, (window["surface_pressure"].double() - 1e5) / 1e3], dim=1
        )
        lat = torch.deg2rad(window["lat"].double())[None, None, :, None]
        shape = (g.shape[0], 1, *g.shape[-2:])
        clock = window["clock"].double()[:, :, None, :].expand(-1, -1, shape[-2], -1)
        exact = window["exact"].double()[:, None, None, None].expand(shape)
        static = torch.cat([lat.sin().expand(shape), lat.cos().expand(shape), clock, exact], dim=1)
        cond = {"levels": torch.cat(levels, 1), "surface": surface, "static": static}
        return {name: value.float() for name, value in cond.items()}, amplitude

    def width(self, variance: Tensor, amplitude: Tensor) -> Tensor:
        """Local size to be expected of what the refined run lacks, (batch, level, time, lat, lon), in units of `residual_unit`.

        variance: of the tracer of variance, same shape, ppm2."""
        return (variance / self.residual_unit(amplitude) ** 2 + LEAST_WIDTH**2).sqrt()

    def residual_unit(self, amplitude: Tensor) -> Tensor:
        """ppm per unit of the networks' residual, (batch, level, 1, 1, 1)."""
        return amplitude[:, None, None, None, None] * self.residual_std[:, None, None, None]

    def remainder_unit(self) -> Tensor:
        """Residual units per unit of the diffused remainder, (level, 1, 1, 1)."""
        return self.remainder_std[:, None, None, None]


def _neighbours(*fields: Tensor) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    """Fields (..., lat, lon) in cells and in their eastern, then their northern neighbours."""
    yield list(fields), [torch.roll(x, -1, -1) for x in fields]
    yield [x[..., :-1, :] for x in fields], [x[..., 1:, :] for x in fields]


def clock(times: np.ndarray, lon: Tensor) -> Tensor:
    """sin, cos of local solar time and of the time of year at the first frame: (4, lon). times: datetime64 array; lon degrees."""
    first = np.datetime64(times[0], "s")
    day = (first - first.astype("datetime64[D]").astype("datetime64[s]")).astype(int) / SECONDS_PER_DAY
    year = (first - first.astype("datetime64[Y]").astype("datetime64[s]")).astype(int) / (
        365.25 * SECONDS_PER_DAY
    )
    solar = 2 * torch.pi * day + torch.deg2rad(lon.double())
    annual = torch.full_like(solar, 2 * torch.pi * year)
    return torch.stack([solar.sin(), solar.cos(), annual.sin(), annual.cos()])


def face_winds(
    east: np.ndarray, north: np.ndarray, air_mass: np.ndarray, grid: LatLonGrid
) -> tuple[np.ndarray, np.ndarray]:
    """Winds (m s-1) that carry the air mass fluxes (kg s-1) through western and southern faces; all (..., level, lat, lon).

    Each takes the air of its own cell, not of both neighbours: a condition of the networks, not a flux. Zero at the south pole.
    """
    dlat, dlon = np.deg2rad(np.diff(grid.lat_bounds)), np.deg2rad(np.diff(grid.lon_bounds))
    cos_face = np.cos(np.deg2rad(grid.lat_bounds[:-1]))
    cos_face[0] = np.inf
    column = air_mass / grid.area
    u = east / (column * EARTH_RADIUS * dlat[:, None])
    return u, north / (column * EARTH_RADIUS * cos_face[:, None] * dlon)
