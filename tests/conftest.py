"""Fixtures shared by the tests."""

import pytest

from tests.observed import make_soundings, make_stations
from tests.synthetic import synthetic_ensemble


@pytest.fixture
def tiny_ensemble():
    """(ensemble, reference) on 8 x 16 cells, 3 levels, 9 frames; fresh for each test."""
    return synthetic_ensemble()


@pytest.fixture
def at_stations(tiny_ensemble):
    E, R = tiny_ensemble
    return E, make_stations(E, R)


@pytest.fixture
def of_columns(tiny_ensemble):
    E, R = tiny_ensemble
    return E, make_soundings(E, R)
