"""Winds of an idealised general circulation: Held and Suarez (1994, doi:10.1175/1520-0477(1994)075<1825:APFTIO>2.0.CO;2).

The primitive-equation dynamical core `dinosaur` (extra `benchmark`) runs on sigma levels at a triangular truncation; winds are
synthesised from the spectral state straight onto the cells of the fine grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gencarbon.errors import InputError

STEP_MINUTES = {21: 30, 42: 15, 63: 12, 85: 10}  # stable for Held-Suarez jets with the default filter


@dataclass(frozen=True)
class HeldSuarez:
    """The dynamical core at one truncation. States are plain dictionaries of numpy arrays, so they can be saved.

    truncation: largest wavenumber (21, 42, 63 or 85); layers: equal sigma layers; nlat: output grid of nlat x 2 nlat cells.
    """

    truncation: int
    layers: int
    nlat: int

    def __post_init__(self):
        if self.truncation not in STEP_MINUTES:
            raise InputError(f"truncation must be one of {sorted(STEP_MINUTES)}, got {self.truncation}")

    @cached_property
    def _core(self):
        try:
            import jax
            from dinosaur import (
                coordinate_systems,
                held_suarez,
                primitive_equations,
                primitive_equations_states,
                scales,
                sigma_coordinates,
                spherical_harmonic,
                time_integration,
                units,
                xarray_utils,
            )
        except ImportError as err:
            raise InputError(
                f"Held-Suarez winds need the extra `benchmark`, missing {err.name}; run: pip install 'gencarbon[benchmark]'"
            ) from err
        minute, pascal = scales.units.minute, scales.units.pascal
        gauss = {21: 16, 42: 32, 63: 48, 85: 64}[self.truncation]
        horizontal = spherical_harmonic.Grid.construct(max_wavenumber=self.truncation, gaussian_nodes=gauss)
        coords = coordinate_systems.CoordinateSystem(
            horizontal, sigma_coordinates.SigmaCoordinates.equidistant(self.layers)
        )
        specs = units.SimUnits.from_si()
        initial, aux = primitive_equations_states.isothermal_rest_atmosphere(
            coords, specs, p0=1e5 * pascal, p1=5e3 * pascal
        )
        ref = aux[xarray_utils.REF_TEMP_KEY]
        flat = np.zeros(horizontal.modal_shape, np.float32)
        dynamics = primitive_equations.PrimitiveEquationsSigma(ref, flat, coords, specs)
        forcing = held_suarez.HeldSuarezForcingSigma(coords, specs, ref)
        equation = time_integration.compose_equations([dynamics, forcing])
        dt = specs.nondimensionalize(STEP_MINUTES[self.truncation] * minute)
        step = time_integration.imex_rk_sil3(equation, dt)
        smooth = time_integration.exponential_step_filter(
            horizontal, dt, tau=0.0087504, order=1.5, cutoff=0.8
        )
        step = time_integration.step_with_filters(step, [smooth])
        hour = jax.jit(time_integration.repeated(step, 60 // STEP_MINUTES[self.truncation]))
        cells = spherical_harmonic.Grid(
            longitude_wavenumbers=horizontal.longitude_wavenumbers,
            total_wavenumbers=horizontal.total_wavenumbers,
            longitude_nodes=2 * self.nlat,
            latitude_nodes=self.nlat,
            latitude_spacing="equiangular",
            radius=horizontal.radius,
        )
        speed = float(specs.dimensionalize(1.0, scales.units.meter / scales.units.second).magnitude)
        pressure = float(specs.dimensionalize(1.0, pascal).magnitude)

        def synthesise(state):
            u, v = spherical_harmonic.vor_div_to_uv_nodal(cells, state.vorticity, state.divergence)
            ps = jax.numpy.exp(cells.to_nodal(state.log_surface_pressure))[0]
            return u * speed, v * speed, ps * pressure

        return {
            "state": primitive_equations.State,
            "initial": initial,
            "hour": hour,
            "synthesise": jax.jit(synthesise),
            "jax": jax,
        }

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


def _as_dict(state) -> dict[str, np.ndarray]:
    fields = {"vorticity", "divergence", "temperature_variation", "log_surface_pressure"}
    return {name: np.asarray(getattr(state, name)) for name in sorted(fields)}
