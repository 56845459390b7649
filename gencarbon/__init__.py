"""gencarbon: ensembles of CO2 fields from winds and surface fluxes, and the scores to prove them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gencarbon.covariances import covariance
    from gencarbon.data.normalize import Normalizer
    from gencarbon.errors import InputError
    from gencarbon.evaluation import evaluate
    from gencarbon.footprints import footprint
    from gencarbon.model import ResidualDenoiser
    from gencarbon.sampling.components import ModelGrid, NoiseSchedule
    from gencarbon.sampling.pipeline import CO2Pipeline

__all__ = [
    "CO2Pipeline",
    "InputError",
    "ModelGrid",
    "NoiseSchedule",
    "Normalizer",
    "ResidualDenoiser",
    "covariance",
    "evaluate",
    "footprint",
]
WHERE = {
    "covariances": ["covariance"],
    "data.normalize": ["Normalizer"],
    "errors": ["InputError"],
    "evaluation": ["evaluate"],
    "footprints": ["footprint"],
    "model": ["ResidualDenoiser"],
    "sampling.components": ["ModelGrid", "NoiseSchedule"],
    "sampling.pipeline": ["CO2Pipeline"],
}  # imported when asked for: `gencarbon --help` needs no torch


def __getattr__(name: str) -> Any:
    for module, names in WHERE.items():
        if name in names:
            return getattr(import_module(f"gencarbon.{module}"), name)
    try:
        return import_module(
            f"gencarbon.{name}"
        )  # gencarbon.metrics and others after `import gencarbon` alone
    except ModuleNotFoundError as error:
        if error.name != f"gencarbon.{name}":
            raise
        raise AttributeError(f"module 'gencarbon' has no attribute {name!r}") from None


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
