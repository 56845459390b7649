"""Networks: torch and diffusers only; they know nothing of CO2."""

from gencarbon.model.denoiser import ResidualDenoiser

__all__ = ["ResidualDenoiser"]
