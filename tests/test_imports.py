"""Imports point one way, files stay short."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import gencarbon

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "gencarbon"
CHAIN = [
    "constants",
    "errors",
    "memory",
    "threads",
    "config",
    "grid",
    "variables",
    "budget",
    "transport",
    "data",
    "sampling",
    "training",
]
SCORING = [
    *(
        "scores",
        "probes",
        "frame_sums",
        "workers",
        "evaluation",
        "evaluation_checks",
        "comparison",
        "intervals",
        "observation_scores",
        "observation_checks",
        "covariances",
    ),
    *("scorecard", "figures", "figures_catalogue", "figures_checks", "figures_comparison", "figures_curves"),
    *("figures_stations", "figures_tables", "fieldplayer", "latex", "report"),
]  # never the model, the sampler or torch
MAY_IMPORT = {room: {*CHAIN[: i + 1]} for i, room in enumerate(CHAIN)}
MAY_IMPORT["data"] |= {"metrics"}  # observations are looked at as they are scored
MAY_IMPORT["sampling"] |= {"model", "metrics"}  # calibration measures spread against error
MAY_IMPORT["training"] |= {"model"}
MAY_IMPORT["model"] = {"model"}
MAY_IMPORT["metrics"] = {"metrics", "budget"}
MAY_IMPORT |= {room: {"metrics", *SCORING, *CHAIN[: CHAIN.index("data") + 1]} for room in SCORING}
OUTSIDE = {  # packages, beside Python's own library
    "model": {"torch", "diffusers", "jaxtyping"},
    "metrics": {"numpy", "numba", "scipy", "properscoring"},
}
UNSEEN = {"eval", "scripts", "tests"}


def imported(tree: ast.AST, module: str) -> set[str]:
    """Full names of what a module imports, wherever the import stands; relative ones are resolved."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = (
                ".".join([*module.split(".")[: -node.level], *filter(None, [node.module])])
                if node.level
                else node.module
            )
            names |= {f"{base}.{alias.name}" for alias in node.names}
    return names


def violations(source: str, module: str) -> list[str]:
    """Imports of `module` (such as gencarbon.data.clips) that its room may not make."""
    room = module.split(".")[1]
    names = sorted(imported(ast.parse(source), module))
    return [f"{module} imports {name}" for name in names if not allowed(room, *f"{name}.".split(".")[:2])]


def allowed(room: str, top: str, inner: str) -> bool:
    """Whether a room of gencarbon may import `top.inner`."""
    if top == "gencarbon":
        return room not in MAY_IMPORT or inner in MAY_IMPORT[room]
    if top in UNSEEN or (room in SCORING and top in {"torch", "diffusers"}):
        return False
    return room not in OUTSIDE or top in OUTSIDE[room] | sys.stdlib_module_names


def modules() -> list[tuple[Path, str]]:
    """Every module of the package; `__init__` keeps its name so that relative imports resolve."""
    return [(p, ".".join(p.relative_to(ROOT).with_suffix("").parts)) for p in sorted(PACKAGE.rglob("*.py"))]


def test_imports_point_one_way():
    found = [v for path, name in modules() for v in violations(path.read_text(), name)]
    assert not found, "\n".join(found)


def test_planted_violations_are_caught():
    planted = {
        "gencarbon.grid": "from gencarbon.data.clips import Clip",
        "gencarbon.data.clips": "from gencarbon.sampling import samplers",
        "gencarbon.model.unet": "from ..constants import M_CO2",
        "gencarbon.model.denoiser": "import xarray as xr",
        "gencarbon.metrics.field": "def f():\n    from gencarbon.model.unet import UNet",
        "gencarbon.budget": "from gencarbon import sampling",
        "gencarbon.evaluation": "import torch",
        "gencarbon.cli": "from eval.run import main",
    }
    for module, source in planted.items():
        assert violations(source, module), (module, source)


def test_rightful_imports_pass():
    assert not violations("from gencarbon.grid import LatLonGrid\nimport torch", "gencarbon.transport.solver")
    assert not violations("import math\nfrom .layers import Block\nimport torch", "gencarbon.model.unet")
    assert not violations("from gencarbon.budget import budget_error", "gencarbon.metrics.field")


def test_files_stay_under_300_lines():
    long = {name: n for path, name in modules() if (n := len(path.read_text().splitlines())) >= 300}
    assert not long, f"split these files: {long}"


def test_help_needs_no_torch_and_every_public_name_is_there():
    ask = (
        "import sys, gencarbon.cli; print(sorted({'torch', 'xarray', 'diffusers', 'scipy'} & {*sys.modules}))"
    )
    assert subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True).stdout == "[]\n"
    part = "import gencarbon; print(gencarbon.metrics.crps_fair.__name__, gencarbon.memory.__name__)"
    told = subprocess.run([sys.executable, "-c", part], capture_output=True, text=True)
    assert told.stdout == "crps_fair gencarbon.memory\n", told.stderr
    assert sorted(name for names in gencarbon.WHERE.values() for name in names) == gencarbon.__all__
    assert all(getattr(gencarbon, name).__name__ == name for name in gencarbon.__all__)
    assert {*gencarbon.__all__} <= {*dir(gencarbon)}
    with pytest.raises(AttributeError, match="has no attribute 'torch'"):
        _ = gencarbon.torch
