"""gencarbon: ensembles of CO2 fields from winds and surface fluxes, and the scores to prove them."""

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
