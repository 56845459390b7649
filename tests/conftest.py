"""Fixtures shared by the tests."""

import pytest

from tests.synthetic import synthetic_ensemble


@pytest.fixture
def tiny_ensemble():
    """(ensemble, reference) on 8 x 16 cells, 3 levels, 9 frames; fresh for each test."""
    return synthetic_ensemble()
