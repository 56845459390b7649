"""The wind network: its samples, what it can see, and that one which knows gives the fine fluxes back."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from gencarbon import InputError
from gencarbon.data.benchmark import FINE_FLUXES
from gencarbon.data.finewinds import WindClips, face_lengths, fine_face_lengths, wind_inputs
from gencarbon.sampling.coarse_run import air_motion
from gencarbon.sampling.subgrid import LearntSubgrid
from gencarbon.transport.continuity import divergence
from gencarbon.transport.offline import AirMotion
from gencarbon.transport.refine import refine_fluxes
from gencarbon.transport.subgrid import to_cells
from tests import canonical
from tests.test_training import store


def test_wind_samples_turn_and_mirror_faces_with_what_they_lack():
    clips = WindClips(store(), 2, 1, 40, seed=0)
    again = WindClips(store(), 2, 1, 5, seed=0)
    assert all(torch.equal(a, b) for a, b in zip(clips[3], again[3]))
    faces, lacking = clips.window(4, 0, 13, 0, False)
    assert faces.shape == (3, 3, 4, 8, 16) and lacking.shape == (3, 2, 4, 8, 16)
    assert torch.equal(faces, clips.winds[3:6])
    turned = clips.window(4, 0, 13, 5, False)
    assert torch.equal(turned[0], torch.roll(faces, 5, -1)) and torch.equal(
        turned[1], torch.roll(lacking, 5, -1)
    )
    mirror_faces, mirror_lacking = clips.window(4, 0, 13, 0, True)
    assert torch.equal(mirror_faces[:, :, 0], faces[:, :, 0].flip(-2))
    assert torch.equal(mirror_faces[:, :, 1, 1:], -faces[:, :, 1, 1:].flip(-2))
    assert torch.equal(mirror_faces[:, :, 2], faces[:, :, 2].flip(-2))
    assert torch.equal(mirror_faces[:, :, 3], -faces[:, :, 3].flip(-2))
    assert torch.equal(
        mirror_lacking[:, 0, [2, 3, 0, 1]], lacking[:, 0].flip(-2)
    )  # rows within a cell change places
    assert torch.equal(clips.window(0, 0, 13, 0, False)[0][0], clips.winds[0])  # the record begins here
    ends = [clips[i][0] for i in range(40)]
    assert any(torch.equal(x[1], x[2]) or torch.equal(x[0], x[1]) for x in ends)
    assert 0 < sum(not x[:, :, 2:].any() for x in ends) < 20  # now and then without cell winds
    with pytest.raises(InputError, match="fine_winds: true"):
        WindClips(store().drop_vars(FINE_FLUXES), 2, 1, 1, seed=0)
    with pytest.raises(InputError, match=r"refined\.factor"):
        WindClips(store(), 3, 1, 1, seed=0)


def test_the_excess_of_cell_winds_is_what_interpolation_lacks_on_average():
    """Winds of cells made from the fine fluxes: their excess is the mean of what the fine fluxes have beyond interpolation."""
    ds = store()
    clips = WindClips(ds, 2, 1, 1, seed=0)
    lacking = clips.lacking.unflatten(3, (2, 2)).double()  # (time, level, direction, row, column, lat, lon)
    east, north = lacking[:, :, 0].mean(2), lacking[:, :, 1].mean(3)  # over rows; over columns
    # trapezoidal over the faces at 0, 1/2, 1 of a cell; what lacks on the coarse faces sums to nothing
    assert (
        east[:, :, 0].abs().max() < 1e-3 * east.abs().max()
        and north[:, :, 0].abs().max() < 1e-3 * north.abs().max()
    )
    air = AirMotion(
        ds.surface_pressure.values,
        ds.eastward_air_mass_flux.values,
        ds.northward_air_mass_flux.values,
        21600.0,
    )
    interpolated = wind_inputs(air, None, clips.grid, canonical.LEVELS, 2)
    assert torch.equal(interpolated[:, :, 2:], torch.zeros_like(interpolated[:, :, 2:]))
    ps = ds.surface_pressure.values
    frames = np.minimum(np.arange(len(ps) + 1), len(ps) - 1)
    column = canonical.LEVELS.air_mass((ps[frames][:-1] + ps[frames][1:]) / 2, clips.grid) / clips.grid.area
    still = (np.zeros(column.shape), np.zeros(column.shape))
    calm = wind_inputs(air, still, clips.grid, canonical.LEVELS, 2)[:, :, 2:].double()
    fine = [torch.tensor(ds[name].values, dtype=torch.float64) for name in FINE_FLUXES]
    per_metre = fine_face_lengths(clips.grid, 2)
    rows = to_cells(fine[0], 2) / per_metre[0]
    rows = rows.unflatten(-3, (2, 2)).mean(-4)  # (time, level, column, lat, lon)
    carried = ((rows[:, :, 0] + torch.roll(rows[:, :, 0], -1, -1)) / 2 + rows[:, :, 1]) / 2
    miss = (carried + calm[:, :, 0] - east[:, :, 1] / 2).abs()
    assert miss[:-1].max() < 1e-4 * carried.abs().max()
    assert torch.equal(calm[-1], calm[-2])  # the last step has no winds at its end


class Oracle(torch.nn.Module):
    """A wind network that knows: returns what is lacking at the step in the middle of its window."""

    def __init__(self, clips):
        super().__init__()
        self.clips, self.config, self.device = (
            clips,
            SimpleNamespace(factor=2, context=1),
            torch.device("cpu"),
        )
        self.belief = torch.eye(3)[None]

    def forward(self, faces, lat):
        k = int((self.clips.winds[:, :, :2] - faces[:, 1, :, :2]).abs().sum((1, 2, 3, 4)).argmin())
        return self.clips.lacking[k][None]


def test_a_network_that_knows_gives_the_fine_fluxes_back():
    """Units, lengths of faces and layout: from the store to the samples, and from a network's answer to fluxes again."""
    ds = store()
    clips = WindClips(ds, 2, 1, 1, seed=0)
    air = air_motion(ds, clips.grid, canonical.LEVELS, 21600.0)
    subgrid = LearntSubgrid(Oracle(clips), clips.grid, canonical.LEVELS, air, None)
    for k in (0, 5, 12):
        guess = refine_fluxes(torch.tensor(air.east[k]), torch.tensor(air.north[k]), 2)
        for interpolated, more, name in zip(guess, subgrid(k), FINE_FLUXES):
            truth = torch.tensor(ds[name].values[k])
            assert (interpolated + more - truth).abs().max() < 1e-5 * truth.abs().max()
            assert (interpolated - truth).abs().max() > 1e-3 * truth.abs().max()
    oracle = Oracle(clips)
    oracle.belief = torch.zeros(16, 3, 3)  # in none of its divergence
    doubted = LearntSubgrid(oracle, clips.grid, canonical.LEVELS, air, None)
    assert divergence(*doubted(5)).std() < 0.7 * divergence(*subgrid(5)).std()
    lengths = face_lengths(clips.grid)
    assert (
        lengths[0].sum(0).numpy() == pytest.approx(np.pi * 6.371e6, rel=1e-3)
        and torch.isinf(lengths[1, 0]).all()
    )
    assert torch.allclose(
        fine_face_lengths(clips.grid, 2)[0], to_cells(face_lengths(clips.grid.refine(2))[0], 2)
    )
