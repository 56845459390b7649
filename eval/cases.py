"""The cases of a benchmark on HS-CO2: canonical datasets from initial dates spread over a split."""

from __future__ import annotations

from typing import Any

import xarray as xr
from rich.console import Console

from gencarbon.data.benchmark import Build
from gencarbon.data.files import open_dataset
from gencarbon.data.settings import DataConfig
from gencarbon.data.views import canonical_datasets
from gencarbon.errors import InputError
from gencarbon.terminal import cache_folder


def split_store(data: dict[str, Any], split: str) -> xr.Dataset:
    """A split of the benchmark, built first where missing. Raises InputError for a cached one of another config."""
    config = DataConfig.load(data["config"])
    part = next(s for s in config.splits if s.name == split)
    build = Build(config, part, cache_folder() / "data" / config.name)
    if not build.path.exists():
        Console(stderr=True).print(
            f"building the {split} split of {config.name}: about {part.days * 5 // 60 + 10} minutes"
        )
    return open_dataset(build.run())


def built_as(data: dict[str, Any]) -> str:
    """The config of the benchmark's splits, all of it."""
    return DataConfig.load(data["config"]).model_dump_json()


def case_starts(data: dict[str, Any], store: xr.Dataset, dates: int) -> list[int]:
    """First frames of `dates` forecasts, evenly spread over a split."""
    last = store.sizes["time"] - data["frames"]
    if last < 0:
        raise InputError(
            f"forecasts of {data['frames']} frames do not fit into a split of {store.sizes['time']}; build a longer one"
        )
    return [round(k * last / max(1, dates - 1)) for k in range(dates)]


def initial_cases(data: dict[str, Any], split: str) -> list[dict[str, xr.Dataset]]:
    """Canonical datasets from each initial date, evenly spread over the split, which is built first where missing."""
    store = split_store(data, split)
    return [
        canonical_datasets(store, slice(first, first + data["frames"]))
        for first in case_starts(data, store, data["dates"])
    ]
