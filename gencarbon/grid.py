"""Cells and layers: horizontal lat-lon cells with exact areas, hybrid levels, conservative coarsening."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr

from gencarbon.constants import EARTH_RADIUS, GRAVITY
from gencarbon.errors import InputError


@dataclass(frozen=True)
class LatLonGrid:
    """Latitude-longitude cells given by their edges, in degrees, south to north and eastward."""

    lat_bounds: tuple[float, ...]
    lon_bounds: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("lat_bounds", "lon_bounds"):
            edges = np.asarray(getattr(self, name), dtype=float)
            object.__setattr__(self, name, tuple(edges.tolist()))
            if edges.size < 2 or not np.all(np.diff(edges) > 0):
                raise ValueError(
                    f"{name} must increase ({'south to north' if name == 'lat_bounds' else 'eastward'}), "
                    f"got {edges[:4]}...; sort the dataset first: ds.sortby(...)"
                )
        if self.lat_bounds[0] < -90 or self.lat_bounds[-1] > 90:
            raise ValueError(
                f"lat_bounds must lie within -90..90 degrees, got {self.lat_bounds[0]}, {self.lat_bounds[-1]}"
            )
        if self.lon_bounds[-1] - self.lon_bounds[0] > 360 + 1e-9:
            raise ValueError(
                f"lon_bounds must span at most 360 degrees, got {self.lon_bounds[-1] - self.lon_bounds[0]}"
            )

    @classmethod
    def equiangular(cls, nlat: int, nlon: int) -> LatLonGrid:
        """The global grid of `nlat` x `nlon` cells of equal angles; the first cell is centred at half a cell east of 0."""
        lat = np.linspace(-90, 90, nlat + 1)
        lon = np.linspace(0, 360, nlon + 1)
        return cls(tuple(lat), tuple(lon))

    @classmethod
    def from_dataset(cls, ds: xr.Dataset) -> LatLonGrid:
        """The grid whose cell centres are `lat` and `lon` (degrees); edges lie midway, the outermost at the poles.

        Rows at the poles that are half as high as the others (GEOS-Chem: -89, -86, -82 ... on 4 degrees) are told by their spacing.
        """
        lat, lon = np.asarray(ds["lat"], dtype=float), np.asarray(ds["lon"], dtype=float)
        if lat.size < 2 or lon.size < 2:
            raise InputError(
                f"a grid needs at least 2 latitudes and 2 longitudes, got {lat.size} x {lon.size}; give global fields"
            )
        lat_edges = np.concatenate([[-90.0], (lat[1:] + lat[:-1]) / 2, [90.0]])
        if lat.size > 3 and np.allclose(lat[1] - lat[0], 0.75 * (step := lat[2] - lat[1])):
            lat_edges[[1, -2]] = lat[1] - step / 2, lat[-2] + step / 2
        dlon = 360.0 / lon.size
        if not np.allclose(np.diff(lon), dlon, atol=1e-4):
            raise InputError(
                f"longitudes must be evenly spaced by 360/{lon.size} = {dlon:.6g} degrees, got {lon[:3]}...; "
                "give global fields without a repeated meridian"
            )
        first = lon[0] - dlon / 2
        first = np.round(first, 6) if abs(first - np.round(first, 6)) < 1e-6 else first
        return cls(tuple(lat_edges), tuple(first + dlon * np.arange(lon.size + 1)))

    @property
    def shape(self) -> tuple[int, int]:
        """(latitudes, longitudes)."""
        return len(self.lat_bounds) - 1, len(self.lon_bounds) - 1

    @cached_property
    def lat(self) -> np.ndarray:
        """Cell centres, degrees north, (lat,)."""
        edges = np.array(self.lat_bounds)
        return (edges[1:] + edges[:-1]) / 2

    @cached_property
    def lon(self) -> np.ndarray:
        """Cell centres, degrees east, (lon,)."""
        edges = np.array(self.lon_bounds)
        return (edges[1:] + edges[:-1]) / 2

    @cached_property
    def area(self) -> np.ndarray:
        """Cell areas, (lat, lon) m2. Exact: they sum to 4 pi R^2 on a global grid."""
        bands = np.diff(np.sin(np.deg2rad(self.lat_bounds)))
        return EARTH_RADIUS**2 * np.outer(bands, np.diff(np.deg2rad(self.lon_bounds)))

    def coarsen(self, factor: int) -> LatLonGrid:
        """The grid whose cells are blocks of `factor` x `factor` of these."""
        nlat, nlon = self.shape
        if nlat % factor or nlon % factor:
            raise ValueError(
                f"a grid of {nlat} x {nlon} cells cannot be coarsened by {factor}; choose a common divisor"
            )
        return LatLonGrid(self.lat_bounds[::factor], self.lon_bounds[::factor])

    def refine(self, factor: int) -> LatLonGrid:
        """The grid whose `factor` x `factor` blocks are these cells."""
        cut = lambda edges: np.interp(  # noqa: E731
            np.arange(factor * (len(edges) - 1) + 1) / factor, np.arange(len(edges)), edges
        )
        return LatLonGrid(tuple(cut(self.lat_bounds)), tuple(cut(self.lon_bounds)))

    def coordinates(self) -> dict[str, np.ndarray]:
        """`lat` and `lon` for a dataset."""
        return {"lat": self.lat, "lon": self.lon}


@dataclass(frozen=True)
class HybridLevels:
    """Layers between pressures p = a + b * surface_pressure, from the surface up. a in Pa, b dimensionless."""

    a: tuple[float, ...]
    b: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "a", tuple(float(v) for v in self.a))
        object.__setattr__(self, "b", tuple(float(v) for v in self.b))
        if len(self.a) != len(self.b) or len(self.a) < 2:
            raise ValueError(
                f"hybrid_a and hybrid_b need the same length of at least 2 interfaces, got {len(self.a)} and {len(self.b)}"
            )
        pressure = np.array(self.a) + np.array(self.b) * 1e5
        if not np.all(np.diff(pressure) < 0):
            raise ValueError(
                f"hybrid levels must run from the surface up (pressure falling), got {pressure} Pa at 1000 hPa; reverse the level axis"
            )

    @classmethod
    def sigma(cls, count: int) -> HybridLevels:
        """`count` layers of equal pressure thickness from the surface to zero pressure."""
        return cls((0.0,) * (count + 1), tuple(np.linspace(1, 0, count + 1)))

    @classmethod
    def from_dataset(cls, ds: xr.Dataset) -> HybridLevels:
        """The levels of `hybrid_a` (Pa) and `hybrid_b` on `level_interface`."""
        return cls(tuple(np.asarray(ds["hybrid_a"])), tuple(np.asarray(ds["hybrid_b"])))

    @property
    def count(self) -> int:
        """Number of layers."""
        return len(self.a) - 1

    def thickness(self, surface_pressure: np.ndarray) -> np.ndarray:
        """Pressure thickness of the layers, (..., level, lat, lon) Pa, of surface_pressure (..., lat, lon) Pa."""
        da, db = -np.diff(self.a), -np.diff(self.b)
        return (
            da[:, None, None]
            + db[:, None, None] * np.asarray(surface_pressure, dtype=np.float64)[..., None, :, :]
        )

    def air_mass(self, surface_pressure: np.ndarray, grid: LatLonGrid) -> np.ndarray:
        """Dry air per cell, (..., level, lat, lon) kg, when `surface_pressure` (..., lat, lon) Pa is that of dry air."""
        return self.thickness(surface_pressure) * (grid.area / GRAVITY)


def coarsen_sum(field: np.ndarray, factor: int) -> np.ndarray:
    """Sums over blocks of `factor` x `factor` cells of the last two axes: for masses and fluxes per cell."""
    *lead, nlat, nlon = field.shape
    return field.reshape(*lead, nlat // factor, factor, nlon // factor, factor).sum(axis=(-3, -1))


def coarsen_mean(field: np.ndarray, factor: int, weight: np.ndarray) -> np.ndarray:
    """Block means weighted by `weight` (air mass for mole fractions, area for surface fluxes): exact in mass."""
    return coarsen_sum(field * weight, factor) / coarsen_sum(np.broadcast_to(weight, field.shape), factor)
