"""Winds of an idealised general circulation: Held and Suarez (1994, doi:10.1175/1520-0477(1994)075<1825:APFTIO>2.0.CO;2).

The primitive-equation dynamical core `dinosaur` (extra `benchmark`) runs on sigma levels at a triangular truncation; winds are
synthesised from the spectral state straight onto the cells of the fine grid.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import numpy as np

from gencarbon.errors import InputError

GAUSS_LATITUDES = {
    21: 16,
    42: 32,
    63: 48,
    85: 64,
}  # of the quadrature, as dinosaur counts them, by truncation
STEP_MINUTES = {21: 30, 42: 15, 63: 12, 85: 10}  # stable for Held-Suarez jets with the default filter


def _dinosaur() -> SimpleNamespace:
    """The modules of the dynamical core, and jax."""
    names: tuple[str, ...] = (
        "coordinate_systems",
        "held_suarez",
        "primitive_equations",
        "primitive_equations_states",
        "scales",
    )
    names += ("sigma_coordinates", "spherical_harmonic", "time_integration", "units", "xarray_utils")
    try:
        modules = {name: import_module(f"dinosaur.{name}") for name in names}
        return SimpleNamespace(jax=import_module("jax"), **modules)
    except ImportError as err:
        raise InputError(
            f"Held-Suarez winds need the extra `benchmark`, missing {err.name}; run: pip install 'gencarbon[benchmark]'"
        ) from err


@dataclass(frozen=True)
class HeldSuarez:
    """The dynamical core at one truncation. States are plain dictionaries of numpy arrays, so they can be saved.

    truncation: largest wavenumber (21, 42, 63 or 85); layers: equal sigma layers; nlat: output grid of nlat x 2 nlat cells.
    """

    truncation: int
    layers: int
    nlat: int

    def __post_init__(self) -> None:
        if self.truncation not in STEP_MINUTES:
            raise InputError(f"truncation must be one of {sorted(STEP_MINUTES)}, got {self.truncation}")

    @cached_property
    def _core(self) -> dict[str, Any]:
        """The jitted core: `initial`(key) -> state, `hour`(state) -> state, `synthesise`(state) -> u, v, ps."""
        dino = _dinosaur()
        layers = dino.sigma_coordinates.SigmaCoordinates.equidistant(self.layers)
        horizontal = dino.spherical_harmonic.Grid.construct(
            max_wavenumber=self.truncation, gaussian_nodes=GAUSS_LATITUDES[self.truncation]
        )
        coords = dino.coordinate_systems.CoordinateSystem(horizontal, layers)
        specs = dino.units.SimUnits.from_si()
        pascal = dino.scales.units.pascal
        initial, aux = dino.primitive_equations_states.isothermal_rest_atmosphere(
            coords, specs, p0=1e5 * pascal, p1=5e3 * pascal
        )
        return {
            "state": dino.primitive_equations.State,
            "initial": initial,
            "hour": self._hour(dino, coords, specs, aux[dino.xarray_utils.REF_TEMP_KEY]),
            "synthesise": self._synthesis(dino, horizontal, specs),
            "jax": dino.jax,
        }

    def _hour(self, dino: SimpleNamespace, coords: Any, specs: Any, reference_temperature: Any) -> Callable:
        """One hour of dry dynamics with Held-Suarez forcing and the default filter."""
        flat = np.zeros(coords.horizontal.modal_shape, np.float32)
        dynamics = dino.primitive_equations.PrimitiveEquationsSigma(
            reference_temperature, flat, coords, specs
        )
        forcing = dino.held_suarez.HeldSuarezForcingSigma(coords, specs, reference_temperature)
        equation = dino.time_integration.compose_equations([dynamics, forcing])
        minutes = STEP_MINUTES[self.truncation]
        dt = specs.nondimensionalize(minutes * dino.scales.units.minute)
        smooth = dino.time_integration.exponential_step_filter(
            coords.horizontal, dt, tau=0.0087504, order=1.5, cutoff=0.8
        )
        step = dino.time_integration.imex_rk_sil3(equation, dt)
        step = dino.time_integration.step_with_filters(step, [smooth])
        return dino.jax.jit(dino.time_integration.repeated(step, 60 // minutes))

    def _synthesis(self, dino: SimpleNamespace, horizontal: Any, specs: Any) -> Callable:
        """Spectral state -> u, v (m s-1) and surface pressure (Pa) on the output cells."""
        cells = dino.spherical_harmonic.Grid(
            longitude_wavenumbers=horizontal.longitude_wavenumbers,
            total_wavenumbers=horizontal.total_wavenumbers,
            longitude_nodes=2 * self.nlat,
            latitude_nodes=self.nlat,
            latitude_spacing="equiangular",
            radius=horizontal.radius,
        )
        si = dino.scales.units
        speed = float(specs.dimensionalize(1.0, si.meter / si.second).magnitude)
        pressure = float(specs.dimensionalize(1.0, si.pascal).magnitude)

        def synthesise(state: Any) -> tuple[Any, Any, Any]:
            u, v = dino.spherical_harmonic.vor_div_to_uv_nodal(cells, state.vorticity, state.divergence)
            ps = dino.jax.numpy.exp(cells.to_nodal(state.log_surface_pressure))[0]
            return u * speed, v * speed, ps * pressure

        return dino.jax.jit(synthesise)

    def rest(self, seed: int) -> dict[str, np.ndarray]:
        """An isothermal atmosphere at rest with a seeded perturbation of surface pressure."""
        return _as_dict(self._core["initial"](self._core["jax"].random.PRNGKey(seed)))

    def hours(self, state: dict[str, np.ndarray], count: int) -> dict[str, np.ndarray]:
        """The state `count` hours later."""
        core = self._core
        current = core["state"](**state)
        for _ in range(count):
            current = core["hour"](current)
        result = _as_dict(current)
        if not all(np.isfinite(a).all() for a in result.values() if isinstance(a, np.ndarray)):
            raise RuntimeError(f"the T{self.truncation} dynamical core became unstable; shorten STEP_MINUTES")
        return result

    def winds(self, state: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """u, v (level, lat, lon) m s-1 and surface pressure (lat, lon) Pa; levels from the surface up, south to north."""
        u, v, ps = self._core["synthesise"](self._core["state"](**state))
        to_cells = lambda a: np.ascontiguousarray(np.swapaxes(np.asarray(a, np.float64), -1, -2))  # noqa: E731
        return to_cells(u)[::-1].copy(), to_cells(v)[::-1].copy(), to_cells(ps)


def pad_spectrum(state: dict[str, np.ndarray], coarse: HeldSuarez, fine: HeldSuarez) -> dict[str, np.ndarray]:
    """The state of a lower truncation on a higher one, new wavenumbers zero."""
    target = fine.rest(0)
    padded = {}
    for name, value in state.items():
        if not isinstance(value, np.ndarray) or value.ndim < 2:
            padded[name] = value
            continue
        out = np.zeros_like(target[name])
        out[..., : value.shape[-2], : value.shape[-1]] = value
        padded[name] = out
    return padded


def _as_dict(state: Any) -> dict[str, np.ndarray]:
    fields = {"vorticity", "divergence", "temperature_variation", "log_surface_pressure"}
    return {name: np.asarray(getattr(state, name)) for name in sorted(fields)}
