"""What a run takes over from the checkpoint that it begins with."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gencarbon.errors import InputError
from gencarbon.model import ResidualDenoiser


def weights_from(theirs: ResidualDenoiser, mine: ResidualDenoiser) -> dict[str, Tensor]:
    """The weights of `theirs` for networks like `mine`, which may see more fields on levels: blind, at first, to those that `theirs` lack."""
    ours, given = (_shape(m) for m in (mine, theirs))
    more = max(ours["level_fields"] - given["level_fields"], 0)
    same = given | {"level_fields": given["level_fields"] + more, "one_step": ours["one_step"]}
    differ = [k for k in ours if same[k] != ours[k]]
    if differ:
        listed = ", ".join(f"{k} {given[k]} instead of {ours[k]}" for k in differ)
        raise InputError(
            f"expected a checkpoint to begin with whose networks are those of the config, got {listed}"
        )
    channels = ours["frames"] * ours["levels"]  # of one field
    seen = given["level_fields"] * channels
    return {
        name: _widened(weight, seen, more * channels) if name.endswith("stem.weight") else weight
        for name, weight in theirs.state_dict().items()
    }


def _shape(model: ResidualDenoiser) -> dict[str, Any]:
    """Its config; saved ones have lists in place of tuples."""
    config = {k: v for k, v in model.config.items() if k[0] != "_"}
    return {k: list(v) if isinstance(v, tuple) else v for k, v in config.items()}


def _widened(weight: Tensor, seen: int, more: int) -> Tensor:
    """Weights (outputs, inputs, 1, 1) with zeros for `more` inputs after the first `seen`."""
    unseen = weight.new_zeros(len(weight), more, 1, 1)
    return torch.cat([weight[:, :seen], unseen, weight[:, seen:]], dim=1)
