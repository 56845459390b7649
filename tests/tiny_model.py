"""An untrained pipeline on the canonical 8 x 16 x 3 grid: laws must hold for any weights."""

import torch

from gencarbon import CO2Pipeline, ModelGrid, NoiseSchedule, Normalizer, ResidualDenoiser
from tests import canonical

FRAMES = 4


def random_weights(module, scale=0.2):
    """Every parameter that starts at zero gets noise, so that nothing is trivially right."""
    generator = torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        if parameter.abs().sum() == 0:
            parameter.data = scale * torch.randn(parameter.shape, generator=generator)
    return module


def tiny_pipeline(steps=6):
    torch.manual_seed(0)
    denoiser = random_weights(ResidualDenoiser(levels=3, frames=FRAMES, widths=(8, 16), blocks=1)).eval()
    normalizer = Normalizer(3)
    normalizer.residual_std.fill_(0.2)
    normalizer.u_std.fill_(10.0)
    normalizer.v_std.fill_(10.0)
    grid, levels = canonical.GRID, canonical.LEVELS
    place = ModelGrid(grid.lat_bounds, grid.lon_bounds, levels.a, levels.b, canonical.STEP_SECONDS)
    return CO2Pipeline(
        denoiser, NoiseSchedule(steps=steps, amplitude_spread=(0.1, 0.3, 0.2)), normalizer, place
    )


def inputs(frames=8):
    return {
        "winds": canonical.winds(frames),
        "fluxes": canonical.fluxes(frames),
        "background": canonical.background(frames),
        "initial": canonical.initial(),
    }
