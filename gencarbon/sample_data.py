"""The shipped sample: ten days of the test split of HS-CO2, for the demo and for quick benchmarks."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import xarray as xr
from zarr.codecs import BloscCodec

from gencarbon.data.files import open_dataset

ROLES = ("winds", "fluxes", "background", "reference", "initial")
# Smallest step kept of each variable when the sample is packed as 16-bit integers around an offset; the rest stays float.
PACKED = {"co2": (2e-3, 400.0), "u": (0.1, 0.0), "v": (0.1, 0.0)}
PACKED |= {"eastward_air_mass_flux": (2e8, 0.0), "northward_air_mass_flux": (2e8, 0.0)}


def sample_path(role: str) -> Path:
    """The Zarr store of one role of the shipped sample."""
    return Path(str(files("gencarbon") / "samples" / f"{role}.zarr"))


def load_sample() -> dict[str, xr.Dataset]:
    """The shipped sample, by role: `winds`, `fluxes`, `background`, `reference`, `initial`."""
    return {role: open_dataset(sample_path(role)).load() for role in ROLES}


def pack_sample(datasets: dict[str, xr.Dataset], folder: Path) -> None:
    """Writes the sample into `folder`. Mole fractions are kept to 0.002 ppm, winds to 0.1 m s-1, air mass fluxes to 2e8 kg s-1 (2 to
    4 % of their spread; sampling closes continuity again): enough to sample and score.

    The reference's own budget therefore closes to about 1e-3 of the net flux here, and to 1e-6 in a built benchmark.
    """
    for role, ds in datasets.items():
        encoding: dict[str, dict] = {}
        for name, array in ds.data_vars.items():
            codec = lambda size, how: [BloscCodec(cname="zstd", clevel=9, shuffle=how, typesize=size)]  # noqa: E731
            if name in PACKED:
                scale, offset = PACKED[str(name)]
                encoding[str(name)] = {
                    "dtype": "int16",
                    "scale_factor": scale,
                    "add_offset": offset,
                    "compressors": codec(2, "bitshuffle"),
                }
            else:
                ds[name] = array.astype(np.float32)
                encoding[str(name)] = {"compressors": codec(4, "shuffle")}
        ds.to_zarr(folder / f"{role}.zarr", mode="w", zarr_format=3, consolidated=False, encoding=encoding)
