"""The reference transport on cases whose answer is known, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from eval.benchmark import Benchmark, Figure, Result
from gencarbon.grid import HybridLevels, LatLonGrid
from gencarbon.sample_data import load_sample
from gencarbon.sampling.coarse_run import air_motion
from gencarbon.transport import cases, correlated, dcmip
from gencarbon.transport.continuity import close, closure, face_fluxes
from gencarbon.transport.footprint import trajectory
from gencarbon.transport.offline import OfflineRun

SCHEMES = {
    "upwind": ("upwind", False),
    "van_leer_limited": ("van_leer", True),
    "ppm": ("ppm", False),
    "ppm_limited": ("ppm", True),
}
FIELDS = {
    "gaussian_hills": cases.gaussian_hills,
    "cosine_bells": cases.cosine_bells,
    "slotted_cylinders": cases.slotted_cylinders,
}
FLOWS = {"deformation": cases.deformation, "divergent": cases.squeeze}
CLOSURE_UNITS = {
    "pressure_hpa_per_day": "hPa day-1",
    "air_per_month": "1",
    "correction_m_s": "m s-1",
    "wind_m_s": "m s-1",
}
Figures = dict[str, Figure]


class Exactness:
    """The largest errors, over everything that was run, of what must hold to round-off."""

    def __init__(self) -> None:
        self.mass = self.uniform = 0.0

    def see(self, made: np.ndarray, air_end: np.ndarray, start: np.ndarray, air_start: np.ndarray) -> None:
        """made, start: (tracer, cells...), the last tracer uniform 1; air: (cells...)."""
        total = lambda q, air: (q * air).reshape(len(q), -1).sum(1)  # noqa: E731
        self.mass = max(self.mass, float(np.abs(total(made, air_end) / total(start, air_start) - 1).max()))
        self.uniform = max(self.uniform, float(np.abs(made[-1] - 1).max()))


def run(benchmark: Benchmark, quick: bool) -> Result:
    """Quick: the coarsest grid of every case."""
    data, exact, say = benchmark.data, Exactness(), Console(stderr=True).print
    some = lambda items: list(items)[: 1 if quick else None]  # noqa: E731
    figures: Figures = {}
    for name, (rows, steps) in some(data["grids"].items()):
        say(f"Nair-Lauritzen case 4 at {name} degrees, {steps} steps")
        figures |= _nair_lauritzen(name, rows, steps, exact) | _correlated(name, rows, steps)
    figures |= _against_lin_rood(figures, data)
    if not quick:
        figures |= _orders(figures, data["grids"])
    for name, angle in some(data["williamson"]["angles"].items()):
        say(f"Williamson case 1, angle {name}")
        figures |= _williamson(name, angle * np.pi, data, exact)
    size = data["dcmip_1_1"] | ({"rows": 16, "layers": 12, "intervals": 96} if quick else {})
    say(f"DCMIP 1-1: {size}")
    figures |= _dcmip_1_1(**size, exact=exact)
    for rows, layers, intervals in some(data["dcmip_1_2"]):
        say(f"DCMIP 1-2: {rows} rows, {layers} layers")
        figures |= _dcmip_1_2(rows, layers, intervals, exact)
    figures |= {"mass_error_max": Figure(exact.mass, "1"), "uniform_error_max": Figure(exact.uniform, "1")}
    figures |= {"adjoint_identity": Figure(_adjoint_identity(), "1")} | _closure()
    return Result(figures, _table(figures, some(data["grids"]), benchmark.title))


def _grid(rows: int) -> LatLonGrid:
    return LatLonGrid.equiangular(rows, 2 * rows)


def _norms(prefix: str, made: np.ndarray, start: np.ndarray, weight: np.ndarray) -> Figures:
    return {f"{prefix}/{k}": Figure(v, "1") for k, v in cases.norms(made, start, weight).items()}


def _nair_lauritzen(resolution: str, rows: int, steps: int, exact: Exactness) -> Figures:
    grid = _grid(rows)
    figures: Figures = {}
    start = np.stack([*(cases.cell_means(f, grid) for f in FIELDS.values()), np.ones(grid.shape)])
    for flow_name, flow in FLOWS.items():
        made, air = cases.carry(start, flow, grid, steps, list(SCHEMES.values()))
        for scheme, fields in zip(SCHEMES, made):
            exact.see(fields, air, start, cases.unit_air(grid))
            for name, field, first in zip(FIELDS, fields, start):
                figures |= _norms(
                    f"nair_lauritzen/{flow_name}/{scheme}/{name}/{resolution}", field, first, grid.area
                )
    return figures


def _against_lin_rood(figures: Figures, data: dict[str, Any]) -> Figures:
    ratios = {}
    for scheme, fields in data["lin_rood"].items():
        for field, values in fields.items():
            for resolution, reference in zip(data["grids"], values):
                name = f"nair_lauritzen/deformation/{scheme}/{field}/{resolution}"
                if f"{name}/l2" in figures:
                    ratios[f"{name}/over_lin_rood"] = Figure(figures[f"{name}/l2"].value / reference, "1")
    return ratios


def _orders(figures: Figures, grids: dict[str, list[int]]) -> Figures:
    """Orders of convergence in l2 between the two finest grids, with steps in proportion."""
    (coarse, (rows, _)), (fine, (more, _)) = list(grids.items())[-2:]
    orders = {}
    for name in [n for n in figures if n.startswith("nair_lauritzen") and n.endswith(f"/{fine}/l2")]:
        before, after = figures[name.replace(f"/{fine}/l2", f"/{coarse}/l2")].value, figures[name].value
        orders[name.replace(f"/{fine}/l2", "/order")] = Figure(
            float(np.log(before / after) / np.log(more / rows)), "1"
        )
    return orders


def _correlated(resolution: str, rows: int, steps: int) -> Figures:
    grid = _grid(rows)
    figures: Figures = {}
    bells = cases.cell_means(cases.cosine_bells, grid)
    start = np.stack([bells, correlated.partner(bells)])
    made, _ = cases.carry(
        start, cases.deformation, grid, steps, list(SCHEMES.values()), until=cases.PERIOD / 2
    )
    for scheme, (chi, xi) in zip(SCHEMES, made):
        found = correlated.diagnostics(chi, xi, grid.area)
        figures |= {f"correlated/{scheme}/{resolution}/{k}": Figure(v, "1") for k, v in found.items()}
    return figures


def _williamson(name: str, angle: float, data: dict[str, Any], exact: Exactness) -> Figures:
    grid = _grid(data["williamson"]["rows"])
    figures: Figures = {}
    start = np.stack([cases.cell_means(cases.williamson_bell, grid), np.ones(grid.shape)])
    steps = data["williamson"]["steps"]
    made, air = cases.carry(start, cases.solid_rotation(angle), grid, steps, list(SCHEMES.values()))
    for scheme, fields in zip(SCHEMES, made):
        exact.see(fields, air, start, cases.unit_air(grid))
        figures |= _norms(f"williamson/{scheme}/{name}", fields[0], start[0], grid.area)
    if angle == 0:
        for norm, reference in data["williamson_reference"].items():
            ratio = figures[f"williamson/ppm/0/{norm}"].value / reference
            figures[f"williamson/ppm/0/{norm}/over_lin_rood"] = Figure(ratio, "1")
    return figures


def _dcmip_1_1(rows: int, layers: int, intervals: int, exact: Exactness) -> Figures:
    grid, levels = _grid(rows), dcmip.layers(layers)
    figures: Figures = {}
    start = dcmip.cell_means(dcmip.four_tracers, grid, levels)
    start = np.concatenate([start, np.ones_like(start[:1])])
    for scheme in ("ppm", "ppm_limited"):
        made, air = dcmip.carry(
            start, dcmip.deformation, grid, levels, dcmip.DEFORMATION_PERIOD, intervals, *SCHEMES[scheme]
        )
        exact.see(made, air, start, air)
        for k in range(4):
            figures |= _norms(f"dcmip_1_1/{scheme}/q{k + 1}", made[k], start[k], air)
        relation = np.abs(0.3 * made[:3].sum(0) + made[3] - 1).max()
        figures[f"dcmip_1_1/{scheme}/linear_relation"] = Figure(float(relation), "1")
    return figures


def _dcmip_1_2(rows: int, layers: int, intervals: int, exact: Exactness) -> Figures:
    """The flow and the tracer do not depend on longitude: eight columns around."""
    grid, levels = LatLonGrid.equiangular(rows, 8), dcmip.layers(layers)
    figures: Figures = {}
    start = dcmip.cell_means(dcmip.cosine_layer, grid, levels)
    start = np.concatenate([start, np.ones_like(start)])
    for scheme, how in SCHEMES.items():
        made, air = dcmip.carry(start, dcmip.hadley, grid, levels, dcmip.HADLEY_PERIOD, intervals, *how)
        exact.see(made, air, start, air)
        figures |= _norms(f"dcmip_1_2/{scheme}/{rows}x{layers}", made[0], start[0], air)
    return figures


def _adjoint_identity() -> float:
    """|<A x, y> - <x, A^T y>| / (|A x| |y|) over five days of the sample's winds, state and fluxes together."""
    winds = load_sample()["winds"].isel(time=slice(0, 21))
    grid, levels = LatLonGrid.from_dataset(winds), HybridLevels.from_dataset(winds)
    air, run, generator = (
        air_motion(winds, grid, levels, 21600.0),
        OfflineRun(grid, levels, "ppm"),
        torch.Generator(),
    )

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator.manual_seed(len(shape)))

    cells = run.transport.cells
    x = [draw(1, *cells).requires_grad_(), draw(1, 21, *grid.shape).requires_grad_()]
    y, forward = draw(1, 1, *cells)[0], trajectory(run, x[0], 1e-8 * x[1], air)[-1]
    back = torch.autograd.grad(forward, x, y)
    left, right = (forward * y).sum(), sum((a * b).sum() for a, b in zip(x, back))
    return float(((left - right).abs() / (forward.norm() * y.norm())).detach())


def _closure() -> Figures:
    """How far the sample's winds at cell centres, and its mass fluxes, are from closing; means over its frames."""
    winds = load_sample()["winds"]
    grid, levels = LatLonGrid.from_dataset(winds), HybridLevels.from_dataset(winds)
    ps = torch.tensor(air_motion(winds, grid, levels, 21600.0).surface_pressure)
    load = lambda name: torch.tensor(winds[name].values, dtype=torch.float64)  # noqa: E731
    middle = lambda x: (x[:-1] + x[1:]) / 2  # noqa: E731
    east, north = load("eastward_air_mass_flux")[:-1], load("northward_air_mass_flux")[:-1]
    given = {
        "winds_at_centres": face_fluxes(middle(load("u")), middle(load("v")), middle(ps), grid, levels),
        "mass_fluxes": (east, north),
    }
    where = grid, levels
    return {
        f"closure/{name}/{key}": Figure(value, CLOSURE_UNITS[key])
        for name, (x, y) in given.items()
        for key, value in closure(x, y, close(x, y, ps[:-1], ps[1:], 21600.0, *where), 21600.0, grid).items()
    }


def _table(figures: Figures, resolutions: list[str], title: str) -> Table:
    """l2 norms, one row for each flow, scheme and resolution."""
    table = Table(
        "flow", "scheme", "degrees", *FIELDS, "real mixing", "unmixing", title=f"{title}: l2 after one period"
    )
    value = lambda name: f"{figures[name].value:.3f}" if name in figures else ""  # noqa: E731
    for flow in FLOWS:
        for scheme in SCHEMES:
            for resolution in resolutions:
                cells = [value(f"nair_lauritzen/{flow}/{scheme}/{field}/{resolution}/l2") for field in FIELDS]
                mixing = [f"correlated/{scheme}/{resolution}/{k}" for k in ("real", "unmixing")]
                shown = [f"{figures[m].value:.1e}" for m in mixing] if flow == "deformation" else ["", ""]
                table.add_row(flow, scheme, resolution, *cells, *shown)
    return table
