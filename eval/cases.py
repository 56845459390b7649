"""The cases of a benchmark on HS-CO2: canonical datasets from initial dates spread over a split."""

from __future__ import annotations

from typing import Any

import xarray as xr
from rich.console import Console

from gencarbon.data.benchmark import Build
from gencarbon.data.files import open_dataset
from gencarbon.data.settings import DataConfig
from gencarbon.data.views import canonical_datasets
from gencarbon.terminal import cache_folder


def initial_cases(data: dict[str, Any], split: str) -> list[dict[str, xr.Dataset]]:
    """Canonical datasets from each initial date, evenly spread over the split, which is built first where missing."""
    config = DataConfig.load(data["config"])
    part = next(s for s in config.splits if s.name == split)
    build = Build(config, part, cache_folder() / "data" / config.name)
    if not build.path.exists():
        Console(stderr=True).print(
            f"building the {split} split of {config.name}: about {part.days * 7 // 60 + 8} minutes"
        )
    store = open_dataset(build.run())
    last = store.sizes["time"] - data["frames"]
    firsts = [round(k * last / (data["dates"] - 1)) for k in range(data["dates"])]
    return [canonical_datasets(store, slice(first, first + data["frames"])) for first in firsts]
