"""Ensembles of inputs: winds, fluxes, coarse runs or known states that carry members of their own, such as those of ERA5's EDA or of a
flux posterior. Member m of a sampled ensemble is given input member m modulo their number, so that all uncertainties add up in one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import xarray as xr

from gencarbon.errors import InputError

NAMES = "member", "realization", "number"  # of the dimension; the last is that of ERA5
INPUT = "input"  # the dimension in a sampled ensemble of what differs between input members
OF_MEMBER = "input_of_member"
Input = TypeVar("Input", bound=xr.Dataset | None)


def by_input_member(sets: dict[str, Input]) -> list[dict[str, Input]]:
    """One set of inputs per input member; a dataset without members is shared by all. Raises InputError where their numbers differ."""
    dims = {
        role: next((n for n in NAMES if ds is not None and n in ds.dims), None) for role, ds in sets.items()
    }
    sizes = {
        role: ds.sizes[dims[role]] for role, ds in sets.items() if ds is not None and dims[role] is not None
    }
    if len(set(sizes.values())) > 1:
        raise InputError(
            f"inputs with members need the same number of them, got {sizes}; select as many of each, in pairs, or average one of them"
        )
    count = next(iter(sizes.values()), 1)
    one = lambda role, ds, m: ds if dims[role] is None else ds.isel({dims[role]: m}, drop=True)  # noqa: E731
    return [{role: one(role, ds, m) for role, ds in sets.items()} for m in range(count)]


def united(templates: Sequence[xr.Dataset], members: int) -> xr.Dataset:
    """The template of an ensemble from those of its input members: runs are averaged; air and fluxes keep a dimension `input` where they
    differ, and `input_of_member` says which input a member was given."""
    first = templates[0]
    if len(templates) == 1:
        return first
    made = first.copy()
    for name in ("co2_background", "co2_refined"):
        made[name] = (
            first[name].dims,
            np.mean([t[name].values for t in templates], axis=0),
            first[name].attrs,
        )
    for name in ("air_mass", "flux"):
        values = np.stack([t[name].values for t in templates])
        if (values != values[0]).any():
            made[name] = ((INPUT, *first[name].dims), values, first[name].attrs)
    made.attrs["inputs"] = len(templates)
    chosen = np.arange(members) % len(templates)
    return made.assign_coords(
        {OF_MEMBER: ("member", chosen, {"long_name": "number of the input that a member was given"})}
    )


def expanded(ensemble: xr.Dataset) -> xr.Dataset:
    """An ensemble whose air and fluxes belong to members instead of inputs; lazy stays lazy."""
    if INPUT not in ensemble.dims:
        return ensemble
    of = ensemble[OF_MEMBER].compute()
    own = {name: ds.isel({INPUT: of}) for name, ds in ensemble.data_vars.items() if INPUT in ds.dims}
    return ensemble.drop_vars([*own, OF_MEMBER]).assign(
        {n: a.drop_vars(OF_MEMBER, errors="ignore") for n, a in own.items()}
    )
