"""Every layout reads back to the same fields."""

import numpy as np
import pytest

from gencarbon.data.readers import open_source, read, reader_of
from tests.layouts import LAYOUTS, pgc_per_year, truth

CLOSE = {
    "co2": 1e-4,
    "u": 1e-4,
    "v": 1e-4,
    "surface_pressure": 0.05,
    "air_mass": 1e9,
    "flux": 1e-14,
}  # ppm, m s-1, Pa, kg, kg m-2 s-1


@pytest.mark.parametrize("write", LAYOUTS, ids=lambda f: f.__name__)
def test_a_layout_reads_back_to_the_truth(write, tmp_path):
    source = open_source(write(tmp_path))
    assert reader_of(source) is not None
    made, expected = read(source), truth()
    assert all(made[name].chunks is not None for name in LAYOUTS[write])  # lazily
    for name in LAYOUTS[write]:
        assert made[name].dims == expected[name].dims
        for axis in made[name].dims:
            assert np.array_equal(made[axis], expected[axis]) or np.allclose(
                made[axis], expected[axis], atol=1e-5
            )
        np.testing.assert_allclose(made[name], expected[name], rtol=0, atol=CLOSE[name])
    if "flux" in made:
        area = made.cell_area
        assert pgc_per_year(made.flux, area) == pytest.approx(
            pgc_per_year(expected.flux, expected.cell_area), rel=1e-6
        )
        steps = np.diff(made.time_bounds.values, axis=1)[:, 0]
        assert (
            np.array_equal(made.time_bounds[:, 0], made.time) and (steps == np.diff(expected.time)[0]).all()
        )
    assert made.attrs["repairs"]
