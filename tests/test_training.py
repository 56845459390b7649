"""Training on a benchmark in miniature: resumes exactly, symmetries of the samples."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml

from gencarbon import CO2Pipeline, InputError, NoiseSchedule, Normalizer
from gencarbon.budget import accumulated_flux, co2_mass
from gencarbon.config import load_any
from gencarbon.data.backgrounds import KINDS, SEGMENTS
from gencarbon.data.benchmark import FINE_FLUXES
from gencarbon.data.clips import ClipDataset, fit_scales
from gencarbon.data.fluxes import IN_TOTAL, TRACERS
from gencarbon.data.refined import beginnings_of
from gencarbon.data.views import canonical_datasets
from gencarbon.grid import coarsen_mean
from gencarbon.metrics import budget_error_of_masses, crps_biased, crps_fair
from gencarbon.sampling.coarse_run import air_motion
from gencarbon.training.losses import almost_fair_crps, draw_known, prepare
from gencarbon.training.settings import TrainConfig
from gencarbon.training.train import Trainer, hardware_precision
from gencarbon.transport.refine import refine_fluxes
from gencarbon.transport.subgrid import from_cells, settled
from gencarbon.transport.variance import pairs
from gencarbon.variables import describe
from tests import canonical
from tests.test_cli import TWO_PROCESSES
from tests.tiny_model import inputs, tiny_pipeline


def store(frames=13, seed=0):
    """A store in the layout of the benchmark, of smooth random fields."""
    rng = np.random.default_rng(seed)
    winds, k = canonical.winds(frames), len(TRACERS)
    b = rng.normal(size=(k, 1, 3, 8, 16)) + 0.1 * rng.normal(size=(k, frames, 3, 8, 16)).cumsum(1)
    fields = {
        "tracer": (("tracer_name", "time", "level", "lat", "lon"), b + 0.2 * rng.normal(size=b.shape)),
        "tracer_background": (("tracer_name", "time", "level", "lat", "lon"), b),
        **{
            f"tracer_background_{kind}": (("tracer_name", "time", "level", "lat", "lon"), share * b)
            for kind, share in (("diffusive", 0.8), ("wide", 0.6))
        },
        "tracer_refined": (
            ("tracer_name", "time", "level", "lat", "lon"),
            b + 0.1 * rng.normal(size=b.shape),
            {"segment_frames": 6, "begins_from": list(SEGMENTS), "scheme": "van_leer", "factor": 2},
        ),
        "tracer_variance": (("time", "pair", "level", "lat", "lon"), variance_of_tracers(rng, frames, k)),
        "tracer_flux": (("tracer_name", "time", "lat", "lon"), 1e-8 * rng.normal(size=(k, frames, 8, 16))),
    }
    air = air_motion(winds, canonical.GRID, canonical.LEVELS, 21600.0)
    faces = {"eastward_air_mass_flux": air.east, "northward_air_mass_flux": air.north}
    ds = winds.assign(fields | {name: (winds.u.dims, face) for name, face in faces.items()})
    fine = refine_fluxes(*(torch.tensor(face) for face in faces.values()), 2)
    lacking = settled(1e8 * torch.tensor(rng.normal(size=(frames, 3, 2, 4, 8, 16))), 2)
    dims = ("time", "level", "lat_fine", "lon_fine")
    ds = ds.assign(
        {
            name: (dims, (interpolated + from_cells(lacking[:, :, c], 2)).numpy())
            for c, (name, interpolated) in enumerate(zip(FINE_FLUXES, fine))
        }
    )
    ds = ds.assign_coords(tracer_name=list(TRACERS), in_total=("tracer_name", np.array(IN_TOTAL)))
    return describe(ds).assign_attrs(step_seconds=21600.0, base_co2_ppm=400.0)


def variance_of_tracers(rng, frames, k):
    """Of pairs, as products of random gradients have it."""
    x = 0.1 * rng.normal(size=(k, 2, frames, 3, 8, 16)).astype(np.float32)
    first, second = pairs(k)
    return (x[first] * x[second]).mean(1).swapaxes(0, 1)


CONFIG = {
    "kind": "train", "data": "tiny", "name": "t", "seed": 0, "frames": 4, "widths": (8, 16), "batch": 2, "scale_samples": 4,
    "validation_windows": 2, "checkpoint_every": 2, "refined": {"scheme": "van_leer", "factor": 2, "segment_days": 2},
    "winds": {"steps": 4, "warmup": 1, "context": 1, "batch": 2}, "mean": {"steps": 4, "warmup": 1}, "remainder": {"steps": 4, "warmup": 1},
    "beginnings": 3, "corrections": 4, "rolled": 0.5, "one_step": {"steps": 4, "warmup": 1, "squares": (1, 2)},
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for seed, split in enumerate(("train", "validation")):
        store(seed=seed).to_zarr(folder / f"{split}.zarr", zarr_format=2)
    return folder


@pytest.mark.filterwarnings("ignore")
def test_a_killed_run_resumes_exactly(data, tmp_path):
    config = TrainConfig.parse(CONFIG)
    whole = CO2Pipeline.from_pretrained(Trainer(config, data, tmp_path / "whole", lambda s: None).run())

    class Killed(Exception):
        pass

    def kill_at_the_second(phase):
        seen = []

        def say(text):
            seen.append(text)
            if text.startswith(f"{phase} 2 "):
                raise Killed

        return say

    for phase in ("winds", "mean", "remainder", "one_step"):
        with pytest.raises(Killed):
            Trainer(config, data, tmp_path / "parts", kill_at_the_second(phase)).run()
    parts = CO2Pipeline.from_pretrained(Trainer(config, data, tmp_path / "parts", lambda s: None).run())
    assert parts.digest == whole.digest
    assert whole.winds.belief.shape == (16, 3, 3) and not torch.equal(whole.winds.belief[0], torch.eye(3))
    other = TrainConfig.parse(CONFIG | {"seed": 1})
    with pytest.raises(InputError, match="another config"):
        Trainer(other, data, tmp_path / "parts", lambda s: None).run()
    changed = CO2Pipeline.from_pretrained(Trainer(other, data, tmp_path / "other", lambda s: None).run())
    assert changed.digest != whole.digest
    parts.scheduler = NoiseSchedule(sampler="one_step")
    made = parts(**inputs(8), members=3)
    mass = co2_mass(made.co2.values, made.air_mass.values)
    added = accumulated_flux(made.flux.values, made.cell_area.values, 21600.0)
    assert budget_error_of_masses(mass, added).max() < 1e-6 and made.co2.std("member")[1:].min() > 0
    log = (tmp_path / "whole" / "log.jsonl").read_text()
    assert (
        "validation_loss" in log and "cpu_seconds" in log and list((tmp_path / "whole").rglob("events.out*"))
    )


@pytest.mark.filterwarnings("ignore")
def test_one_step_may_be_trained_alone(data, tmp_path):
    alone = {"remainder": None, "winds": None, "one_step": CONFIG["one_step"] | {"from_denoiser": False}}
    pipe = CO2Pipeline.from_pretrained(
        Trainer(TrainConfig.parse(CONFIG | alone), data, tmp_path / "alone", lambda s: None).run()
    )
    assert pipe.scheduler.config.sampler == "one_step"
    assert pipe(**inputs(8), members=2).co2.std("member")[1:].min() > 0
    for wrong in ({"one_step": None}, {"one_step": CONFIG["one_step"]}):
        with pytest.raises(InputError, match="does not sample"):
            TrainConfig.parse(CONFIG | alone | wrong)


@pytest.mark.filterwarnings("ignore")
def test_a_run_begins_with_the_networks_and_scales_of_a_checkpoint(data, tmp_path):
    tiny_pipeline().save_pretrained(tmp_path / "tiny")
    begin = CO2Pipeline.from_pretrained(tmp_path / "tiny")
    still = {"steps": 1, "learning_rate": 1e-9, "warmup": 0}
    one_step = CONFIG["one_step"] | still
    config = {"winds": None, "begin": "tiny", "one_step": one_step, "mean": still, "remainder": still}
    shape = {name: begin.denoiser.config[name] for name in ("frames", "widths", "blocks")}
    config = TrainConfig.parse(CONFIG | shape | config)
    made = CO2Pipeline.from_pretrained(Trainer(config, data, tmp_path / "b", lambda s: None, begin).run())
    after = made.denoiser.state_dict()
    for name, before in begin.denoiser.state_dict().items():
        assert torch.allclose(after[name], before, atol=1e-7), name
    assert torch.equal(made.normalizer.residual_std, begin.normalizer.residual_std)
    plain = TrainConfig.parse(config.model_dump() | {"remainder": None, "one_step": None})
    kept = Trainer(plain, data, tmp_path / "plain", lambda s: None, tiny_pipeline())
    kept._load_clips()
    assert kept.pipeline().sampling_network is kept.model.remainder_net  # it has no other that samples
    fitted = made.normalizer.remainder_std.clone()  # a run shares the scales of what it begins with
    assert not torch.equal(fitted, tiny_pipeline().normalizer.remainder_std)  # its mean network was trained

    def one_step_of(from_denoiser):
        other = config.model_dump() | {"one_step": one_step | {"from_denoiser": from_denoiser}}
        trainer = Trainer(TrainConfig.parse(other), data, tmp_path / "c", lambda s: None, made)
        return trainer.model.one_step_net.state_dict()

    theirs = made.denoiser.one_step_net.state_dict()
    for from_denoiser in (True, False):  # false: from nothing, whatever the checkpoint has
        mine = one_step_of(from_denoiser)
        assert all(torch.equal(mine[key], theirs[key]) for key in theirs) == from_denoiser
    fitted = made.normalizer.remainder_std.mul_(2).clone()  # what no fit would give
    none = {"mean": None, "remainder": None, "one_step": None}
    for part, trained in (("one_step", one_step), ("mean", {"steps": 1, "warmup": 0})):
        alone = TrainConfig.parse(config.model_dump() | none | {part: trained | {"learning_rate": 1e-2}})
        run = Trainer(alone, data, tmp_path / part, lambda s: None, made)
        before = {k: v.clone() for k, v in made.denoiser.state_dict().items()}
        after = CO2Pipeline.from_pretrained(run.run())
        now = after.denoiser.state_dict()
        assert {k.partition("_net.")[0] for k, v in before.items() if not torch.equal(now[k], v)} == {part}
        assert torch.equal(after.normalizer.remainder_std, fitted) == (part == "one_step")
    with pytest.raises(InputError, match="got neither"):
        TrainConfig.parse(config.model_dump() | none)
    for wrong in ({"widths": (12, 24)}, {"widths": ()}, {"frames": 2}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            TrainConfig.parse(config.model_dump() | wrong)
    with pytest.raises(InputError, match="expected a mean phase, or `begin`"):
        TrainConfig.parse(CONFIG | {"mean": None})
    wide = TrainConfig.parse(config.model_dump() | {"widths": (8, 24)})
    with pytest.raises(InputError, match=r"got widths .* instead of \[8, 24\]"):
        Trainer(wide, data, tmp_path / "wide", lambda s: None, begin)
    with pytest.raises(InputError, match="`winds` left out"):
        TrainConfig.parse(CONFIG | {"begin": "tiny"})


def test_a_quarter_of_the_windows_are_beginnings_of_forecasts_and_a_quarter_those_of_corrections():
    short = beginnings_of(store(25), 4, 3)
    assert short.sizes["time"] == 12 and short.time.values[4] == store(25).time.values[10]  # round(21 / 2)
    sets = []
    for most_known, kinds in ((1, ["reference"]), (0, ["coarse", "blocks"])):
        short["tracer_refined"].attrs |= {"segment_frames": 4, "begins_from": kinds}
        begun = ClipDataset(short, 4, 400, seed=0)
        assert begun.starts.tolist() == [0, 4, 8]
        assert all(begun[i]["most_known"] == most_known for i in range(20))
        sets.append(begun)
    clips = [
        ClipDataset(store(25), 4, 400, seed=0, beginnings=sets[:n])[i] for n in (0, 1, 2) for i in range(400)
    ]
    most = np.array([int(clip["most_known"]) for clip in clips]).reshape(3, 400)
    alone, with_beginnings, with_both = ([(row == k).mean() for k in (0, 1)] for row in most)
    assert 0.2 < with_beginnings[1] - 0.75 * alone[1] < 0.3 and with_beginnings[0] < 0.1
    assert 0.2 < with_both[1] - 0.5 * alone[1] < 0.3 and 0.2 < with_both[0] - 0.5 * alone[0] < 0.3


@pytest.mark.filterwarnings("ignore")
def test_variance_is_made_for_networks_that_see_it(data, tmp_path):
    """And a run whose networks see it begins with one whose networks do not."""
    short = {"winds": None, "remainder": None, "beginnings": 0, "corrections": 0, "rolled": 0.0}
    one_step = {"steps": 2, "warmup": 1, "squares": (1,), "from_denoiser": False}
    blind = TrainConfig.parse(CONFIG | short | {"level_fields": 4, "one_step": one_step})
    made = CO2Pipeline.from_pretrained(Trainer(blind, data, tmp_path / "four", lambda s: None).run())
    assert made.denoiser.config.level_fields == 4 and not list((tmp_path / "four").glob("variance*"))
    seeing = TrainConfig.parse(CONFIG | short | {"begin": "four", "mean": None, "one_step": one_step})
    more = CO2Pipeline.from_pretrained(Trainer(seeing, data, tmp_path / "five", lambda s: None, made).run())
    assert more.denoiser.config.level_fields == 5 and len(list((tmp_path / "five").glob("variance*"))) == 2
    wide, narrow = (p.denoiser.mean_net.stem.weight for p in (more, made))
    assert torch.equal(wide[:, :48], narrow[:, :48]) and not wide[:, 48:60].any()
    assert torch.equal(wide[:, 60:], narrow[:, 48:])


def test_missing_data_is_refused(tmp_path):
    with pytest.raises(InputError, match="gencarbon data build"):
        Trainer(TrainConfig.parse(CONFIG), tmp_path, tmp_path / "run")


def test_samples_depend_on_their_index_alone_and_mix_linearly():
    clips = ClipDataset(store(), 4, 100, seed=3)
    again = ClipDataset(store(), 4, 5, seed=3)
    assert all(torch.equal(clips[3][k], again[3][k]) for k in clips[3])
    a, b = np.array([1.0, 0, 0, 2, 0]), np.array([0, 1.0, -1, 0, 3])
    for kind in (*KINDS, None):
        one, two, both = (clips.window(2, w, 5, True, kind) for w in (a, b, a + b))
        for name in ("background", "refined", "residual", "flux"):
            assert torch.allclose(one[name] + two[name], both[name], atol=1e-5)
        twice = clips.window(2, 2 * a, 5, True, kind)["variance"]
        assert torch.allclose(twice, 4 * one["variance"]) and both["variance"].min() >= 0


def test_backgrounds_are_mixed_and_their_window_says_which_are_exact():
    clips, truth = ClipDataset(store(), 4, 1, seed=0), store().tracer.values[:, 2:6]
    made = {kind: clips.window(2, np.ones(5), 0, False, kind) for kind in (*KINDS, None)}
    assert [float(w["exact"]) for w in made.values()] == [0, 0, 0, 1, 0]
    assert torch.equal(made[None]["background"], made[None]["refined"])
    apart = [float((w["background"] - made["coarse"]["background"]).abs().mean()) for w in made.values()]
    assert apart[0] == 0 and min(apart[1:]) > 0.02
    reference = made["blocks"]["refined"] + made["blocks"]["residual"]
    assert torch.allclose(reference, torch.tensor(truth.sum(0).swapaxes(0, 1)).float(), atol=1e-5)
    means = lambda x: coarsen_mean(x.double().numpy(), 2, made["blocks"]["air_mass"].double().numpy())  # noqa: E731
    assert np.abs(means(made["blocks"]["background"]) - means(reference)).max() < 1e-5
    assert np.abs(means(made["coarse"]["background"]) - means(reference)).max() > 0.1
    many = ClipDataset(store(25), 4, 300, seed=0)
    drawn = [many[i] for i in range(300)]
    assert 40 < sum(torch.equal(w["background"], w["refined"]) for w in drawn) < 110
    assert 30 < sum(float(w["exact"]) for w in drawn) < 110
    # wide cells keep their edges when a window is turned
    for w in (w for w in drawn if w["exact"]):
        miss = w["background"].double() - w["refined"].double() - w["residual"].double()
        assert (
            np.abs(coarsen_mean(miss.numpy(), 2, w["air_mass"].double().numpy())).max()
            < 1e-3 * miss.abs().max()
        )


def test_rotation_and_mirror_move_everything_together():
    clips = ClipDataset(store(), 4, 1, seed=0)
    plain, turned = (clips.window(0, np.ones(5), turn, False, "coarse") for turn in (0, 3))
    mirrored = clips.window(0, np.ones(5), 0, True, "coarse")
    for name, field in plain.items():
        if field.ndim == 0:
            continue
        assert torch.equal(turned[name], torch.roll(field, 3, -1))
        if name not in ("clock", "v_face"):
            assert torch.equal(mirrored[name], field.flip(-2))
    assert torch.equal(mirrored["clock"][2:], -plain["clock"][2:])
    # a southern face was a northern one: its cell's is the next cell's southern face
    assert plain["v_face"].abs().max() > 1 and plain["v_face"][..., 0, :].abs().max() == 0
    assert torch.equal(mirrored["v_face"][..., 1:, :], -plain["v_face"][..., 1:, :].flip(-2))
    assert mirrored["v_face"][..., 0, :].abs().max() == 0


def test_windows_lie_within_a_segment_of_the_refined_run():
    clips = ClipDataset(store(13), 4, 400, seed=0)
    assert clips.starts.tolist() == [0, 1, 2, 6, 7, 8]  # segments of 6 frames; the last has one
    for name, maker in (("tracer_refined", "refined_run_of"), ("tracer_variance", "variances_of")):
        with pytest.raises(InputError, match=f"{name}.*{maker}"):
            ClipDataset(store().drop_vars(name), 4, 1, seed=0)


def test_scales_make_unit_fields():
    clips, normalizer = ClipDataset(store(), 4, 64, seed=0), Normalizer(3)
    fit_scales(normalizer, clips, 64)
    windows = [clips[i] for i in range(64)]
    batch = torch.utils.data.default_collate(windows) | clips.geometry
    ready = prepare(batch, normalizer, torch.zeros(64, 4), clips.step_seconds)
    sizes = ready.residual.double().pow(2).mean((2, 3, 4))  # of a window and level
    assert sizes.log().mean(0).numpy() == pytest.approx(0.0, abs=0.02)
    levels = ready.cond["levels"][:, :12].double().pow(2).mean((0, 2, 3, 4)).sqrt().numpy()
    assert levels == pytest.approx(
        1.0, abs=0.02
    )  # the refined run, the background's departure, winds through faces


def test_known_frames_are_mostly_prefixes_of_at_most_two():
    known = draw_known(torch.full((4000,), 2), 8, torch.Generator().manual_seed(0))
    prefix = known.sum(1)
    ordered = (known.diff(dim=1) <= 0).all(1)
    assert (
        0.45 < ((prefix == 2) & ordered).float().mean() < 0.62 and 0.08 < (prefix == 0).float().mean() < 0.2
    )
    first = draw_known(torch.full((4000,), 1), 8, torch.Generator().manual_seed(0))
    assert 0.75 < ((first.sum(1) == 1) & (first[:, 0] == 1)).float().mean() < 0.9  # of a forecast: never two
    free = draw_known(torch.zeros(4000, dtype=torch.int64), 8, torch.Generator().manual_seed(0))
    assert (free.sum(1) == 0).float().mean() > 0.88  # but for gaps to be filled


def test_precision_follows_the_hardware():
    assert hardware_precision("no") == "no" and hardware_precision("auto") in ("no", "bf16")


def test_a_store_holds_what_users_sample_from():
    made = canonical_datasets(store(), slice(2, 8))
    assert (
        set(made) == {"winds", "fluxes", "background", "reference", "initial"}
        and made["winds"].sizes["time"] == 6
    )
    weights = np.array(IN_TOTAL)[:, None, None, None, None]
    assert np.allclose(made["reference"].co2, 400 + (weights * store().tracer.values[:, 2:8]).sum(0))


@pytest.mark.parametrize(
    "name", ["train_hsco2_base", "train_hsco2", "train_hsco2_rolled", "train_hsco2_twin", "train_tiny"]
)
def test_shipped_training_configs_load(name):
    assert isinstance(load_any(f"configs/{name}.yaml"), TrainConfig)


def test_the_almost_fair_crps_lies_between_its_parents_and_is_least_for_the_right_spread():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((3, 500)), rng.standard_normal(500)
    score = lambda alpha: almost_fair_crps(torch.tensor(x), torch.tensor(y), alpha).numpy()  # noqa: E731
    assert np.abs(score(1.0) - crps_fair(x, y)).max() < 1e-12
    assert np.abs(score(0.95) - 0.95 * crps_fair(x, y) - 0.05 * crps_biased(x, y)).max() < 1e-12
    pairs = torch.tensor(rng.standard_normal((2, 40_000)))
    truth = torch.tensor(rng.standard_normal(40_000))
    means = {s: float(almost_fair_crps(s * pairs, truth, 1.0).mean()) for s in (0.7, 1.0, 1.4)}
    assert min(means, key=means.get) == 1.0


def test_a_sampler_without_its_network_is_refused():
    pipe = tiny_pipeline()
    pipe.scheduler = NoiseSchedule(sampler="one_step")
    with pytest.raises(InputError, match="one_step.*another sampler"):
        pipe(**inputs(8), members=1)


@pytest.mark.slow
def test_two_processes_of_one_window_train_the_wind_network_as_one_of_two(data, tmp_path):
    """Gradients are averaged over processes: the loss of the wind network draws nothing, so only round-off may differ."""
    found = {}
    for processes, batch in ((1, 2), (2, 1), (1, 1)):
        cache = tmp_path / f"{processes}x{batch}"
        shutil.copytree(data, cache / "data" / "tiny")
        values = {k: v for k, v in CONFIG.items() if k != "one_step"}
        values |= {"widths": list(CONFIG["widths"]), "winds": CONFIG["winds"] | {"batch": batch}}
        (cache / "t.yaml").write_text(yaml.safe_dump(values))
        launch = [*TWO_PROCESSES[:-2]] if processes == 2 else [sys.executable]
        environment = os.environ | {"GENCARBON_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
        call = [*launch, "-m", "gencarbon", "train", str(cache / "t.yaml")]
        done = subprocess.run(call, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr[-2000:]
        state = torch.load(cache / "runs" / "t" / "winds.resume.pt", weights_only=True)["optimizer"]["state"]
        found[processes, batch] = torch.cat([one["exp_avg"].flatten() for one in state.values()])
    # Mean gradients, not weights: Adam moves a weight whose gradient is nothing but round-off as far as any other, on some processors
    # up or down by chance. Without the average over processes, two of one are one of one, and their gradients as far apart as any.
    apart = lambda a, b: float((a - b).norm() / a.norm())  # noqa: E731
    assert apart(found[1, 2], found[2, 1]) < 0.02 < 0.5 < apart(found[1, 2], found[1, 1])
