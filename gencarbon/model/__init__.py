"""Networks: torch and diffusers only; they know nothing of CO2."""

from gencarbon.model.denoiser import ResidualDenoiser
from gencarbon.model.winds import WindNetwork

__all__ = ["ResidualDenoiser", "WindNetwork"]
