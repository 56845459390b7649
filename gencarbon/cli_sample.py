"""The commands that draw ensembles: `sample` and `downscale`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from gencarbon.terminal import bar, say

Winds = Annotated[
    Path,
    typer.Option(
        help="u, v (m s-1), surface_pressure (Pa), hybrid_a, hybrid_b; best with air mass fluxes (kg s-1)"
    ),
]
Fluxes = Annotated[Path, typer.Option(help="flux of CO2, kg m-2 s-1, upward positive")]
Out = Annotated[Path, typer.Option(help="the ensemble to write, a new Zarr store")]
Checkpoint = Annotated[str, typer.Option(help="a shipped name, a folder or a hub id")]
Initial = Annotated[Path | None, typer.Option(help="co2 (ppm) of the first frame, where it is known")]
Members = Annotated[int, typer.Option(min=1, help="size of the ensemble")]
Seed = Annotated[
    int, typer.Option(min=0, help="of the noise; a member depends on it and on its number alone")
]


def sample(
    winds: Winds,
    fluxes: Fluxes,
    out: Out,
    checkpoint: Checkpoint = "hsco2",
    background: Annotated[
        Path | None,
        typer.Option(help="co2 (ppm) of a coarse run to learn from; without one, --initial is needed"),
    ] = None,
    initial: Initial = None,
    members: Members = 16,
    seed: Seed = 0,
) -> None:
    """Sample an ensemble of CO2 fields. Kill it and run it again: it goes on.

    On many GPUs: accelerate launch -m gencarbon sample ...; on processes without GPU: torchrun --nproc_per_node 4 -m gencarbon
    sample ... The same members are written, bit for bit.
    """
    paths = {"winds": winds, "fluxes": fluxes, "background": background, "initial": initial}
    _draw(paths, checkpoint, members, seed, out, conserve=False)


def downscale(
    coarse: Annotated[
        Path, typer.Option(help="co2 (ppm) on cells a whole number of times wider than the checkpoint's")
    ],
    winds: Winds,
    fluxes: Fluxes,
    out: Out,
    checkpoint: Checkpoint = "hsco2",
    initial: Initial = None,
    conserve: Annotated[
        bool,
        typer.Option(
            help="every member has the coarse run's mean in each of its cells, levels and generated frames"
        ),
    ] = True,
    members: Members = 16,
    seed: Seed = 0,
) -> None:
    """Sample what a coarse run leaves out: an ensemble on the checkpoint's cells whose means over the coarse ones are given.

    As `sample` in all else: it resumes, and runs on many processes.
    """
    paths = {"winds": winds, "fluxes": fluxes, "background": coarse, "initial": initial}
    _draw(paths, checkpoint, members, seed, out, conserve)


def _draw(
    paths: dict[str, Path | None], checkpoint: str, members: int, seed: int, out: Path, conserve: bool
) -> None:
    from gencarbon.data.files import open_dataset
    from gencarbon.sampling.coarse_run import has_mass_fluxes
    from gencarbon.sampling.pipeline import CO2Pipeline
    from gencarbon.sampling.store_run import sample_to_store

    inputs: dict[str, Any] = {
        role: None if path is None else open_dataset(path) for role, path in paths.items()
    }
    pipe = CO2Pipeline.from_pretrained(checkpoint)
    if not has_mass_fluxes(inputs["winds"]):
        say(
            "winds: no eastward_air_mass_flux and northward_air_mass_flux; estimated from u and v at frame times, "
            "which errs more than the ensemble was calibrated for"
        )
    with bar("sampling") as progress:

        def start(total: int) -> Callable[[], None]:
            task = progress.add_task(f"{members} members, windows", total=total)
            return lambda: progress.advance(task)

        processes = sample_to_store(pipe, inputs, members, seed, out, start, conserve, say)
    say(f"ensemble: {out}, sampled by {processes} process{'es' * (processes > 1)}")
