"""Many small sorts side by side: a bitonic network (Batcher 1968, doi:10.1145/1468075.1468121) whose comparisons are the same for
every point, so that `LANES` points are sorted at once in vectors.

Keys are integers: compilers turn a pair of floating-point comparisons into branches and masked stores, and those of integers into two
instructions. `key` maps floating-point numbers to integers in the same order.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import DTypeLike, NDArray

COMPILED: dict[str, Any] = {
    "nogil": True,
    "cache": True,
    "fastmath": {"reassoc", "contract"},
}  # NaN and infinity keep their meaning
LANES = 128  # points side by side: few enough for a core's cache, enough to hide the calls
INTEGERS = {np.dtype(np.float32): np.int32, np.dtype(np.float64): np.int64}
R1, R2, R3, R4, R5, R6, R7, R8 = (np.uint64(k * LANES) for k in range(1, 9))  # rows, in keys
RUN = 16  # rows that are sorted, or finished, between one load and one store


def workspace(count: int, kind: DTypeLike) -> NDArray[Any]:
    """Room for `count` numbers of floating-point `kind` in each lane, one row of `LANES` after the other, and for those that a network
    of a power of two needs; to be viewed as `INTEGERS[kind]` for sorting."""
    width = np.dtype(kind).itemsize
    size = max(RUN, 1 << (count - 1).bit_length()) * LANES
    room = np.zeros(size + 64 // width, kind)
    first = -room.ctypes.data % 64 // width  # vectors that straddle cache lines cost twice
    return room[first : first + size]


@numba.njit(**COMPILED)
def key(bits: Any, low: Any) -> Any:
    """The integer of a number's `bits` (an integer of the same width), ordered as the numbers are; of a key, the bits again.
    low: all bits but the sign's. A NaN comes before or after all others, by its sign."""
    return bits ^ (low if bits < 0 else low ^ low)


@numba.njit(**COMPILED)
def sort_rows(keys: NDArray[Any], count: int) -> None:
    """Sorts the first `count` rows of a `workspace` in every lane, least first. The other rows are overwritten."""
    rows = (count + RUN - 1) // RUN * RUN
    keys[count * LANES :] = np.iinfo(keys.dtype).max  # beyond the last they stay where they are
    for start in range(0, rows, RUN):
        _sort_run(keys, np.uint64(start * LANES))
    size, odd = 2 * RUN, False
    while size < 2 * rows:
        _merge(keys, rows, size, odd)
        size, odd = 2 * size, not odd


@numba.njit(**COMPILED)
def _merge(keys: NDArray[Any], rows: int, size: int, odd: bool) -> None:
    """Groups of `size` rows, of which both halves are sorted, become sorted: the first row is compared with the last, the second with
    the last but one, and so on; then rows within the halves at half their distance, then at a quarter, down to 1.

    Two distances share a pass over the rows, those below RUN share the last. odd: whether RUN ... size / 4 is an odd number of distances.
    """
    quarter, distance = size // 4, size // 4
    for start in range(0, rows, size):
        last = start + size - 1
        if odd:
            for k in range(max(0, last - quarter - rows + 1), quarter):
                _fold_twice(keys, start + k, start + k + quarter, last - k - quarter, last - k)
        else:
            for k in range(max(0, last - rows + 1), 2 * quarter):
                _fold(keys, start + k, last - k)
    if odd:
        distance //= 2
    while distance >= RUN:
        for start in range(0, rows, 2 * distance):
            _exchange_twice(keys, np.uint64(start * LANES), np.uint64(distance // 2 * LANES))
        distance //= 4
    for start in range(0, rows, RUN):
        _finish_run(keys, np.uint64(start * LANES))


@numba.njit(**COMPILED)
def _fold(keys: NDArray[Any], first: int, last: int) -> None:
    """The smaller keys of two rows go to the first, the larger to the last."""
    i, j = np.uint64(first * LANES), np.uint64(last * LANES)
    for k in range(R1):
        a, b = keys[i + k], keys[j + k]
        keys[i + k], keys[j + k] = min(a, b), max(a, b)


@numba.njit(**COMPILED)
def _fold_twice(keys: NDArray[Any], first: int, second: int, third: int, last: int) -> None:
    """Four rows: the outer two and the inner two are folded, then the lower two and the upper two."""
    h, i, j, l = (
        np.uint64(first * LANES),
        np.uint64(second * LANES),
        np.uint64(third * LANES),
        np.uint64(last * LANES),
    )
    for k in range(R1):
        a, b, c, d = keys[h + k], keys[i + k], keys[j + k], keys[l + k]
        a, d, b, c = min(a, d), max(a, d), min(b, c), max(b, c)
        keys[h + k], keys[i + k], keys[j + k], keys[l + k] = min(a, b), max(a, b), min(c, d), max(c, d)


@numba.njit(**COMPILED)
def _exchange_twice(keys: NDArray[Any], start: Any, quarter: Any) -> None:
    """Exchanges at two quarters' distance, then at one."""
    second, third, fourth = start + quarter, start + quarter + quarter, start + quarter + quarter + quarter
    for k in range(quarter):
        four = _finish_four(keys[start + k], keys[second + k], keys[third + k], keys[fourth + k])
        keys[start + k], keys[second + k], keys[third + k], keys[fourth + k] = four


@numba.njit(**COMPILED)
def _sort_run(keys: NDArray[Any], start: Any) -> None:
    """Sorts RUN rows: two halves, then merged."""
    for k in range(start, start + R1):
        s, t = k, k + R8
        a, b, c, d, e, f, g, h = _sort_eight(*_eight(keys, s))
        i, j, l, m, n, o, p, q = _sort_eight(*_eight(keys, t))
        a, q, b, p, c, o, d, n = (
            min(a, q),
            max(a, q),
            min(b, p),
            max(b, p),
            min(c, o),
            max(c, o),
            min(d, n),
            max(d, n),
        )
        e, m, f, l, g, j, h, i = (
            min(e, m),
            max(e, m),
            min(f, l),
            max(f, l),
            min(g, j),
            max(g, j),
            min(h, i),
            max(h, i),
        )
        _put(keys, s, _finish_eight(a, b, c, d, e, f, g, h))
        _put(keys, t, _finish_eight(i, j, l, m, n, o, p, q))


@numba.njit(**COMPILED)
def _finish_run(keys: NDArray[Any], start: Any) -> None:
    """Exchanges within RUN rows at distances 8, 4, 2 and 1."""
    for k in range(start, start + R1):
        s, t = k, k + R8
        a, b, c, d, e, f, g, h = _eight(keys, s)
        i, j, l, m, n, o, p, q = _eight(keys, t)
        a, i, b, j, c, l, d, m = (
            min(a, i),
            max(a, i),
            min(b, j),
            max(b, j),
            min(c, l),
            max(c, l),
            min(d, m),
            max(d, m),
        )
        e, n, f, o, g, p, h, q = (
            min(e, n),
            max(e, n),
            min(f, o),
            max(f, o),
            min(g, p),
            max(g, p),
            min(h, q),
            max(h, q),
        )
        _put(keys, s, _finish_eight(a, b, c, d, e, f, g, h))
        _put(keys, t, _finish_eight(i, j, l, m, n, o, p, q))


@numba.njit(**COMPILED)
def _eight(keys: NDArray[Any], k: Any) -> Any:
    """A key and those of the seven rows above it."""
    low = keys[k], keys[k + R1], keys[k + R2], keys[k + R3]
    return (*low, keys[k + R4], keys[k + R5], keys[k + R6], keys[k + R7])


@numba.njit(**COMPILED)
def _put(keys: NDArray[Any], k: Any, eight: Any) -> None:
    """Back where `_eight` found them."""
    (
        keys[k],
        keys[k + R1],
        keys[k + R2],
        keys[k + R3],
        keys[k + R4],
        keys[k + R5],
        keys[k + R6],
        keys[k + R7],
    ) = eight


@numba.njit(**COMPILED)
def _finish_four(a: Any, b: Any, c: Any, d: Any) -> Any:
    a, c, b, d = min(a, c), max(a, c), min(b, d), max(b, d)
    return min(a, b), max(a, b), min(c, d), max(c, d)


@numba.njit(**COMPILED)
def _finish_eight(a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any) -> Any:
    """Eight keys after exchanges at distances 4, 2 and 1."""
    a, e, b, f = min(a, e), max(a, e), min(b, f), max(b, f)
    c, g, d, h = min(c, g), max(c, g), min(d, h), max(d, h)
    return (*_finish_four(a, b, c, d), *_finish_four(e, f, g, h))


@numba.njit(**COMPILED)
def _sort_eight(a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any) -> Any:
    """Eight keys in order, by the network of 19 comparisons (Knuth, The Art of Computer Programming 3, 5.3.4)."""
    a, c, b, d = min(a, c), max(a, c), min(b, d), max(b, d)
    e, g, f, h = min(e, g), max(e, g), min(f, h), max(f, h)
    a, e, b, f = min(a, e), max(a, e), min(b, f), max(b, f)
    c, g, d, h = min(c, g), max(c, g), min(d, h), max(d, h)
    a, b, c, d = min(a, b), max(a, b), min(c, d), max(c, d)
    e, f, g, h = min(e, f), max(e, f), min(g, h), max(g, h)
    c, e, d, f = min(c, e), max(c, e), min(d, f), max(d, f)
    b, e, d, g = min(b, e), max(b, e), min(d, g), max(d, g)
    b, c, d, e = min(b, c), max(b, c), min(d, e), max(d, e)
    return a, b, c, d, e, min(f, g), max(f, g), h
