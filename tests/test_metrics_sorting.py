"""The sorting network: every length, every kind of number, and the zero-one principle."""

import numpy as np
import pytest

from gencarbon.metrics import sorting
from gencarbon.metrics.sorting import INTEGERS, LANES, RUN, key, sort_rows, workspace


def sorted_rows(x):
    """Rows (count, LANES) of numbers through the network."""
    numbers = workspace(len(x), x.dtype)
    keys = numbers.view(INTEGERS[x.dtype])
    low = np.iinfo(keys.dtype).max
    numbers[: x.size] = x.ravel()
    keys[:] = [key(k, low) for k in keys]
    sort_rows(keys, len(x))
    keys[:] = [key(k, low) for k in keys]
    return numbers[: x.size].reshape(x.shape)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("count", [1, 2, 3, 8, 13, 16, 17, 31, 32, 33, 50, 64, 65, 128, 129, 200, 257, 600])
def test_every_lane_is_sorted(count, kind):
    x = np.random.default_rng(count).standard_normal((count, LANES)).astype(kind)
    x[count // 2, ::3] = x[0, ::3]  # ties
    np.testing.assert_array_equal(sorted_rows(x), np.sort(x, axis=0))


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_extreme_numbers_have_their_place(kind):
    tiny, huge = np.finfo(kind).smallest_subnormal, np.finfo(kind).max
    x = np.array([np.inf, huge, 1.0, tiny, 0.0, -tiny, -1.0, -huge, -np.inf], kind)
    lanes = np.stack([np.random.default_rng(k).permutation(x) for k in range(LANES)], axis=1)
    np.testing.assert_array_equal(sorted_rows(lanes), np.sort(lanes, axis=0))


def test_a_nan_is_not_lost_and_does_not_reach_the_next_call():
    x = np.random.default_rng(0).standard_normal((20, LANES)).astype(np.float32)
    bad = x.copy()
    bad[7] = np.nan
    assert np.isnan(sorted_rows(bad)).sum(axis=0).tolist() == [1] * LANES
    numbers = workspace(20, np.float32)
    keys = numbers.view(np.int32)
    for rows in (bad, np.abs(x)):  # the second without NaN or negative numbers: their bits are their keys
        numbers[: rows.size] = rows.ravel()
        sort_rows(keys, 20)
    np.testing.assert_array_equal(numbers[: x.size].reshape(x.shape), np.sort(np.abs(x), axis=0))


def zeros_and_ones(network):
    """Whether `network` sorts all rows of RUN zeros and ones; it then sorts everything (Knuth, 5.3.4, theorem Z)."""
    inputs = (np.arange(2**RUN)[np.newaxis] >> np.arange(RUN)[:, np.newaxis] & 1).astype(np.int32)
    keys = np.empty(RUN * LANES, np.int32)
    for first in range(0, 2**RUN, LANES):
        keys[:] = inputs[:, first : first + LANES].ravel()
        network(keys)
        if (np.diff(keys.reshape(RUN, LANES), axis=0) < 0).any():
            return False
    return True


def test_the_network_of_a_run_sorts_all_zeros_and_ones_and_a_part_of_it_does_not():
    assert zeros_and_ones(lambda keys: sort_rows(keys, RUN))
    assert not zeros_and_ones(lambda keys: sorting._finish_run(keys, np.uint64(0)))


@pytest.mark.parametrize("count", [32, 64, 128, 256])
def test_two_sorted_halves_of_zeros_and_ones_merge(count):
    """All (count / 2 + 1)^2 of them, so the merge sorts any two sorted halves."""
    half = count // 2
    starts = np.array([(a, b) for a in range(half + 1) for b in range(half + 1)]).T
    for first in range(0, starts.shape[1], LANES):
        a, b = (s[:, np.newaxis] for s in starts[:, first : first + LANES])
        k = np.arange(half)
        x = np.concatenate([k >= a, k >= b], axis=1).T.astype(np.int32)
        keys = np.ones((count, LANES), np.int32)
        keys[:, : x.shape[1]] = x
        sorting._merge(keys.reshape(-1), count, count, int(np.log2(count)) % 2 == 0)
        assert (np.diff(keys, axis=0) >= 0).all()
