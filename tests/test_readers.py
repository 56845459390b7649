"""Every layout reads back to the same fields."""

import numpy as np
import pytest

from gencarbon.data.readers import open_source, read, reader_of
from tests import layouts, layouts_models, layouts_weather
from tests.layouts import pgc_per_year

LAYOUTS = {write: (layouts_models.bounded_truth, names) for write, names in layouts.LAYOUTS.items()}
LAYOUTS |= layouts_models.LAYOUTS | layouts_weather.LAYOUTS
CLOSE = {
    "co2": 1e-4,
    "u": 1e-4,
    "v": 1e-4,
    "surface_pressure": 0.05,
}  # ppm, m s-1, Pa; all within a millionth of the largest value


@pytest.mark.parametrize("write", LAYOUTS, ids=lambda f: f.__name__)
def test_a_layout_reads_back_to_the_truth(write, tmp_path):
    truth, names = LAYOUTS[write]
    source = open_source(write(tmp_path))
    assert reader_of(source) is not None
    made, expected = read(source), truth()
    assert all(made[name].chunks is not None for name in names if name != "cell_area")  # lazily
    for name in {*names, "cell_area"}:
        assert made[name].dims == expected[name].dims
        for axis in made[name].dims:
            np.testing.assert_allclose(
                made[axis].astype(float), expected[axis].astype(float), rtol=0, atol=1e-5
            )
        closest = min(CLOSE.get(name, np.inf), 1e-6 * float(abs(expected[name]).max()))
        np.testing.assert_allclose(made[name], expected[name], rtol=0, atol=closest)
    if "flux" in names:
        total = pgc_per_year(made.flux, made.cell_area)
        assert total == pytest.approx(pgc_per_year(expected.flux, expected.cell_area), rel=1e-6)
        assert np.array_equal(made.time_bounds, expected.time_bounds)
        assert np.array_equal(made.time_bounds[:, 0], made.time)
    assert made.attrs["repairs"]
