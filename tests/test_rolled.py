"""Training on the networks' own known frames, as a roll-out tells them."""

import pytest
import torch
from torch.utils.data import default_collate

from gencarbon.data.clips import NEXT, OVERLAP, ClipDataset, spanned
from gencarbon.metrics import crps_fair
from gencarbon.training.losses import following, mean_loss, one_step_loss, one_step_sample, prepare, repeated
from gencarbon.training.settings import OneStepConfig
from tests.test_training import store
from tests.tiny_model import FRAMES, random_weights, tiny_pipeline

HOW = OneStepConfig(steps=1, squares=(1,), alpha=1.0, members=3)


@pytest.fixture(scope="module")
def model():
    from gencarbon.model import ResidualDenoiser

    torch.manual_seed(0)
    return random_weights(
        ResidualDenoiser(levels=3, frames=FRAMES, widths=(8, 16), blocks=1, one_step=True)
    ).eval()


@pytest.fixture(scope="module")
def pair():
    clips = ClipDataset(store(25), FRAMES, 40, seed=0, followed=True)
    batch = default_collate([clips[i] for i in range(3)])
    normalizer = tiny_pipeline().normalizer
    parts = ({k: x for k, x in batch.items() if not k.startswith(NEXT)},
             {k.removeprefix(NEXT): x for k, x in batch.items() if k.startswith(NEXT)})  # fmt: skip
    told = [(torch.arange(FRAMES) < n).float().expand(3, -1) for n in (1, OVERLAP)]
    return [prepare(b | clips.geometry, normalizer, k, clips.step_seconds) for b, k in zip(parts, told)]


def test_the_window_after_begins_with_the_last_frames(pair):
    before, window = pair
    assert spanned(FRAMES, True) == 2 * FRAMES - OVERLAP and spanned(FRAMES, False) == FRAMES
    ppm = [(w.residual * w.unit) for w in pair]
    assert torch.allclose(ppm[0][:, :, -OVERLAP:], ppm[1][:, :, :OVERLAP], atol=1e-5)
    assert not torch.allclose(before.unit, window.unit, rtol=1e-4)  # each window has its own
    same = following(before, before.residual, window)
    assert torch.allclose(
        same.residual, window.residual, atol=1e-5
    )  # who guesses the truth is told the truth
    other = following(before, before.residual + 1, window)
    shift = (other.residual - window.residual)[:, :, :OVERLAP] * window.unit
    assert torch.allclose(shift, before.unit.expand_as(shift), rtol=1e-3)
    assert torch.equal(other.residual[:, :, OVERLAP:], window.residual[:, :, OVERLAP:])


def test_samples_lie_within_a_segment():
    clips = ClipDataset(store(25), FRAMES, 40, seed=0, followed=True)  # segments of six frames
    assert clips.starts.tolist() == [0, 6, 12, 18]
    plain = ClipDataset(store(25), FRAMES, 40, seed=0)
    assert not any(name.startswith(NEXT) for name in plain[0])


def test_the_score_of_a_window_is_that_of_its_samples(model, pair):
    window, unit = pair[1], torch.full((3, 1, 1, 1), 0.7)
    draw = lambda: torch.Generator().manual_seed(4)  # noqa: E731
    loss = float(one_step_loss(model, window, unit, HOW, draw()).detach())
    size = (model.scale(window.residual, window.known) * unit).detach()
    made = (
        one_step_sample(model, repeated(window, 3), unit, draw()).detach().unflatten(0, (3, 3))
        / size[:, None]
    )
    score = torch.tensor(crps_fair(made.movedim(1, 0).numpy(), (window.residual / size).numpy()))
    weight = ((1 - window.known)[:, None, :, None, None] * window.area).expand_as(score)
    assert loss == pytest.approx(float((score * weight).sum() / weight.sum()), rel=1e-5)


def test_each_member_is_told_its_own_past(model, pair):
    before, window, unit = *pair, torch.ones(3, 1, 1, 1)
    draw = lambda: torch.Generator().manual_seed(4)  # noqa: E731
    told, rolled = (
        float(one_step_loss(model, window, unit, HOW, draw(), past).detach()) for past in (None, before)
    )
    assert told != pytest.approx(rolled, rel=1e-3)
    past = repeated(before, 3)
    made = one_step_sample(model, past, unit, draw())
    heads = following(past, made, repeated(window, 3)).residual[:, :, :OVERLAP].unflatten(0, (3, 3))
    assert float((heads[:, 0] - heads[:, 1]).detach().abs().min(dim=2).values.mean()) > 1e-3
    one_step_loss(model, window, unit, HOW, draw(), before).backward()
    trained = {
        n.partition(".")[0]
        for n, p in model.named_parameters()
        if p.grad is not None and p.grad.abs().sum() > 0
    }
    assert trained == {"one_step_net"}
    model.zero_grad(set_to_none=True)


def test_the_mean_network_is_told_its_own_mean(model, pair):
    before, window = pair
    guess = model.mean(before.cond, before.residual, before.known).detach()
    by_hand = mean_loss(model, following(before, guess, window)).detach()
    assert float(mean_loss(model, window, before).detach()) == pytest.approx(float(by_hand))
    assert float(mean_loss(model, window).detach()) != pytest.approx(float(by_hand), rel=1e-3)
