"""Laws of the field scores."""

import numpy as np
import pytest

from gencarbon.grid import LatLonGrid
from gencarbon.metrics import absolute_error, bias, rmse, weighted_mean, weighted_variance

GRID = LatLonGrid.equiangular(16, 32)


def test_a_uniform_shift_is_bias_and_rmse():
    field = np.random.default_rng(0).standard_normal(GRID.shape)
    assert bias(field + 0.3, field, GRID.area) == pytest.approx(0.3)
    assert rmse(field + 0.3, field, GRID.area) == pytest.approx(0.3)
    np.testing.assert_allclose(absolute_error(field - 0.3, field), 0.3)


def test_rmse_splits_into_bias_and_variance_of_the_error():
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((2, *GRID.shape))
    parts = bias(a, b, GRID.area) ** 2 + weighted_variance(a - b, GRID.area)
    assert rmse(a, b, GRID.area) ** 2 == pytest.approx(float(parts), rel=1e-12)


def test_area_weights_integrate_the_sphere():
    """The mean of sin^2(lat) over the sphere is 1/3; without weights it is 1/2."""
    field = np.broadcast_to(np.sin(np.deg2rad(GRID.lat))[:, None] ** 2, GRID.shape)
    assert weighted_mean(field, GRID.area) == pytest.approx(1 / 3, abs=3e-3)
    assert abs(weighted_mean(field, 1.0) - 1 / 3) > 0.1  # forgotten weights are caught


def test_variance_ignores_an_offset_of_420_ppm_also_in_float32():
    field = 0.1 * np.random.default_rng(2).standard_normal(GRID.shape)
    exact = weighted_variance(field, GRID.area)
    assert weighted_variance(field + 420, GRID.area) == pytest.approx(exact, rel=1e-9)
    assert weighted_variance((field + 420).astype(np.float32), GRID.area) == pytest.approx(exact, rel=1e-4)
    x = (field + 420).astype(np.float32)
    assert abs((x**2).mean() - x.mean() ** 2 - field.var()) > 1e-4 * field.var()  # mean of squares is caught


def test_float32_fields_are_subtracted_and_summed_in_float64():
    a = np.full(1_000_000, 420.1, np.float32)
    b = np.full(1_000_000, 420.0, np.float32)
    assert bias(a, b, 1.0) == pytest.approx(float(np.float32(420.1)) - 420.0, rel=1e-12)


def test_scores_over_an_axis_are_those_of_each_slice():
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((2, 4, *GRID.shape))
    weight = GRID.area * rng.random((4, 1, 1))
    levels = [float(rmse(a[k], b[k], weight[k])) for k in range(4)]
    np.testing.assert_allclose(rmse(a, b, weight, (-2, -1)), levels, rtol=1e-13)
