"""Members: windows of frames rolled out over overlapping known frames. The border from arrays to torch.

A member is a function of (checkpoint, inputs, seed, member) alone: it owns its noise, is computed by itself on one thread, and so
comes out bit for bit the same in any batch, order, process or machine of one kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from gencarbon.constants import SECONDS_PER_DAY, kgkg_to_ppm
from gencarbon.data.backgrounds import WIDER
from gencarbon.data.clips import OVERLAP
from gencarbon.data.normalize import clock
from gencarbon.errors import InputError
from gencarbon.sampling.amplitude import own_draw
from gencarbon.sampling.given import Array, Given
from gencarbon.sampling.projection import MassProjection, close_budget, contents

if TYPE_CHECKING:
    from gencarbon.sampling.pipeline import CO2Pipeline


def window_starts(frames: int, window: int, first_known: bool) -> list[int]:
    """First frames of windows that cover `frames`, each sharing at least OVERLAP frames with the one before, spread evenly."""
    if frames < window:
        kind = "the known first one included" if first_known else "all generated"
        raise InputError(
            f"sampling needs at least {window} frames ({kind}), got {frames}; give a longer period of winds and fluxes"
        )
    count = 1 + -(-(frames - window) // (window - OVERLAP))
    return [round(k * (frames - window) / max(1, count - 1)) for k in range(count)]


def member_noise(shape: tuple[int, ...], seed: int, member: int, window: int, draw: int) -> Tensor:
    """Standard normal noise owned by a member, drawn on the CPU: float64 of float32 draws."""
    words = np.random.SeedSequence([seed, member, window, draw]).generate_state(2, np.uint32)
    generator = torch.Generator().manual_seed(int(words[0]) << 31 ^ int(words[1]))
    return torch.randn(shape, generator=generator).double()


@dataclass(frozen=True, eq=False)
class Forecast:
    """A pipeline with all that its members are conditioned on. refined: the refined run, (time, level, lat, lon) ppm; variance: what it
    may be off, ppm2, see `coarse_run.variance_of`."""

    pipe: CO2Pipeline
    given: Given
    refined: Array
    variance: Array

    @cached_property
    def starts(self) -> list[int]:
        return window_starts(len(self.given.time), self.pipe.frames, self.given.initial is not None)

    @cached_property
    def frame_of_window(self) -> NDArray[np.int64]:
        """Of every frame, (time,): as which frame of a window it was made, 0 of the first one, known or not."""
        made = np.zeros(len(self.given.time), np.int64)
        for start in reversed(self.starts):  # the first window that has a frame makes it
            made[start : start + self.pipe.frames] = np.arange(self.pipe.frames)
        return made

    @cached_property
    def window(self) -> Callable[[int], dict]:
        """Network inputs of window k, shared by all members: kept with the forecast, and let go with it."""
        return lru_cache(maxsize=64)(self._window)

    def _window(self, k: int) -> dict:
        cut = slice(self.starts[k], self.starts[k] + self.pipe.frames)
        device = self.pipe.device
        on_levels = lambda a: torch.as_tensor(a[cut].swapaxes(0, 1)[None].copy(), device=device)  # noqa: E731
        on_surface = lambda a: torch.as_tensor(a[cut][None].copy(), device=device)  # noqa: E731
        grid = self.pipe.grid
        coarse = self.refined if self.given.coarse is None else self.given.coarse
        fields = {"background": on_levels(coarse), "refined": on_levels(self.refined)}
        fields["variance"] = on_levels(self.variance)
        fields["exact"] = torch.full((1,), float(self.given.blocks == WIDER), device=device)
        fields |= {name: on_levels(wind) for name, wind in zip(("u_face", "v_face"), self.given.face_winds)}
        fields |= {"air_mass": on_levels(self.given.air_mass), "flux": on_surface(self.given.flux)}
        fields |= {
            "surface_pressure": on_surface(self.given.surface_pressure),
            "area": grid.cell_area.double(),
        }
        fields["lat"] = torch.as_tensor(grid.cells.lat, device=device)
        fields["clock"] = clock(self.given.time[cut], torch.as_tensor(grid.cells.lon)).to(device)[None]
        cond, amplitude = self.pipe.normalizer.encode(fields, grid.step_seconds)
        if self.given.blocks is None:
            frames = torch.as_tensor(kgkg_to_ppm(self.given.target_mass[cut]), device=device)
            target = frames[None, None, :, None, None]
        else:
            target = contents(fields["air_mass"] * fields["background"], self.given.blocks)
        unit = self.pipe.normalizer.residual_unit(amplitude)
        detail = self.pipe.normalizer.detail(fields["refined"], fields["air_mass"]) / amplitude[:, None]
        return {
            "cond": cond,
            "unit": unit,
            "detail": detail[0],
            "target": target,
            "refined": fields["refined"],
            "air_mass": fields["air_mass"],
        }

    def _days(self, k: int) -> Tensor:
        """Since the first frame, of the frames of window k, (time,)."""
        return (
            (self.starts[k] + torch.arange(self.pipe.frames)) * self.pipe.grid.step_seconds / SECONDS_PER_DAY
        )

    @torch.no_grad()
    def member(self, seed: int, member: int | None) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Yields (first frame, co2 (time, level, lat, lon) ppm, correction (time,) ppm) as windows finish.

        member None is the mean network rolled out on itself: no noise, the same constraints.

        What is yielded of a member with an amplitude of its own is refined run + amplitude * (what was rolled out - refined run). Windows
        go on from what was rolled out: in it, amplitudes would grow with every window (decisions/0020).
        """
        done, amplitude = 0, self._amplitude(seed, member)
        co2 = np.empty(self.given.background.shape)
        if self.given.initial is not None:
            co2[0], done = self.given.initial, 1
            yield 0, co2[:1], np.zeros(1)
        for k, start in enumerate(self.starts):
            known = done - start
            free = self._window_of_member(k, known, co2[start:done], seed, member)
            rolled, correction = self._closed(k, known, *free)
            co2[done : start + self.pipe.frames] = rolled
            yield (
                done,
                *((rolled, correction) if amplitude is None else self._closed(k, known, *free, amplitude)),
            )
            done = start + self.pipe.frames

    def _amplitude(self, seed: int, member: int | None) -> Tensor | None:
        """That of a member, (level, 1, 1, 1), where it has one: where a state is known, so that the refined run is near the reference, and
        no means of wide cells are kept."""
        scheduler, given = self.pipe.scheduler, self.given
        if (
            member is None
            or given.initial is None
            or given.blocks is not None
            or not scheduler.has_amplitudes
        ):
            return None
        return scheduler.member_amplitude(own_draw(seed, member))

    def template(self, dims: tuple[str, ...]) -> xr.Dataset:
        """Everything of an ensemble dataset but its members."""
        return self.given.template().assign(co2_refined=(dims, self.refined))

    def _window_of_member(
        self, k: int, known: int, past: np.ndarray, seed: int, member: int | None
    ) -> tuple[Tensor, Tensor]:
        """CO2 before its budget is closed, and the unit of its departures from the mean network, ppm."""
        w, pipe = self.window(k), self.pipe
        mask = (torch.arange(pipe.frames, device=pipe.device) < known).float()[None]
        residual = torch.zeros_like(w["refined"])
        if known:
            residual[:, :, :known] = (
                torch.as_tensor(past.swapaxes(0, 1)[None].copy(), device=pipe.device)
                - w["refined"][:, :, :known]
            )
        residual = (residual / w["unit"]).float()
        mean, scale = pipe.denoiser.mean(w["cond"], residual, mask), pipe.denoiser.scale(residual, mask)
        offset = w["refined"] + w["unit"] * mean.double()
        unit = (w["unit"] * scale.double() * pipe.normalizer.remainder_unit()).expand_as(offset)
        free, blocks = 1 - mask.double(), self.given.blocks
        project = MassProjection(w["air_mass"], w["target"], offset, unit, free, blocks)
        x = torch.zeros_like(offset)
        if member is not None:
            network = pipe.sampling_network

            def denoise(x: Tensor, sigma: float) -> Tensor:
                level = torch.full_like(mask, sigma)
                return project(pipe.denoiser(x.float(), level, w["cond"], mean, mask, network).double())

            noise = lambda draw: member_noise(tuple(x.shape), seed, member, k, draw).to(x)  # noqa: E731
            x = pipe.scheduler.solver(denoise, noise(0), lambda step: noise(1 + step))
            knows, keeps = self.given.initial is not None, blocks is not None
            scale = pipe.scheduler.sample_scale(self._days(k), w["detail"], k == 0, knows, keeps)
            x = scale.to(x) * x
        return offset + unit * x, unit

    def _closed(
        self, k: int, known: int, co2: Tensor, unit: Tensor, amplitude: Tensor | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """co2 (time, level, lat, lon) ppm and correction (time,) ppm of the frames of window k after `known`, budgets closed."""
        w = self.window(k)
        if amplitude is not None:
            co2 = w["refined"] + amplitude.to(co2) * (co2 - w["refined"])
        co2, correction = close_budget(co2, w["air_mass"], unit**2, w["target"], self.given.blocks)
        return co2[0, :, known:].swapaxes(0, 1).cpu().numpy(), correction[0, known:].cpu().numpy()


def mean_network_run(forecasts: Sequence[Forecast]) -> Array:
    """CO2 of the mean network rolled out, averaged over input members, (time, level, lat, lon) ppm."""
    runs = [next(run_members([one], 0, [None], workers=1))[1] for one in forecasts]
    return np.mean(runs, axis=0)


def run_members(
    forecasts: Sequence[Forecast],
    seed: int,
    members: Sequence[int | None],
    workers: int,
    tick: Callable[[], None] = lambda: None,
) -> Iterator[tuple[int | None, np.ndarray, np.ndarray]]:
    """Yields (member, co2, correction) of several members, `workers` at a time, each on one thread; `tick` after every window.

    forecasts: one per input member, shared out over members in turn; the mean network (member None) takes the first.

    One thread each: reductions over several threads round differently, and a member would depend on the machine's cores.
    """

    def whole(member: int | None) -> tuple[int | None, np.ndarray, np.ndarray]:
        torch.set_num_threads(1)
        forecast = forecasts[(member or 0) % len(forecasts)]
        co2, correction = np.empty(forecast.given.background.shape), np.zeros(len(forecast.given.time))
        for first, made, moved in forecast.member(seed, member):
            co2[first : first + len(made)], correction[first : first + len(made)] = made, moved
            tick()
        return member, co2, correction

    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(workers)
    try:
        yield from pool.map(whole, members)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)
