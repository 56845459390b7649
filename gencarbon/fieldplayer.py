"""Maps through time for the report: fields as bytes inside the page, which a small script paints on canvases."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from gencarbon.errors import InputError
from gencarbon.figures import ERROR_MAP, FIELD_MAP, SPREAD_MAP, field_range, size_range, snapshot

FRAMES = 60  # at most
FEWEST_FRAMES = 20  # kept before cells are averaged further
GRID = (90, 180)  # finer grids are averaged over blocks
BYTES = 4_400_000  # of all maps together; base64 makes them a third larger
COLOURS = {"field": FIELD_MAP, "error": ERROR_MAP, "spread": SPREAD_MAP}
MISSING = 255  # the code of a cell without a value

Maps = dict[str, dict[str, NDArray[np.float64]]]  # row -> title -> (frame, lat, lon), north first


@dataclass(frozen=True)
class Plan:
    """Which frames are kept (indices from the first frame), and how many cells make one block along an axis."""

    frames: tuple[int, ...]
    block: int

    @classmethod
    def of(cls, frames: int, nlat: int, nlon: int, maps: int) -> Plan:
        """The finest plan of `maps` maps per frame within `FRAMES`, `GRID` and `BYTES`; it ends at the last frame."""
        block = max(-(-nlat // GRID[0]), -(-nlon // GRID[1]))
        while True:
            room = BYTES // (maps * -(-nlat // block) * -(-nlon // block))
            count = min(frames, FRAMES, room)
            if count >= min(frames, FEWEST_FRAMES):
                stride = -(-frames // count)
                return cls(tuple(range((frames - 1) % stride, frames, stride)), block)
            block += 1


@dataclass(frozen=True)
class Bytes:
    """Fields (frame, lat, lon) as low + step * code, one low and one step per frame: right to step / 2.

    The code `MISSING` stands for NaN.
    """

    code: NDArray[np.uint8]
    low: NDArray[np.float64]
    step: NDArray[np.float64]

    @classmethod
    def of(cls, fields: NDArray[np.float64]) -> Bytes:
        """Spread each frame's range over the codes below `MISSING`."""
        there = np.isfinite(fields)
        low = np.where(there, fields, np.inf).min(axis=(1, 2))
        low = np.where(np.isfinite(low), low, 0.0)
        known = np.where(there, fields, low[:, None, None])
        step = (known.max(axis=(1, 2)) - low) / (MISSING - 1)
        code = np.rint((known - low[:, None, None]) / np.where(step > 0, step, 1.0)[:, None, None])
        return cls(np.where(there, code, MISSING).astype(np.uint8), low, step)


def block_mean(field: NDArray[np.float64], block: int) -> NDArray[np.float64]:
    """Means over blocks of the last two axes; the last block of an axis may be smaller."""
    for axis in (-2, -1):
        size = field.shape[axis]
        edges = np.arange(0, size, block)
        count = np.diff(np.append(edges, size))
        shape = (-1, 1) if axis == -2 else (-1,)
        field = np.add.reduceat(field, edges, axis=axis) / count.reshape(shape)
    return field


def player(ensembles: Mapping[str, xr.Dataset], reference: xr.Dataset) -> dict[str, Any]:
    """What the script of the page reads: axes, dates, scales, and one set of maps per ensemble.

    Values are read one time at a time. Equal maps of several ensembles (the reference) are kept once.
    """
    first = next(iter(ensembles.values()))
    times = first.time.values
    for ensemble in ensembles.values():
        times = np.intersect1d(times, ensemble.time.values)
    maps = sum(2 * (7 if "co2_background" in e else 5) for e in ensembles.values())
    if not times.size:
        raise InputError("the ensembles of a report need times in common, got none; evaluate the same period")
    plan = Plan.of(times.size, first.sizes["lat"], first.sizes["lon"], maps)
    times = times[list(plan.frames)]
    stacks = [_stack(ensemble, reference, times, plan.block) for ensemble in ensembles.values()]
    arrays: dict[str, int] = {}
    return {
        "units": "ppm",
        "lat": block_mean(_north_up(first.lat.values[:, None], first.lat.values), plan.block)[:, 0].tolist(),
        "lon": block_mean(first.lon.values[None, :], plan.block)[0].tolist(),
        "block": plan.block,
        "missing": MISSING,
        "dates": [f"{np.datetime_as_string(t, 'm').replace('T', ' ')} UTC" for t in times],
        "rows": list(stacks[0]),
        "entries": [
            {"name": name, "maps": list(_panels(stack, arrays))}
            for name, stack in zip(ensembles, stacks, strict=True)
        ],
        "arrays": list(arrays),
        "scales": {kind: _scale(kind, stacks) for kind in COLOURS},
    }


def kind_of(title: str) -> str:
    """The scale of a map: "field" | "error" | "spread"."""
    return (
        "error" if title.startswith("Error") else "spread" if title.startswith("Ensemble spread") else "field"
    )


def _stack(ensemble: xr.Dataset, reference: xr.Dataset, times: NDArray[Any], block: int) -> Maps:
    frames, lat = np.searchsorted(ensemble.time.values, times), ensemble.lat.values
    shots = [
        {
            row: {title: block_mean(_north_up(field, lat), block) for title, field in maps.items()}
            for row, maps in snapshot(ensemble, reference, int(n)).items()
        }
        for n in frames
    ]
    return {
        row: {title: np.stack([shot[row][title] for shot in shots]) for title in maps}
        for row, maps in shots[0].items()
    }


def _panels(stack: Maps, arrays: dict[str, int]) -> Iterator[dict[str, Any]]:
    """One panel per map; `arrays` holds the encoded bytes, each once, and is added to."""
    for title in next(iter(stack.values())):
        quantised = [Bytes.of(maps[title]) for maps in stack.values()]
        encoded = [base64.b64encode(q.code.tobytes()).decode("ascii") for q in quantised]
        yield {
            "title": title,
            "scale": kind_of(title),
            "array": [arrays.setdefault(text, len(arrays)) for text in encoded],
            "low": [q.low.tolist() for q in quantised],
            "step": [q.step.tolist() for q in quantised],
        }


def _scale(kind: str, stacks: list[Maps]) -> dict[str, Any]:
    """Colours (256 x RGB, base64) and the range of each row, one for all ensembles and frames."""
    ranges = []
    for row in stacks[0]:
        fields = [f for stack in stacks for title, f in stack[row].items() if kind_of(title) == kind]
        values = np.concatenate([f.ravel() for f in fields])
        ranges.append(list(field_range(values) if kind == "field" else size_range(values, kind == "error")))
    table = matplotlib.colormaps[COLOURS[kind]](np.arange(256) / 255, bytes=True)[:, :3]
    return {"colours": base64.b64encode(table.tobytes()).decode("ascii"), "range": ranges}


def _north_up(fields: NDArray[Any], lat: NDArray[Any]) -> NDArray[np.float64]:
    """(..., lat, lon) with the northernmost row first, as a screen draws it."""
    return np.asarray(fields[..., ::-1, :] if lat[0] < lat[-1] else fields, dtype=np.float64)
