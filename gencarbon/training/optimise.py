"""The training loop: one for every network, any number of processes, resumed exactly.

Batches and noise are functions of (seed, step, process), so a run that was killed and resumed equals one that was not.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from gencarbon.data.files import write_whole
from gencarbon.training.settings import PhaseConfig

Loss = Callable[[Any, torch.Generator], Tensor]  # of a batch


class Optimisation:
    """What the phases of one training run share: folder, processes, log.jsonl, TensorBoard events.

    every: steps between checkpoints.
    """

    def __init__(
        self, accelerator: Accelerator, folder: Path, seed: int, every: int, say: Callable[[str], None]
    ):
        self.accelerator, self.folder, self.seed, self.every, self.say = accelerator, folder, seed, every, say

    def phase(
        self,
        name: str,
        phase: PhaseConfig,
        network: nn.Module,
        loss_of: Loss,
        batches: Callable[[int], Iterable[Any]],
        validate: Callable[[], float],
    ) -> None:
        """Optimises one network and leaves its moving average in it. batches(step): those from `step` on."""
        done = self.folder / f"{name}.pt"
        if done.exists():
            network.load_state_dict(torch.load(done, weights_only=True))
            return
        # processes begin alike, whatever has drawn random numbers in one of them
        for parameter in network.parameters():
            parameter.data = broadcast(parameter.data)
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=phase.learning_rate, betas=(0.9, 0.98), weight_decay=phase.weight_decay
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: _warm_cosine(k, phase))
        ema = EMAModel(network.parameters(), decay=phase.ema)
        parts: dict[str, Any] = {"network": network, "optimizer": optimizer, "schedule": schedule, "ema": ema}
        step, saved = 0, self.folder / f"{name}.resume.pt"
        if saved.exists():
            state = torch.load(saved, weights_only=True)
            step = state["step"]
            for key, part in parts.items():
                part.load_state_dict(state[key])
        began, first = time.time(), step
        for batch in batches(step):
            with self.accelerator.autocast():
                loss = loss_of(batch, self._generator(name, step))
            self.accelerator.backward(loss)
            self._average_gradients(network)
            norm = self.accelerator.clip_grad_norm_(network.parameters(), phase.clip)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            ema.step(network.parameters())
            step += 1
            if step % 20 == 0 or step == phase.steps:
                left = (time.time() - began) / (step - first) * (phase.steps - step)
                values = {"loss": float(loss.detach()), "gradient_norm": float(norm)}
                self._log(name, step, values, f"{left / 60:.1f} min left")
            if step % self.every == 0 or step == phase.steps:
                self._save(saved, {"step": step} | {k: v.state_dict() for k, v in parts.items()})
                ema.store(network.parameters())
                ema.copy_to(network.parameters())
                with torch.no_grad():
                    self._log(name, step, {"validation_loss": validate()})
                ema.restore(network.parameters())
        ema.copy_to(network.parameters())
        self._save(done, network.state_dict())

    def _average_gradients(self, network: nn.Module) -> None:
        """Over processes, by hand: losses call the network as a part of others, past any wrapper that would do it."""
        if self.accelerator.num_processes > 1:
            for parameter in network.parameters():
                if parameter.grad is not None:
                    parameter.grad = self.accelerator.reduce(parameter.grad, reduction="mean")

    def _generator(self, name: str, step: int) -> torch.Generator:
        key = [self.seed, step, self.accelerator.process_index, len(name)]
        return torch.Generator().manual_seed(
            int(torch.tensor(key).mul(torch.tensor([1_000_003, 10_007, 101, 1])).sum())
        )

    def _log(self, phase: str, step: int, values: dict[str, float], note: str = "") -> None:
        self.accelerator.log({f"{phase}/{k}": v for k, v in values.items()}, step=step)
        shown = "  ".join(f"{k} {v:.4f}" for k, v in values.items())
        self.say(f"{phase} {step}  {shown}  {note}".rstrip())
        self.record({"phase": phase, "step": step} | values)

    def record(self, values: dict[str, Any]) -> None:
        """A line of log.jsonl, with what this go of the first process and its workers cost so far."""
        if self.accelerator.is_main_process:
            with (self.folder / "log.jsonl").open("a") as file:
                file.write(json.dumps(values | {"cpu_seconds": round(cpu_seconds(), 1)}) + "\n")

    def _save(self, path: Path, state: dict[str, Any]) -> None:
        """Atomically: a kill while writing leaves the previous checkpoint."""
        if self.accelerator.is_main_process:
            write_whole(path, partial(torch.save, state))


def cpu_seconds() -> float:
    """Processor time of this process so far and of those that it has started, all threads together, in s."""
    this, spent = psutil.Process(), 0.0
    for process in (this, *this.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # ended meanwhile: its parent's from now on
            t = process.cpu_times()
            spent += t.user + t.system + t.children_user + t.children_system
    return spent


def cpu_seconds_of(log: Path) -> float:
    """What a run cost by its log.jsonl, in s: the last line of each go, since a killed run that goes on counts anew.

    What a go spent after its last line is not in it."""
    lines = [json.loads(line)["cpu_seconds"] for line in log.read_text().splitlines()]
    return sum(now for now, after in zip(lines, [*lines[1:], 0.0]) if after < now)


def _warm_cosine(step: int, phase: PhaseConfig) -> float:
    if step < phase.warmup:
        return (step + 1) / phase.warmup
    return 0.5 * (1 + math.cos(math.pi * (step - phase.warmup) / max(1, phase.steps - phase.warmup)))
