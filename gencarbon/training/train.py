"""A training run: the wind network, the refined runs with it, scales, the mean network, the diffusion of what it leaves."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import torch
import xarray as xr
from accelerate import Accelerator, InitProcessGroupKwargs
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset, default_collate

from gencarbon.data.backgrounds import CORRECTIONS, REFERENCE, SEGMENTS, background_runs
from gencarbon.data.clips import NEXT, OVERLAP, ClipDataset, fit_scales, spanned
from gencarbon.data.files import open_dataset
from gencarbon.data.normalize import Normalizer
from gencarbon.data.refined import beginnings_of, no_variances, refined_run_of, variances_of
from gencarbon.errors import InputError
from gencarbon.grid import HybridLevels, LatLonGrid
from gencarbon.model import ResidualDenoiser, WindNetwork
from gencarbon.sampling.components import ModelGrid, NoiseSchedule
from gencarbon.sampling.pipeline import CO2Pipeline
from gencarbon.sampling.samplers import DEFAULT_SAMPLER
from gencarbon.sampling.subgrid import LearntSubgrid
from gencarbon.threads import one_thread
from gencarbon.training.begin import weights_from
from gencarbon.training.losses import (
    Window,
    draw_known,
    fit_remainder_scale,
    mean_loss,
    one_step_loss,
    prepare,
    remainder_loss,
)
from gencarbon.training.optimise import Optimisation
from gencarbon.training.settings import PhaseConfig, TrainConfig
from gencarbon.training.winds import train_winds

SPLITS = "train", "validation"
LossOf = Callable[
    [Window, torch.Generator, Window | None], Tensor
]  # of a window, noise, and the window before where that is sampled
LONGEST_WAIT = timedelta(days=2)  # of processes for the first one, which makes the refined runs


def hardware_precision(wanted: str) -> str:
    """bf16 where the hardware multiplies it natively; elsewhere it is many times slower than float32."""
    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no"
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    return "bf16" if "amx_bf16" in flags or "avx512_bf16" in flags else "no"


class Trainer:
    """A run in `folder`: checkpoints, log.jsonl, TensorBoard events, and at the end the networks and scales."""

    def __init__(
        self,
        config: TrainConfig,
        data_folder: Path,
        folder: Path,
        say: Callable[[str], None] = print,
        begin: CO2Pipeline | None = None,
    ):
        for split in SPLITS:
            if not (data_folder / f"{split}.zarr").exists():
                raise InputError(
                    f"training needs the split {split!r} of {config.data!r}, found none in {data_folder}; "
                    f"build it first: gencarbon data build configs/data_{config.data}.yaml"
                )
        self.config, self.folder = config, folder
        self.stores = {split: open_dataset(data_folder / f"{split}.zarr") for split in SPLITS}
        self.accelerator = Accelerator(
            cpu=not torch.cuda.is_available(),
            mixed_precision=hardware_precision(config.precision),
            log_with="tensorboard",
            project_dir=str(folder),
            kwargs_handlers=[InitProcessGroupKwargs(timeout=LONGEST_WAIT)],
        )
        self.say = say if self.accelerator.is_main_process else lambda text: None
        self.loop = Optimisation(self.accelerator, folder, config.seed, config.checkpoint_every, self.say)
        torch.manual_seed(config.seed)
        levels = self.stores["train"].sizes["level"]
        self.normalizer = Normalizer(levels)
        self.model = ResidualDenoiser(
            levels=levels,
            frames=config.frames,
            widths=config.widths,
            blocks=config.blocks,
            level_fields=config.level_fields,
            one_step=config.one_step is not None or (begin is not None and begin.denoiser.config.one_step),
        )
        self.winds: WindNetwork | None = None
        self.begin = begin
        if begin is not None:
            self._begin_with(begin)
        self.model.to(self.accelerator.device)

    def run(self) -> Path:
        """Trains all networks; returns the folder of the pipeline, for `from_pretrained`."""
        folder, config, model = self.folder, self.config, self.model
        folder.mkdir(parents=True, exist_ok=True)
        text = config.model_dump_json(indent=1)
        if (folder / "config.json").exists() and (folder / "config.json").read_text() != text:
            raise InputError(f"{folder} holds a run of another config; choose another folder or delete it")
        if self.accelerator.is_main_process:  # at once: another process may be reading it
            (folder / "config.partial").write_text(text)
            (folder / "config.partial").rename(folder / "config.json")
        self.accelerator.init_trackers("tensorboard")
        if config.winds is not None:
            self.winds = train_winds(self.loop, config, self.stores)
        self._load_clips()
        self.loop.record({"phase": "windows"})  # refined runs cost, too
        with self.accelerator.main_process_first():
            self._settle_scales(folder / "scales")
        if config.mean is not None:
            self._phase("mean", config.mean, model.mean_net, lambda w, g, before: mean_loss(model, w, before))
            # a mean network that was kept leaves what it left when its samplers learnt
            fit_remainder_scale(model, self.normalizer, self._validation_windows())
            found = self.normalizer.remainder_std.numpy().round(3).tolist()
            self.say(f"remainder, in residual units per level: {found}")
            if config.remainder is None and self.begin is not None:
                self.say(
                    "the diffusion model is of another mean network now: train `remainder` before sampling with it"
                )
        unit = self.normalizer.remainder_unit()
        if config.remainder is not None:
            loss: LossOf = lambda w, g, before: remainder_loss(model, w, unit, g)  # noqa: E731
            self._phase("remainder", config.remainder, model.remainder_net, loss)
        one_step = config.one_step
        if one_step is not None:
            begun = self.begin is not None and self.begin.denoiser.one_step_net is not None
            if one_step.from_denoiser and not begun:
                self.model.one_step_net.load_state_dict(self.model.remainder_net.state_dict())
            self._phase(
                "one_step",
                one_step,
                self.model.one_step_net,
                lambda w, g, before: one_step_loss(model, w, unit, one_step, g, before),
            )
        if self.accelerator.is_main_process:
            self.pipeline().save_pretrained(folder / "pipeline")
        self.accelerator.end_training()
        return folder / "pipeline"

    def _settle_scales(self, path: Path) -> None:
        """The scales of this run: as kept, those of its beginning, or fitted and kept."""
        if path.exists():
            self.normalizer = Normalizer.from_pretrained(path)
            return
        if self.begin is None:
            fit_scales(self.normalizer, self.train, self.config.scale_samples)
        self.normalizer.save_pretrained(path.with_suffix(".partial"))
        path.with_suffix(".partial").rename(path)

    def _begin_with(self, begin: CO2Pipeline) -> None:
        """Networks and scales of a checkpoint of the same shape; what it lacks of them begins from nothing."""
        fresh = self.config.one_step is not None and not self.config.one_step.from_denoiser
        kept = weights_from(begin.denoiser, self.model)
        self.model.load_state_dict(
            {k: v for k, v in kept.items() if not (fresh and k.startswith("one_step_net."))}, strict=False
        )
        self.normalizer, self.winds = begin.normalizer, begin.winds

    def _load_clips(self) -> None:
        """Windows of both splits, each with its refined run, which the first process makes where it is missing."""
        config, processes = self.config, self.accelerator.num_processes
        phases = [phase for phase in (config.mean, config.remainder, config.one_step) if phase]
        length = sum(phase.steps for phase in phases) * config.batch * processes
        with self.accelerator.main_process_first(), one_thread():
            stores = {
                split: store.assign(
                    background_runs(
                        store, self.folder / f"backgrounds_{split}.zarr", partial(self._tell, split)
                    )
                )
                for split, store in self.stores.items()
            }
            common: dict[str, Any] = {"length": length, "seed": config.seed, "followed": config.rolled > 0}
            span, begun = spanned(config.frames, common["followed"]), []
            short = {
                "beginnings": (config.beginnings, (REFERENCE,)),
                "corrections": (config.corrections, CORRECTIONS),
            }
            for name, (count, kinds) in short.items():
                if count:
                    part = beginnings_of(stores["train"], span, count)
                    begun.append(self._clips(part, name, segment=span, begins_from=kinds, **common))
            self.train = self._clips(stores["train"], "train", beginnings=begun, **common)
            self.validation = self._clips(
                stores["validation"], "validation", length=config.validation_windows, seed=0, augment=False
            )
        self.geometry = self._on_device(self.train.geometry)

    def _clips(
        self,
        store: xr.Dataset,
        name: str,
        segment: int | None = None,
        begins_from: Sequence[str] = SEGMENTS,
        **kwargs: Any,
    ) -> ClipDataset:
        """Windows of a store with its backgrounds, and the refined run of this name. segment: its frames, see `refined_run_of`."""
        grid, levels = LatLonGrid.from_dataset(store), HybridLevels.from_dataset(store)
        subgrid_of = self.winds and partial(LearntSubgrid, self.winds, grid, levels)
        path, tell = self.folder / f"refined_{name}.zarr", partial(self._tell, name, "refined")
        refined = refined_run_of(store, self.config.refined, path, subgrid_of, tell, segment, begins_from)
        store = store.assign(tracer_refined=refined)
        if self.config.level_fields == 5:
            path, tell = self.folder / f"variance_{name}.npy", partial(self._tell, name, "variance")
            store = store.assign(tracer_variance=variances_of(store, path, tell))
        else:  # nobody reads it: no gigabytes of it
            store = store.assign(tracer_variance=no_variances(store))
        return ClipDataset(store, self.config.frames, **kwargs)

    def _tell(self, split: str, kind: str, done: int, total: int) -> None:
        self.say(f"{kind} run of {split}: frame {done} of {total}")

    def pipeline(self) -> CO2Pipeline:
        """The networks as they are now, ready to sample."""
        grid, levels = self.train.grid, self.train.levels
        place = ModelGrid(
            grid.lat_bounds,
            grid.lon_bounds,
            levels.a,
            levels.b,
            self.train.step_seconds,
            *self.train.refined_by,
        )
        one_step = self.config.remainder is None and self.model.one_step_net is not None
        sampler = "one_step" if one_step else DEFAULT_SAMPLER
        return CO2Pipeline(self.model, NoiseSchedule(sampler), self.normalizer, place, self.winds)

    def _phase(
        self,
        name: str,
        phase: PhaseConfig,
        network: nn.Module,
        loss_of: LossOf,
    ) -> None:
        frames = self.config.frames

        def loss(batch: dict[str, Tensor], generator: torch.Generator) -> Tensor:
            known = draw_known(batch["most_known"], frames, generator)
            window = self._ready({k: x for k, x in batch.items() if not k.startswith(NEXT)}, known)
            rolls = self.config.rolled > 0 and name != "remainder"
            if not rolls or float(torch.rand((), generator=generator)) >= self.config.rolled:
                return loss_of(window, generator, None)
            after = {k.removeprefix(NEXT): x for k, x in batch.items() if k.startswith(NEXT)}
            told = (torch.arange(frames) < OVERLAP).float().expand_as(known)
            return loss_of(self._ready(after, told), generator, window)

        batches = lambda step: self._batches(name, step, phase.steps)  # noqa: E731
        self.loop.phase(name, phase, network, loss, batches, lambda: self._validate(loss_of))

    def _ready(self, batch: dict[str, Tensor], known: Tensor) -> Window:
        device = self.accelerator.device
        fields = self._on_device(batch) | self.geometry
        return prepare(fields, self.normalizer.to(device), known.to(device), self.train.step_seconds)

    def _on_device(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: x.to(self.accelerator.device) for name, x in tensors.items()}

    def _batches(self, name: str, step: int, steps: int) -> DataLoader:
        """Batches from `step` on, cut evenly over processes; the two phases see different samples."""
        config, process, count = self.config, self.accelerator.process_index, self.accelerator.num_processes
        of_mean, of_remainder = (p.steps if p else 0 for p in (config.mean, config.remainder))
        before = {"mean": 0, "remainder": of_mean, "one_step": of_mean + of_remainder}
        offset = before[name] * config.batch * count
        first = [offset + (k * count + process) * config.batch for k in range(step, steps)]
        indices = [i + j for i in first for j in range(config.batch)]
        return DataLoader(
            Subset(self.train, indices), batch_size=config.batch, num_workers=1, prefetch_factor=4
        )

    def _validation_windows(self) -> list[Window]:
        """Held-out windows with one known frame, in batches."""
        size = self.config.batch
        known = (torch.arange(self.config.frames) < 1).float()
        chunks = [range(k, min(k + size, len(self.validation))) for k in range(0, len(self.validation), size)]
        collate = lambda chunk: default_collate([self.validation[i] for i in chunk])  # noqa: E731
        return [self._ready(collate(c), known.expand(len(c), -1)) for c in chunks]

    def _validate(self, loss_of: LossOf) -> float:
        generator = torch.Generator().manual_seed(0)
        losses = [float(loss_of(window, generator, None)) for window in self._validation_windows()]
        return math.fsum(losses) / len(losses)
