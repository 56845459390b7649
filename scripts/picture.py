"""Draw docs/result.png for the README from a demo.   python scripts/picture.py demo-output"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import xarray as xr

from gencarbon.sample_data import load_sample

FRAME = 40  # ten days after the known state

if __name__ == "__main__":
    ensemble = xr.open_zarr(Path(sys.argv[1]) / "ensemble.zarr").isel(time=FRAME, level=0)
    truth = load_sample()["reference"].co2.isel(time=FRAME, level=0)
    mean = ensemble.co2.mean("member")
    fields = [
        ("Reference", truth, "viridis"),
        ("Coarse run", ensemble.co2_background, "viridis"),
        ("Member 1", ensemble.co2[0], "viridis"),
        ("Ensemble mean", mean, "viridis"),
        ("Error of the coarse run", ensemble.co2_background - truth, "RdBu_r"),
        ("Error of the ensemble mean", mean - truth, "RdBu_r"),
        ("Ensemble spread", ensemble.co2.std("member"), "magma"),
        ("Member 2", ensemble.co2[1], "viridis"),
    ]
    order = (0, 1, 2, 7, 3, 4, 5, 6)
    figure, axes = plt.subplots(2, 4, figsize=(15, 4.6), layout="constrained", sharex=True, sharey=True)
    low, high = float(truth.quantile(0.01)), float(truth.quantile(0.99))
    limits = {"viridis": (low, high), "RdBu_r": (-3, 3), "magma": (0, 0.6)}
    for axis, k in zip(axes.flat, order):
        title, field, colours = fields[k]
        image = axis.pcolormesh(
            field.lon, field.lat, field, cmap=colours, vmin=limits[colours][0], vmax=limits[colours][1]
        )
        axis.set_title(title, loc="left", fontsize=10)
        figure.colorbar(image, ax=axis, shrink=0.8, label="ppm")
    figure.suptitle("CO2 near the surface, ten days ahead, winds never seen in training", x=0.01, ha="left")
    Path("docs").mkdir(exist_ok=True)
    figure.savefig("docs/result.png", dpi=100)
