"""Scores that add: a sum and its weight, divided once at the end, so that no chunking can change a result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Mean:
    """A weighted mean still open: `total` = sum of weight x value, `weight` = sum of weight, float64."""

    total: NDArray[np.float64]
    weight: NDArray[np.float64]

    def __post_init__(self) -> None:
        object.__setattr__(self, "total", np.asarray(self.total, dtype=np.float64))
        object.__setattr__(self, "weight", np.asarray(self.weight, dtype=np.float64))
        if self.total.shape != self.weight.shape:
            raise ValueError(
                f"a Mean needs a weight for each total: expected the shape {self.total.shape}, "
                f"got {self.weight.shape}; build it with Mean.of(values, weight, axis)"
            )

    @classmethod
    def of(cls, values: ArrayLike, weight: ArrayLike, axis: int | tuple[int, ...] | None = None) -> Mean:
        """Sum `values` (any shape) with `weight` (broadcast to it) over `axis`; None sums everything."""
        x = np.asarray(values, dtype=np.float64)
        w = np.broadcast_to(np.asarray(weight, dtype=np.float64), x.shape)
        return cls((w * x).sum(axis=axis), w.sum(axis=axis))

    @classmethod
    def stack(cls, means: Sequence[Mean]) -> Mean:
        """Means of equal shape, side by side along a new first axis."""
        return cls(np.stack([m.total for m in means]), np.stack([m.weight for m in means]))

    @classmethod
    def concatenate(cls, means: Sequence[Mean]) -> Mean:
        """Means side by side along their first axis."""
        return cls(np.concatenate([m.total for m in means]), np.concatenate([m.weight for m in means]))

    def __add__(self, other: Mean) -> Mean:
        return Mean(self.total + other.total, self.weight + other.weight)

    def sum(self, axis: int | tuple[int, ...] | None = None) -> Mean:
        """Pool over `axis`: sums and weights both, so the result is the mean of all that went in."""
        return Mean(self.total.sum(axis=axis), self.weight.sum(axis=axis))

    @property
    def value(self) -> NDArray[np.float64]:
        """total / weight; NaN where nothing was counted."""
        empty = self.weight == 0
        return np.where(empty, np.nan, self.total / np.where(empty, 1.0, self.weight))
