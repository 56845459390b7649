"""Do readers and regridding do with little memory what does not fit in it? A year of ERA5 that exists only as a dask graph."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from typing import Any

import dask.array
import numpy as np
import xarray as xr
from rich.table import Table

from eval.benchmark import Benchmark, Figure, Result
from eval.provenance import peak_memory
from gencarbon.data.prepare import write_frames
from gencarbon.data.readers import reader_of
from gencarbon.data.regrid import on_cells, on_layers
from gencarbon.data.source_info import source_facts
from gencarbon.grid import HybridLevels, LatLonGrid
from gencarbon.terminal import cache_folder

GB = 1e9
LEVELS = [
    1000,
    975,
    950,
    925,
    900,
    875,
    850,
    825,
    800,
    775,
    750,
    700,
    650,
    600,
    550,
    500,
    450,
    400,
    350,
    300,
    250,
    225,
    200,
    175,
    150,
    125,
    100,
]
LEVELS += [70, 50, 30, 20, 10, 7, 5, 3, 2, 1]  # hPa, as ERA5 has them
DRY, VAPOUR = 98305.0, 244.0  # Pa, means over the globe
CELLS, LAYERS = LatLonGrid.equiangular(32, 64), HybridLevels.sigma(8)


def run(benchmark: Benchmark, quick: bool) -> Result:
    """Quick: a fortieth of the frames."""
    data = benchmark.data | ({"frames": benchmark.data["frames"] // 40} if quick else {})
    figures: dict[str, Figure] = {}
    for part in ("check", "regrid"):
        call = [sys.executable, "-m", "eval.suites.readers", part, json.dumps(data)]
        done = subprocess.run(call, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(call[1:4])} failed")
        found = json.loads(done.stdout.splitlines()[-1])
        figures |= {
            f"{part}/peak_memory": Figure(found["memory"] / GB, "GB"),
            f"{part}/time_per_gigabyte": Figure(found["seconds"] / (found["size"] / GB), "s GB-1"),
            f"{part}/dry_pressure_error": Figure(found["dry_pressure_error"], "Pa"),
            "source_size": Figure(found["size"] / GB, "GB"),
        }
    table = Table("figure", "value", "units", title=benchmark.title)
    for name, figure in figures.items():
        table.add_row(name, f"{figure.value:.4g}", figure.units)
    return Result(figures, table)


def virtual_era5(data: dict[str, Any]) -> xr.Dataset:
    """Winds, humidity and surface pressure as the Climate Data Store names and turns them, a chunk a frame, made when read."""
    lat, lon = np.linspace(90, -90, data["rows"]), np.arange(0, 360, 180 / (data["rows"] - 1))
    frames = data["frames"]
    p, y, x = np.array(LEVELS)[:, None, None] / 1000, np.deg2rad(lat)[:, None], np.deg2rad(lon)
    area = np.cos(y) + 0 * x
    area[[0, -1]] = np.sin(np.deg2rad(180 / (lat.size - 1)) / 4) / 2  # half cells at the poles
    mean = lambda z: float((z * area).sum() / area.sum())  # noqa: E731
    surface = 3000 * np.cos(y) ** 2 * np.sin(2 * x)
    surface += DRY + VAPOUR - mean(surface)
    # what humidity weighs, by the layers that the reader makes
    ends = np.concatenate([[np.inf], (np.array(LEVELS[:-1]) + LEVELS[1:]) * 50.0, [0.0]])
    layers = [
        np.clip(surface, None, ends[k]) - np.clip(surface, None, ends[k + 1]) for k in range(len(LEVELS))
    ]
    humidity = p**3 * np.cos(y) ** 2
    humidity = humidity * VAPOUR / mean(sum(q * dp for q, dp in zip(humidity, layers)))
    patterns = {
        "u": 30 * np.cos(y) * (1.2 - p) + 0 * x,
        "v": 5 * np.sin(2 * x) * np.cos(y) + 0 * p,
        "q": humidity + 0 * x,
    }

    def field(pattern: np.ndarray, swing: float) -> dask.array.Array:
        small = pattern.astype(np.float32)

        def frame(block_info: Any = None) -> np.ndarray:
            k = block_info[None]["array-location"][0][0]
            return small[None] * np.float32(1 + swing * np.sin(2 * np.pi * k / 60))

        chunks = ((1,) * frames, *((size,) for size in pattern.shape))
        return dask.array.map_blocks(
            frame, chunks=chunks, dtype=np.float32, meta=np.empty((0,) * (pattern.ndim + 1), np.float32)
        )

    dims = ("valid_time", "pressure_level", "latitude", "longitude")
    units = {"u": "m s**-1", "v": "m s**-1", "q": "kg kg**-1"}
    ds = xr.Dataset(
        {k: (dims, field(v, 0 if k == "q" else 0.2), {"units": units[k]}) for k, v in patterns.items()}
    )
    ds["sp"] = ((dims[0], *dims[2:]), field(surface, 0.0), {"units": "Pa"})
    times = np.datetime64("2018-01-01", "ns") + np.arange(frames) * np.timedelta64(12, "h")
    level = ("pressure_level", np.array(LEVELS, float), {"units": "hPa"})
    return ds.assign_coords(valid_time=times, pressure_level=level, latitude=lat, longitude=lon)


def measure(part: str, data: dict[str, Any]) -> dict[str, float]:
    """One pass over the virtual year in this process: seconds, bytes of the source, peak memory (bytes), and whether air was weighed right."""
    source = virtual_era5(data)
    reader = reader_of(source)
    assert reader is not None
    begun = time.perf_counter()
    if part == "check":
        pressure = 100 * source_facts(reader, {"virtual": source})["mean_dry_surface_pressure_hpa"]
    else:
        out = cache_folder() / "readers.zarr"
        for path in (out, out.with_name(f"{out.name}.partial")):
            shutil.rmtree(path, ignore_errors=True)
        out.parent.mkdir(parents=True, exist_ok=True)
        made = on_layers(on_cells(reader.read(source), CELLS), LAYERS)
        write_frames(made[["u", "v", "surface_pressure", "cell_area"]], out, {})
        written = xr.open_zarr(out, consolidated=False)
        pressure = float(written.surface_pressure[-1].weighted(written.cell_area).mean())
        shutil.rmtree(out)
    seconds = time.perf_counter() - begun
    error = abs(pressure - DRY)
    return {
        "seconds": seconds,
        "size": source.nbytes,
        "memory": peak_memory(),
        "dry_pressure_error": error,
    }


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], json.loads(sys.argv[2]))))
