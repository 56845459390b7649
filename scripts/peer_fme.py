"""Train the downscaling diffusion model of Ai2's package `fme` and draw an ensemble from it, for `python -m eval.run peers`.

python peer_fme.py DATA_FOLDER OUT_FOLDER --sample test --minutes 30 --width 32 --members 16 --seed 0

It runs in an environment of its own that has `fme`, and imports nothing of gencarbon. DATA_FOLDER has train.nc and what to sample, test.nc:
fine_1, fine_2, ... (time, lat, lon) and coarse_1, coarse_2, ... (time, coarse latitude, coarse longitude), a variable for each
level; any other variable of three dimensions that begins with time is one more input (fme takes inputs on the coarse grid
only, so one on the fine grid is averaged over blocks). OUT_FOLDER gets test.npz, test.json and fme's own checkpoints. A
training that was killed, or ended after fewer minutes, goes on from the last of them.

Model, loss, noise, optimizer, moving average, training loop, checkpoints and sampler are fme's, with the settings of its published
configurations except where an argument says otherwise. Three things are ours: fields are kept in memory (fme would open a file for
every sample), an epoch ends after a time of the processor (fme's after a pass through the data), and the moving average is one over
1000 steps, since trainings here are short.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ |= {"WANDB_MODE": "disabled", "MPLBACKEND": "Agg", "FME_FORCE_CPU": "1"}

import fme
import numpy as np
import torch
import xarray as xr
from fme.core.distributed import Distributed
from fme.core.ema import EMAConfig
from fme.core.logging_utils import LoggingConfig
from fme.core.loss import LossConfig
from fme.core.normalizer import NormalizationConfig
from fme.core.optimization import OptimizationConfig
from fme.core.rand import set_seed
from fme.downscaling.data import (
    BatchData,
    BatchedLatLonCoordinates,
    LatLonCoordinates,
    PairedBatchData,
    PairedDataLoaderConfig,
)
from fme.downscaling.models import (
    CheckpointModelConfig,
    DiffusionModel,
    DiffusionModelConfig,
    PairedNormalizationConfig,
)
from fme.downscaling.modules.diffusion_registry import DiffusionModuleRegistrySelector
from fme.downscaling.noise import LogNormalNoiseDistribution
from fme.downscaling.samplers import stochastic_sampler
from fme.downscaling.train import Trainer, TrainerConfig, restore_checkpoint

EPOCH = 600.0  # seconds of processor time between checkpoints
BLOCKS = 4  # residual blocks at a resolution, fme's default
BATCH = 8  # frames in a training step
SAMPLER_STEPS = 18  # 2 n - 1 evaluations of the network
CHURN = 0.0
CHECKED_TRAINING_STEPS = 3
CHECKED_MEMBERS = 4


class Fields:
    """The frames of one file, in memory, and fme's batches of them."""

    def __init__(self, path: Path):
        with xr.open_dataset(path) as found:
            data = found.load()
        levels = range(1, 1 + sum(str(name).startswith("fine_") for name in data))
        self.names = [f"co2_{k}" for k in levels]
        self.fine = {name: _array(data[f"fine_{k}"]) for name, k in zip(self.names, levels)}
        self.coarse = {name: _array(data[f"coarse_{k}"]) for name, k in zip(self.names, levels)}
        grid = self.coarse[self.names[0]].shape[1:]
        for name, field in data.items():
            if not str(name).startswith(("fine_", "coarse_")) and field.ndim == 3 and field.dims[0] == "time":
                self.coarse[str(name)] = _blocks(_array(field), grid)
        self.axes = {name: [data[d].values for d in data[f"{name}_1"].dims] for name in ("fine", "coarse")}
        self.times = self.axes["fine"][0]

    def coordinates(self, which: str) -> LatLonCoordinates:
        lat, lon = (torch.tensor(axis.tolist()) for axis in self.axes[which][1:])
        return LatLonCoordinates(lat=lat, lon=lon)

    def batch(self, chosen: np.ndarray) -> PairedBatchData:
        fine, coarse = self._half("fine", chosen), self._half("coarse", chosen)
        return PairedBatchData(fine=fine, coarse=coarse)

    def _half(self, which: str, chosen: np.ndarray) -> BatchData:
        grid = self.coordinates(which)
        lat, lon = (axis.expand(len(chosen), -1) for axis in (grid.lat, grid.lon))
        fields = {name: torch.from_numpy(field[chosen]) for name, field in getattr(self, which).items()}
        return BatchData(
            fields, xr.DataArray(self.times[chosen], dims="batch"), BatchedLatLonCoordinates(lat, lon)
        )


def _array(field: xr.DataArray) -> np.ndarray:
    return np.ascontiguousarray(field.transpose("time", ...).values, dtype=np.float32)


def _blocks(field: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Means over blocks, so that the field is on `grid`."""
    (rows, columns), (many, wide) = grid, field.shape[1:]
    return field.reshape(-1, rows, many // rows, columns, wide // columns).mean((2, 4))


class Batches:
    """One epoch as fme's trainer reads it: shuffled batches, until a number of steps or of processor seconds."""

    dims = ("lat", "lon")

    def __init__(self, fields: Fields, size: int, seed: list[int], steps: float, seconds: float):
        self.fields, self.size, self.order = fields, size, np.random.default_rng(seed)
        self.limits = steps, seconds
        self.steps, self.cpu_seconds, self.wall_seconds = 0, 0.0, 0.0

    def get_generator(self) -> Iterator[PairedBatchData]:
        cpu, wall, queue = time.process_time(), time.perf_counter(), np.zeros(0, int)
        while self.steps < self.limits[0] and self.cpu_seconds < self.limits[1]:
            while len(queue) < self.size:
                queue = np.concatenate([queue, self.order.permutation(len(self.fields.times))])
            chosen, queue = queue[: self.size], queue[self.size :]
            yield self.fields.batch(chosen)
            self.steps += 1
            self.cpu_seconds = time.process_time() - cpu
            self.wall_seconds = time.perf_counter() - wall


def statistics(fields: dict[str, np.ndarray]) -> NormalizationConfig:
    return NormalizationConfig(
        means={name: float(field.mean(dtype=float)) for name, field in fields.items()},
        stds={name: float(field.std(dtype=float)) for name, field in fields.items()},
    )


def model_config(fields: Fields, options: argparse.Namespace) -> DiffusionModelConfig:
    return DiffusionModelConfig(
        module=DiffusionModuleRegistrySelector(
            "unet_diffusion_song", {"model_channels": options.width, "num_blocks": BLOCKS}
        ),
        loss=LossConfig(type="MSE"),
        in_names=list(fields.coarse),
        out_names=fields.names,
        normalization=PairedNormalizationConfig(
            fine=statistics(fields.fine), coarse=statistics(fields.coarse)
        ),
        sigma_min=0.002,
        sigma_max=150.0,
        churn=CHURN,
        num_diffusion_generation_steps=SAMPLER_STEPS,
        predict_residual=True,
        use_amp_bf16=False,  # fme's default; with it a step on two AVX512-bf16 cores takes a third longer
        training_noise_distribution=LogNormalNoiseDistribution(p_mean=-1.2, p_std=1.8),
    )


def fresh_trainer(fields: Fields, options: argparse.Namespace, folder: Path) -> Trainer:
    set_seed(options.seed)
    unread = PairedDataLoaderConfig([], [], batch_size=BATCH, num_data_workers=0, strict_ensemble=False)
    config = TrainerConfig(
        model=model_config(fields, options),
        optimization=OptimizationConfig(lr=options.learning_rate, optimizer_type="Adam"),
        train_data=unread,
        validation_data=unread,
        max_epochs=1,
        experiment_dir=str(folder),
        save_checkpoints=True,
        logging=LoggingConfig(log_to_wandb=False),
        ema=EMAConfig(decay=0.999),
        validate_using_ema=True,
    )
    fine, coarse = fields.coordinates("fine"), fields.coordinates("coarse")
    shape = len(coarse.lat), len(coarse.lon)
    model = config.model.build(shape, len(fine.lat) // shape[0], full_fine_coords=fine)
    for layer in model.module.modules():
        if hasattr(layer, "num_groups") and len(layer.weight) % layer.num_groups:
            raise SystemExit(
                f"fme cannot normalize {len(layer.weight)} channels: --width 8, 16, 24, 32, 40, 64, 96, 128"
            )
    optimization = config.optimization.build(modules=[model.module], max_epochs=1)
    none_yet = Batches(fields, BATCH, [options.seed], steps=0, seconds=0)
    return Trainer(model, optimization, none_yet, none_yet, config)


def one_epoch(
    trainer: Trainer,
    fields: Fields,
    options: argparse.Namespace,
    steps: float = np.inf,
    seconds: float = np.inf,
) -> Batches:
    """Trains until a number of steps or of processor seconds; batches and noise are drawn anew for each epoch, so that one can go on."""
    number = trainer.startEpoch
    batches = Batches(fields, BATCH, [options.seed, number], steps, seconds)
    trainer.train_data = batches
    set_seed(options.seed + 1000 * number)
    trainer.train_one_epoch()
    trainer.startEpoch = number + 1
    return batches


def trained(fields: Fields, options: argparse.Namespace, folder: Path) -> tuple[Trainer, dict[str, float]]:
    """fme's trainer after all minutes, and what they were spent on: `steps`, `cpu_seconds`, `wall_seconds`."""
    trainer, log = fresh_trainer(fields, options, folder), folder / "epochs.json"
    epochs: list[dict[str, float]] = []
    if trainer.resuming:
        restore_checkpoint(trainer)
        epochs = json.loads(log.read_text())[: trainer.startEpoch]  # the last one's checkpoint may be missing
    spent = lambda name: sum(epoch[name] for epoch in epochs)  # noqa: E731
    while (left := 60 * options.minutes - spent("cpu_seconds")) > 0:
        made = one_epoch(trainer, fields, options, seconds=min(left, EPOCH))
        epochs.append({name: getattr(made, name) for name in ("steps", "cpu_seconds", "wall_seconds")})
        log.with_suffix(".tmp").write_text(json.dumps(epochs))
        log.with_suffix(".tmp").rename(log)
        trainer.save_epoch_checkpoints()
        share = spent("wall_seconds") / spent("cpu_seconds")
        ahead = 60 * options.minutes - spent("cpu_seconds")
        print(
            f"fme: {spent('steps')} steps, {max(0, ahead) * share / 60:.0f} min left",
            file=sys.stderr,
            flush=True,
        )
    return trainer, {name: spent(name) for name in ("steps", "cpu_seconds", "wall_seconds")}


def drawn(model: DiffusionModel, fields: Fields, frame: int, members: int) -> np.ndarray:
    """Members of one frame, (member, level, lat, lon), in one batch; the noise is torch's global one."""
    half = fields.batch(np.array([frame])).coarse
    sample = model.generate_on_batch_no_target(half, n_samples=members)
    return np.stack([sample[name][0].numpy() for name in fields.names], axis=1)


def seeded(model: DiffusionModel, fields: Fields, seed: int, groups: list[int]) -> np.ndarray:
    set_seed(seed)
    return np.concatenate([drawn(model, fields, 0, members) for members in groups])


def arithmetic(model: DiffusionModel, fields: Fields, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The same noise given to the sampler in one batch and row by row, without churn: normalized fields."""
    set_seed(seed)
    coarse = fields.batch(np.array([0])).coarse.data
    inputs, latents = model.prepare_generation_inputs(coarse, None, CHECKED_MEMBERS)
    settings = {
        "sigma_min": model.config.sigma_min,
        "sigma_max": model.config.sigma_max,
        "num_steps": model.config.num_diffusion_generation_steps,
    }
    with torch.no_grad():
        together = stochastic_sampler(model.module, latents, inputs, **settings)[0]
        rows = [
            stochastic_sampler(model.module, latents[k : k + 1], inputs[k : k + 1], **settings)[0]
            for k in range(len(latents))
        ]
    return together.numpy(), torch.cat(rows).numpy()


def reproducibility(
    model: DiffusionModel, fields: Fields, options: argparse.Namespace, folder: Path
) -> dict[str, Any]:
    """Bits compared: a short training twice, an ensemble twice, and members drawn one by one against all at once."""
    weights = []
    for name in ("first", "second"):
        trainer = fresh_trainer(fields, options, folder / name)
        one_epoch(trainer, fields, options, steps=CHECKED_TRAINING_STEPS)
        weights.append(torch.cat([p.detach().flatten() for p in trainer.model.module.parameters()]))
    seed, four, ones = options.seed + 1, [CHECKED_MEMBERS], [1] * CHECKED_MEMBERS
    first, again, single = (seeded(model, fields, seed, groups) for groups in (four, four, ones))
    together, apart = arithmetic(model, fields, seed)
    return {
        "training_same_seed_twice": bool(torch.equal(*weights)),
        "sampling_same_seed_twice": bool(np.array_equal(first, again)),
        "sampling_batch_of_1_as_of_4": bool(np.array_equal(first, single)),
        "sampling_batch_of_1_less_of_4_max": float(np.abs(first - single).max()),
        "same_noise_batch_of_1_as_of_4": bool(np.array_equal(together, apart)),
        "same_noise_batch_of_1_less_of_4_max_normalized": float(np.abs(together - apart).max()),
        "same_noise_batch_of_1_less_of_4_rms_normalized": float(np.sqrt(np.mean((together - apart) ** 2))),
        "training_steps_compared": CHECKED_TRAINING_STEPS,
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sample", default="test", help="name of the file to sample, without .nc")
    parser.add_argument(
        "--minutes", type=float, required=True, help="processor time of the training, all threads together"
    )
    parser.add_argument(
        "--width", type=int, default=32, help="channels at full resolution; twice as many below"
    )
    parser.add_argument("--members", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def main() -> None:
    options = arguments()
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    train, test = (Fields(options.data / f"{name}.nc") for name in ("train", options.sample))
    trainer, spent = trained(train, options, options.out)

    model = CheckpointModelConfig(trainer.ema_checkpoint_path).build()
    set_seed(options.seed + 1)
    cpu, wall = time.process_time(), time.perf_counter()
    frames = [drawn(model, test, k, options.members) for k in range(len(test.times))]
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    ensemble = np.stack(frames, axis=1)
    fine = test.axes["fine"]
    np.savez(options.out / f"{options.sample}.npz", ensemble=ensemble, time=fine[0], lat=fine[1], lon=fine[2])

    samples = options.members * len(test.times)
    settings = {name: value for name, value in vars(options).items() if not isinstance(value, Path)}
    report = {
        "package": "fme.downscaling",
        "versions": {
            "fme": fme.__version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "xarray": xr.__version__,
            "python": platform.python_version(),
        },
        "settings": settings,
        "parameters": sum(p.numel() for p in model.module.parameters()),
        "batch": BATCH,
        "sampler_steps": SAMPLER_STEPS,
        "channels": {"inputs": len(train.coarse), "outputs": len(train.names)},
        "training_frames": len(train.times),
        **{f"training_{name}": value for name, value in spent.items()},
        "sampling_cpu_seconds_per_frame_and_member": cpu / samples,
        "sampling_wall_seconds_per_frame_and_member": wall / samples,
        "reproducible": reproducibility(model, test, options, options.out / "repeated"),
    }
    (options.out / f"{options.sample}.json").write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    with Distributed.context():
        main()
