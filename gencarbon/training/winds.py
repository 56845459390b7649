"""The wind network's part of a training run."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import xarray as xr
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from gencarbon.data.finewinds import WindClips
from gencarbon.model import WindNetwork
from gencarbon.training.optimise import Optimisation
from gencarbon.training.settings import TrainConfig


def train_winds(loop: Optimisation, config: TrainConfig, stores: Mapping[str, xr.Dataset]) -> WindNetwork:
    """Squared error of what a step lacks, area-weighted, each level and direction in units of its size."""
    assert config.winds is not None
    steps = config.winds.steps
    done = loop.folder / "winds"
    if done.exists():
        return WindNetwork.from_pretrained(done).to(loop.accelerator.device).eval()
    processes, process = loop.accelerator.num_processes, loop.accelerator.process_index
    shape, batch = (config.refined.factor, config.winds.context), config.winds.batch
    train = WindClips(stores["train"], *shape, steps * batch * processes, config.seed)
    held = WindClips(stores["validation"], *shape, config.validation_windows, 0, augment=False)
    network = WindNetwork(stores["train"].sizes["level"], *shape, widths=config.widths, blocks=config.blocks)
    network.to(loop.accelerator.device)
    for buffer, size in zip((network.input_std, network.lacking_std), train.scales()):
        buffer.copy_(size.clamp(min=1e-12))
    lat = torch.tensor(train.grid.lat)
    weight = torch.tensor(train.grid.area / train.grid.area.mean(), dtype=torch.float32)

    def loss(pair: tuple[Tensor, Tensor], generator: torch.Generator) -> Tensor:
        winds, lacking = (x.to(loop.accelerator.device) for x in pair)
        miss = (network(winds, lat.to(winds)) - lacking) / network.lacking_std[..., None, None, None]
        return (miss**2 * weight.to(miss)).mean()

    def batches(step: int) -> DataLoader:
        first = [(k * processes + process) * batch for k in range(step, steps)]
        indices = [i + j for i in first for j in range(batch)]
        return DataLoader(Subset(train, indices), batch_size=batch)

    def validate() -> float:
        losses = [float(loss(pair, torch.Generator())) for pair in DataLoader(held, batch_size=batch)]
        return math.fsum(losses) / len(losses)

    loop.phase("winds", config.winds, network.network, loss, batches, validate)
    if loop.accelerator.is_main_process:
        part = done.with_suffix(".partial")
        network.save_pretrained(part)
        part.rename(done)
    return network.eval()
