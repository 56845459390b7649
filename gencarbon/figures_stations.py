"""Scores at stations: a table of text and a map coloured by bias."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from gencarbon.figures import ERROR_MAP, INK, MUTED, bar, canvas, label, plain
from gencarbon.scorecard import fixed

COLUMNS = {
    "n": ("Samples", ".0f"),
    "bias": ("Bias, ppm", "+.2f"),
    "rmse": ("RMSE, ppm", ".2f"),
    "correlation": ("Correlation", ".2f"),
    "crps": ("CRPS, ppm", ".2f"),
    "spread": ("Spread, ppm", ".2f"),
    "spread_skill": ("Spread-skill", ".2f"),
}
NAMED = 25  # more labels than this cover each other


def station_names(stations: xr.Dataset) -> list[str]:
    """The names of the stations, or their numbers."""
    for name in ("station_name", "name", "station"):
        if name in stations.variables and stations[name].dims == ("station",):
            values = stations[name].values
            return [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in values]
    return [str(n + 1) for n in range(stations.sizes["station"])]


def station_table(stations: xr.Dataset) -> dict[str, list[list[str]]]:
    """A head and rows of text, of the scores that are there; pooled scores last."""
    columns = {k: v for k, v in COLUMNS.items() if k in stations and stations[k].dims == ("station",)}
    rows = []
    for n, name in enumerate(station_names(stations)):
        rows.append([name, *(_text(stations[k].values[n], form) for k, (_, form) in columns.items())])
    pooled = {k: stations[f"{k}_overall"] for k in columns if f"{k}_overall" in stations}
    if pooled:
        cells = [_text(pooled[k], form) if k in pooled else "–" for k, (_, form) in columns.items()]
        rows.append(["All", *cells])
    return {"head": [["Station", *(title for title, _ in columns.values())]], "rows": rows}


def has_map(stations: xr.Dataset) -> bool:
    """Whether the stations can be drawn on a map."""
    return _places(stations) is not None and "bias" in stations and stations.sizes["station"] > 0


def station_map(stations: xr.Dataset) -> Figure:
    """Every station where it stands, its colour the bias."""
    places = _places(stations)
    if places is None:
        raise ValueError(f"a map needs lat and lon of the stations, got {list(stations.variables)}; add them")
    lat, lon = places
    fig = canvas(10.4, 5.0)
    ax = fig.subplots()
    bias = stations["bias"].values.astype(np.float64)
    limit = float(np.nanmax(np.abs(bias))) if np.isfinite(bias).any() else 0.0
    limit = limit or 1.0
    look: dict[str, Any] = {
        "cmap": ERROR_MAP,
        "vmin": -limit,
        "vmax": limit,
        "edgecolors": INK,
        "linewidths": 0.8,
        "clip_on": False,
    }
    image = ax.scatter(lon, lat, c=bias, s=70, plotnonfinite=True, zorder=3, **look)
    if lon.size <= NAMED:
        for x, y, name in zip(lon, lat, station_names(stations), strict=True):
            ax.annotate(plain(name), (x, y), (6, 5), textcoords="offset points", fontsize=8, color=MUTED)
    ax.set(xlim=(-180, 180), ylim=(-90, 90), xticks=range(-180, 181, 60), yticks=range(-90, 91, 30))
    ax.set_aspect("equal")
    label(ax, "longitude, °E", "latitude, °N", "Bias at stations")
    bar(ax, image, "bias, ppm", "neither")
    return fig


def _places(stations: xr.Dataset) -> tuple[np.ndarray, np.ndarray] | None:
    for lat, lon in (("lat", "lon"), ("latitude", "longitude")):
        if lat in stations.variables and lon in stations.variables:
            east = stations[lon].values.astype(np.float64)
            return stations[lat].values.astype(np.float64), (east + 180) % 360 - 180
    return None


def _text(value: float | xr.DataArray, form: str) -> str:
    return fixed(value, form) if np.isfinite(float(value)) else "–"
