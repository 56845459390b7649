"""The wind network's part of a training run."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import xarray as xr
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from gencarbon.data.finewinds import WindClips, crossed_lengths
from gencarbon.model import WindNetwork
from gencarbon.training.optimise import Optimisation
from gencarbon.training.settings import TrainConfig
from gencarbon.transport.closing import divergences, fit
from gencarbon.transport.subgrid import settled

CLOSING_SAMPLES = 64  # windows that say what is to be believed of the network's divergence


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
    levels, rows = stores["train"].sizes["level"], stores["train"].sizes["lat_fine"]
    network = WindNetwork(levels, *shape, widths=config.widths, blocks=config.blocks, rows=rows)
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
    fit_closing(network, train)
    if loop.accelerator.is_main_process:
        part = done.with_suffix(".partial")
        network.save_pretrained(part)
        part.rename(done)
    return network.eval()


@torch.no_grad()
def fit_closing(network: WindNetwork, clips: WindClips) -> None:
    """Sets what is believed of the network's divergence, from the first windows."""
    factor, grid = clips.factor, clips.grid
    lengths, lat = crossed_lengths(grid, factor), torch.tensor(grid.lat, device=network.device)
    found = []
    for index in range(min(CLOSING_SAMPLES, len(clips))):
        winds, lacking = clips[index]
        made = network(winds[None].to(network.device), lat)[0].cpu()
        found.append([divergences(settled(x.double() * lengths, factor), factor) for x in (made, lacking)])
    network.belief.copy_(fit(*(torch.stack(x) for x in zip(*found))))
