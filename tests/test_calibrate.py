"""The spread knob: what it multiplies, what it depends on, and that fitting it makes spread equal error."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from gencarbon import CO2Pipeline, NoiseSchedule, Normalizer
from gencarbon.data.views import canonical_datasets, widened
from gencarbon.errors import InputError
from gencarbon.grid import coarsen_mean
from gencarbon.sampling.calibrate import adjusted, calibrate, details, forecasts_of, slopes
from gencarbon.sampling.components import LARGEST
from gencarbon.sampling.settings import CalibrateConfig
from gencarbon.sampling.spread import Ratios, spread_to_error
from gencarbon.sampling.symmetry import equivariance_error
from tests.test_training import store
from tests.tiny_model import inputs, tiny_pipeline

PLAIN = {
    "kind": "calibrate",
    "data": "t",
    "checkpoint": "t",
    "dates": 2,
    "frames": 8,
    "members": 3,
    "rounds": 1,
}


def config(**changes):
    return CalibrateConfig(**PLAIN | changes)


def scale_of(days, detail=(1.0, 1.0, 1.0), begins=False, known=True, conserves=False, **settings):
    since = torch.tensor(days, dtype=torch.float64)
    made = NoiseSchedule(**settings).sample_scale(since, torch.tensor(detail), begins, known, conserves)
    return np.broadcast_to(made.numpy()[..., 0, 0], (3, len(days)))


def test_the_scale_is_a_product_of_its_parts():
    days, rows = [0.0, 0.5, 1.25, 2.0, 9.0], ((1.0, 2.0, 3.0), (2.0, 0.5, 1.0))
    for task, case in (
        ("lead", {}),
        ("free", {"known": False}),
        ("conserve", {"known": False, "conserves": True}),
    ):
        scales = {f"{task}_scale": rows, f"{task}_days": (0.5, 2.0)}
        told = scale_of(days, **case, **scales)
        assert np.allclose(told[1], [2, 2, 1.25, 0.5, 0.5]) and np.allclose(told[:, 1], [1, 2, 3])
        others = [{"known": True}, {"known": False}, {"known": False, "conserves": True}]
        assert sum(np.ptp(scale_of(days, **other, **scales)) > 0 for other in others) == 1
    both = scale_of(days, conserves=True, conserve_scale=rows, conserve_days=(0.5, 2.0))
    assert np.allclose(
        both, np.array([[2, 0.5, 1]]).T
    )  # a known state and means: as long after the beginning
    by_frame = {"frame_scale": (1.0, 2.0)}
    assert np.allclose(scale_of([1.0, 2.0], **by_frame), [[1, 2]] * 3)
    assert np.allclose(scale_of([1.0, 2.0], begins=True, **by_frame), 1)
    rough = {"detail_power": (0.0, 0.5, 1.0), "detail_typical": (1.0, 1.0, 0.5)}
    assert np.allclose(scale_of([1.0], (0.25, 0.25, 1.0), **rough)[:, 0], [1, 0.5, 2])
    assert np.allclose(scale_of([1.0], (0.0, 0.0, 99.0), **rough)[:, 0], [1, 1 / LARGEST, LARGEST])  # held


def test_spread_is_linear_in_the_scale():
    pipe, sets = (
        tiny_pipeline(steps=4),
        {name: ds if name == "initial" else ds.isel(time=slice(4)) for name, ds in inputs(4).items()},
    )
    spread = []
    for scale in (1.0, 0.5):
        pipe.scheduler = NoiseSchedule(steps=4, lead_scale=((scale,) * 3,))
        spread.append(pipe(**sets, members=3, seed=0).co2.std("member").values[1:])
    share = spread[1] / spread[0]
    assert np.abs(share - 0.5).max() < 0.02  # closing the budget afterwards adds a little


def test_detail_is_that_of_neighbours_and_blind_to_where_they_are():
    rng = np.random.default_rng(0)
    co2, air = (torch.tensor(rng.random((2, 3, 4, 8, 16)) + k) for k in (400, 1))
    found = Normalizer.detail(co2, air)
    x, a = (f[1, 2].movedim(0, -1).numpy() for f in (co2, air))
    total = 0.0
    for i in range(8):  # the same by brute force
        for j in range(16):
            for n, m in ((i, (j + 1) % 16), (i + 1, j)):
                if n < 8:
                    total += ((x[i, j] - x[n, m]) ** 2 * (a[i, j] + a[n, m]) / 2).sum()
    assert float(found[1, 2]) == pytest.approx(np.sqrt(total / a.sum()))
    turned, mirrored = ([torch.roll(f, 5, -1) for f in (co2, air)], [f.flip(-2) for f in (co2, air)])
    for moved, factor in ((turned, 1), (mirrored, 1), ((3 * co2 + 7, air), 3)):
        assert torch.allclose(Normalizer.detail(*moved), factor * found)
    assert not torch.allclose(Normalizer.detail(co2.flip(-1).sort(-1).values, air), found)


def test_the_knob_keeps_the_symmetries():
    pipe = tiny_pipeline()
    pipe.scheduler = NoiseSchedule(steps=6, detail_power=(0.5, 0.3, 1.0), detail_typical=(0.1, 0.2, 0.4))
    for amplitude, offset in ((1.0, 160.0), (3.0, 0.0)):
        assert equivariance_error(pipe, inputs(4), amplitude, offset, base=415.0) < 1e-4


@pytest.mark.filterwarnings("ignore")
def test_calibration_makes_spread_equal_error_at_every_lead_and_level(tmp_path):
    pipe, how = tiny_pipeline(steps=4), config(frames=13, rounds=2, lead_days=(0.25, 2.0))
    before = spread_to_error(forecasts_of(pipe, store(), how), how)
    assert before.lead_and_level.shape == (2, 3) and before.date_and_level.shape == (2, 3)
    said = []
    scheduler = calibrate(pipe, store(), how, said.append)
    after = spread_to_error(forecasts_of(pipe, store(), how), how)
    assert (
        said[-3].startswith("spread-skill") and "over the exact one: 0.404 0.728 0.961" in said[-1]
    )  # of four steps
    assert any(
        one.startswith(f"spread-skill {after.overall:.3f}") for one in said
    )  # kept is what was scored, not a step further
    assert after.worst < before.worst and abs(np.log(after.overall)) < abs(np.log(before.overall))
    sets = inputs(8)
    known = pipe(**sets, members=1).co2.values
    pipe.save_pretrained(tmp_path / "c")  # the knob travels with the checkpoint
    again = CO2Pipeline.from_pretrained(tmp_path / "c")
    assert np.array_equal(again(**sets, members=1).co2.values, known)
    again.scheduler = NoiseSchedule(**scheduler.settings | {"lead_scale": ((1.0,), (1.0,))})
    assert np.abs(again(**sets, members=1).co2.values - known).max() > 1e-3


@pytest.mark.filterwarnings("ignore")
def test_one_step_of_the_fixed_point_divides_by_the_ratio():
    pipe, how = tiny_pipeline(steps=4), config()
    found = spread_to_error(forecasts_of(pipe, store(), how), how)
    assert (
        found.frame.shape == (4,) and (found.frame[:2] == 1).all() and (found.frame[2:] != 1).all()
    )  # two are shared
    calibrate(pipe, store(), how, lambda s: None)
    wanted = (1 / found.lead_and_level).clip(1 / LARGEST, LARGEST)
    assert np.allclose(pipe.scheduler.config.lead_scale, wanted)
    assert np.allclose(
        pipe.scheduler.config.frame_scale, (found.overall / found.frame).clip(1 / LARGEST, LARGEST)
    )


def test_steps_are_as_long_as_the_spread_follows_them(monkeypatch):
    """Spread that grows as a power of its scale, by level, as over weeks of a roll-out: whole steps swing further and further."""
    pipe, effect = tiny_pipeline(steps=2), np.array([1.0, 2.0, 4.0])

    def ratios(cases=None, how=None, tick=None):
        scale = np.ones((2, 3)) * pipe.scheduler.config.lead_scale
        found = np.array([[0.7], [0.8]]) * scale**effect
        alone, twice = np.ones(4), np.ones((2, 3))
        return Ratios(
            found.mean(),
            found.mean(0),
            found.mean(1),
            alone,
            found,
            twice,
            np.ones(3),
            np.zeros(3, bool),
        )

    monkeypatch.setattr("gencarbon.sampling.calibrate.forecasts_of", lambda *a: [])
    monkeypatch.setattr("gencarbon.sampling.calibrate.spread_to_error", ratios)
    how, fresh = config(rounds=4, lead_days=(0.0, 1.0)), pipe.scheduler
    calibrate(pipe, store(13), how, lambda s: None)
    assert ratios().worst < 1.03
    monkeypatch.setattr("gencarbon.sampling.calibrate.stepped", lambda power, before, after: 1.0)
    pipe.scheduler = fresh
    calibrate(pipe, store(13), how, lambda s: None)
    assert ratios().worst > 1.1  # the best of what it tried


def test_slopes_are_those_of_straight_lines():
    x = np.random.default_rng(0).random((9, 2))
    assert np.allclose(slopes(x, x * [2.0, -3.0] + [5.0, 7.0]), [2, -3])


def test_the_power_of_the_detail_takes_seasons_out_of_the_spread():
    """Errors go as a power of the detail, by level; the spread, so far, does not go with it."""
    power, one = np.array([0.5, 0.3, 0.0]), np.ones(3)
    detail = np.random.default_rng(0).uniform(0.1, 0.4, (8, 3))

    def ratios(spread):
        return Ratios(1.0, one, one, np.ones(4), np.ones((1, 3)), spread / detail**power, one, one < 0)

    first = ratios(np.ones((8, 3)))
    fitted = adjusted(NoiseSchedule(), first, config(dates=8, detail=True), detail)
    assert np.allclose(fitted.config.detail_power, power)
    spread = np.stack([scale_of([1.0] * 4, one, **fitted.settings)[:, 0] for one in detail])
    left = np.log(ratios(spread).date_and_level).std(0)
    assert np.log(first.date_and_level).std(0)[0] > 0.15 and left.max() < 1e-12
    again = adjusted(fitted, ratios(spread), config(dates=8, detail=True), detail)
    assert np.allclose(again.config.detail_power, power)  # a fixed point
    assert adjusted(NoiseSchedule(), first, config(), None).config.detail_power == (0.0,)


@pytest.mark.filterwarnings("ignore")
def test_details_are_of_dates_and_levels():
    how = config(dates=3)
    found = details(forecasts_of(tiny_pipeline(), store(), how))
    assert found.shape == (3, 3) and (found > 0).all() and len(np.unique(found)) == 9


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("task", ["free", "conserve"])
def test_where_no_state_is_known_scales_are_fitted_from_the_first_frame_on(task):
    pipe, how = tiny_pipeline(steps=4), config(task=task, rounds=2, frames=13, lead_days=(0.0, 0.5, 2.0))
    before, settings = spread_to_error(forecasts_of(pipe, store(), how), how), pipe.scheduler.settings
    calibrate(pipe, store(), how, lambda s: None)
    after = spread_to_error(forecasts_of(pipe, store(), how), how)
    changed = {k for k, v in pipe.scheduler.settings.items() if v != settings[k]}
    assert changed == {f"{task}_scale", f"{task}_days"}
    miss = lambda found: np.abs(np.log(found.lead_and_level)).max()  # noqa: E731
    assert miss(after) < 0.5 * miss(before)


@pytest.mark.filterwarnings("ignore")
def test_the_first_frame_counts_where_it_is_not_known():
    """By hand, with members in memory."""
    pipe, how = tiny_pipeline(steps=4), config(dates=1, task="free", lead_days=(0.0, 0.25))
    ((forecasts, truth),) = forecasts_of(pipe, store(), how)
    found = spread_to_error([(forecasts, truth)], how)
    co2 = np.stack([np.concatenate([x for _, x, _ in forecasts[0].member(how.seed, m)]) for m in range(3)])
    air = truth.air_mass.values[0]
    variance = (co2[:, 0].var(0, ddof=1) * air).sum((1, 2))
    error = ((co2[:, 0].mean(0) - truth.co2.values[0]) ** 2 * air).sum((1, 2))
    assert np.allclose(found.lead_and_level[0], np.sqrt(4 / 3 * variance / error))


@pytest.mark.filterwarnings("ignore")
def test_later_rows_are_added_and_earlier_ones_stay():
    """By what frames from the first new row on have, and bit for bit the same knob before it."""
    pipe = tiny_pipeline(steps=4)
    rows, days = ((1.0, 2.0, 0.5), (2.0, 1.0, 1.0), (0.9, 0.9, 0.9)), (0.25, 1.0, 2.5)
    pipe.scheduler = NoiseSchedule(steps=4, lead_scale=rows, lead_days=days, amplitude_spread=(0.1,))
    before, how = pipe.scheduler.settings, config(extend=True, frames=13, lead_days=(2.0, 3.0))
    cases = forecasts_of(pipe, store(), how)
    found = spread_to_error(cases, how)
    late, all_times = (
        spread_to_error(cases, config(frames=13, lead_days=d)) for d in ((2.9, 3.0), (2.0, 3.0))
    )
    assert np.allclose(found.lead_and_level[1], late.lead_and_level[1], rtol=0.2)
    assert np.abs(np.log(found.level) - np.log(all_times.level)).max() > 0.02  # which judges all frames
    calibrate(pipe, store(), how, lambda s: None)
    now = pipe.scheduler.settings
    assert {k for k in now if now[k] != before[k]} == {"lead_scale", "lead_days"}
    assert now["lead_days"] == (0.25, 1.0, 2.0, 3.0) and now["lead_scale"][:2] == rows[:2]
    between = np.array(rows[1]) + (np.array(rows[2]) - rows[1]) * (1 / 1.5)  # at 2 days
    wanted = (np.array([between, rows[2]]) / found.lead_and_level).clip(1 / LARGEST, LARGEST)
    assert np.allclose(now["lead_scale"][2:], wanted)


@pytest.mark.filterwarnings("ignore")
def test_scaled_samples_keep_the_means_of_wide_cells():
    pipe, sets = tiny_pipeline(steps=4), canonical_datasets(store(), slice(0, 8))
    pipe.scheduler = NoiseSchedule(steps=4, conserve_scale=((2.0,), (0.5,)), conserve_days=(0.0, 1.0))
    coarse = widened(sets, 2)
    made = pipe(sets["winds"], sets["fluxes"], coarse, members=1, conserve=True)
    means = coarsen_mean(made.co2.values, 2, made.air_mass.values)
    assert np.abs(means - coarse.co2.values).max() < 1e-6


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"lead_days": (2.0, 1.0)}, "increasing lead_days"),
        ({"lead_days": ()}, r"lead_days\s+Tuple should have at least 1 item"),
        ({"detail": True}, "at least 6 dates"),
        ({"dates": 6, "detail": True, "task": "free"}, "with the task lead and no `extend`, got free"),
        ({"dates": 6, "detail": True, "extend": True}, "with the task lead and no `extend`"),
    ],
)
def test_settings_that_cannot_be_fitted_are_refused(changes, match):
    with pytest.raises(ValidationError, match=match):
        config(**changes)


@pytest.mark.parametrize("task", ["lead", "free", "conserve"])
def test_a_knob_without_a_row_for_every_lead_is_refused(task):
    with pytest.raises(InputError, match=f"a row of {task}_scale for each of {task}_days, got 1 and 2"):
        NoiseSchedule(**{f"{task}_days": (1.0, 2.0)})


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"frames": 14}, "fit into the split"),
        (
            {"lead_days": (0.0, 0.25)},
            r"a frame near each of lead_days, got \[0.0, 0.25\] and frames from 0.25 to 1.75 days",
        ),
        ({"lead_days": (1.9,), "extend": True}, "fit into the split"),
        ({"lead_days": (0.3, 0.4), "task": "free", "extend": True}, "a frame near each of lead_days"),
    ],
)
def test_forecasts_that_do_not_fit_are_refused(changes, match):
    with pytest.raises(InputError, match=match):
        forecasts_of(tiny_pipeline(), store(), config(**changes))
