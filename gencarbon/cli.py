"""The command line. Every command teaches with --help; a user's mistake gets one line and exit status 2."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from gencarbon.cli_covariance import covariance_command
from gencarbon.cli_data import data_app
from gencarbon.errors import InputError
from gencarbon.memory import keep_freed_memory
from gencarbon.terminal import bar, cache_folder, console, is_main_process, say

app = typer.Typer(
    help="Ensembles of CO2 fields from winds and surface fluxes, and the scores to prove them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(data_app, name="data")
app.command("covariance")(covariance_command)


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="a file of kind `train`, such as configs/train_hsco2.yaml")],
    run: Annotated[
        str | None, typer.Option(help="name of the run folder; by default that of the config")
    ] = None,
) -> None:
    """Train the networks that the config asks for, one after the other. Resumes exactly; works under `accelerate launch`."""
    from gencarbon.training.settings import TrainConfig
    from gencarbon.training.train import Trainer

    settings = TrainConfig.load(config)
    folder = cache_folder() / "runs" / (run or settings.name)
    path = Trainer(settings, cache_folder() / "data" / settings.data, folder, say).run()
    say(f"checkpoint: {path}")


@app.command("calibrate")
def calibrate_command(
    config: Annotated[Path, typer.Argument(help="a file of kind `calibrate`")],
    out: Annotated[Path, typer.Option(help="folder for the calibrated checkpoint")],
) -> None:
    """Fit the spread knob on the validation split and save the checkpoint with it."""
    from gencarbon.data.checks import refuse_existing
    from gencarbon.data.files import open_dataset
    from gencarbon.sampling.calibrate import CalibrateConfig, calibrate
    from gencarbon.sampling.pipeline import CO2Pipeline

    settings = CalibrateConfig.load(config)
    refuse_existing(out)
    pipe = CO2Pipeline.from_pretrained(settings.checkpoint)
    calibrate(pipe, open_dataset(cache_folder() / "data" / settings.data / "validation.zarr"), settings, say)
    pipe.save_pretrained(out)


@app.command()
def sample(
    winds: Annotated[
        Path,
        typer.Option(
            help="u, v (m s-1), surface_pressure (Pa), hybrid_a, hybrid_b; best with air mass fluxes (kg s-1)"
        ),
    ],
    fluxes: Annotated[Path, typer.Option(help="flux of CO2, kg m-2 s-1, upward positive")],
    out: Annotated[Path, typer.Option(help="the ensemble to write, a new Zarr store")],
    checkpoint: Annotated[str, typer.Option(help="a shipped name, a folder or a hub id")] = "hsco2",
    background: Annotated[
        Path | None, typer.Option(help="co2 (ppm) of a coarse run; by default our own, from --initial")
    ] = None,
    initial: Annotated[
        Path | None, typer.Option(help="co2 (ppm) of the first frame, where it is known")
    ] = None,
    members: Annotated[int, typer.Option(min=1, help="size of the ensemble")] = 16,
    seed: Annotated[
        int, typer.Option(min=0, help="of the noise; a member depends on it and on its number alone")
    ] = 0,
) -> None:
    """Sample an ensemble of CO2 fields. Kill it and run it again: it goes on.

    On many GPUs: accelerate launch -m gencarbon sample ...; on processes without GPU: torchrun --nproc_per_node 4 -m gencarbon
    sample ... The same members are written, bit for bit.
    """
    from gencarbon.data.files import open_dataset
    from gencarbon.sampling.coarse_run import has_mass_fluxes
    from gencarbon.sampling.pipeline import CO2Pipeline
    from gencarbon.sampling.store_run import sample_to_store

    paths = {"winds": winds, "fluxes": fluxes, "background": background, "initial": initial}
    inputs = {role: None if path is None else open_dataset(path) for role, path in paths.items()}
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

        processes = sample_to_store(pipe, inputs, members, seed, out, start)
    say(f"ensemble: {out}, sampled by {processes} process{'es' * (processes > 1)}")


@app.command("evaluate")
def evaluate_command(
    ensembles: Annotated[
        list[Path],
        typer.Argument(help="stores with co2 (ppm) by member; the first is compared with the others"),
    ],
    reference: Annotated[Path, typer.Option(help="co2 (ppm) and air_mass (kg) of the reference transport")],
    out: Annotated[
        Path, typer.Option(help="a new folder for scores, report.html, and PNG and LaTeX for papers")
    ],
    stations: Annotated[
        Path | None, typer.Option(help="observed co2 (station, time) in ppm; lat, lon, level by station")
    ] = None,
    columns: Annotated[
        Path | None,
        typer.Option(help="xco2 (sounding) with averaging_kernel, pressure_weight, co2_prior, xco2_prior"),
    ] = None,
    winds: Annotated[
        Path | None,
        typer.Option(help="winds of the run: how far members' own transport is from the reference's"),
    ] = None,
    mask_nan: Annotated[
        bool,
        typer.Option("--mask-nan", help="leave out cells with a NaN and count them, instead of refusing"),
    ] = False,
    scheduler: Annotated[
        str | None,
        typer.Option(help="address of a dask scheduler, such as tcp://host:8786; by default this machine"),
    ] = None,
) -> None:
    """Score ensembles, ours or not, against reference transport, stations and columns: tables, an HTML report, files for papers."""
    from gencarbon.data.files import open_dataset
    from gencarbon.evaluate_command import Inputs, evaluate_to_folder

    names = _names(ensembles)
    opened = {name: open_dataset(path) for name, path in zip(names, ensembles)}
    others = {key: None if path is None else open_dataset(path)
              for key, path in {"stations": stations, "columns": columns, "winds": winds}.items()}  # fmt: skip
    inputs = Inputs(opened, open_dataset(reference), **others, mask_nan=mask_nan, scheduler=scheduler)
    with bar("scoring") as progress:
        tasks: dict[str, Any] = {}

        def advance(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(f"scoring {name}, blocks of frames", total=total)
            progress.update(tasks[name], completed=done, total=total)

        tables, report = evaluate_to_folder(inputs, out, advance)
    for table in tables:
        console.print(table)
    say(f"report: {report.resolve()}")


def _names(paths: list[Path]) -> list[str]:
    """A name for each ensemble: its file's, with as many folders before it as tell them apart."""
    resolved = [path.resolve() for path in paths]
    if len(set(resolved)) < len(resolved):
        raise InputError(f"expected different ensembles, got {[str(path) for path in paths]}; give each once")
    parts = [
        (*path.parts[1:-1], path.stem if path.suffix in (".zarr", ".nc") else path.name) for path in resolved
    ]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [path.name for path in resolved]  # alike but for .nc and .zarr


@app.command("footprint")
def footprint_command(
    winds: Annotated[Path, typer.Argument(help="as for `sample`; the receptor sees the last frame")],
    lat: Annotated[float, typer.Option(help="of the receptor, degrees north")],
    lon: Annotated[float, typer.Option(help="of the receptor, degrees east")],
    out: Annotated[Path, typer.Option(help="a new netCDF file")],
    level: Annotated[
        int | None, typer.Option(min=1, help="of a station; 1, the default, touches the surface")
    ] = None,
    whole_column: Annotated[
        bool, typer.Option("--column", help="the column mean instead of a level")
    ] = False,
) -> None:
    """What a station or a column feels of every surface flux before it: ppm per (umol m-2 s-1), by the adjoint of the transport."""
    from gencarbon.data.checks import refuse_existing
    from gencarbon.data.files import open_dataset, write_netcdf
    from gencarbon.footprints import footprint

    refuse_existing(out)
    if whole_column and level is not None:
        raise InputError("a receptor is a column or a level, got --column and --level; give one of them")
    with bar("footprint") as progress:
        task = progress.add_task("backwards in time", total=None)
        made = footprint(
            open_dataset(winds),
            lat,
            lon,
            None if whole_column else level or 1,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    write_netcdf(made, out)
    say(f"footprint: {out}; 1 umol m-2 s-1 everywhere, all the time: {float(made.footprint.sum()):.3g} ppm")


@app.command()
def demo(
    out: Annotated[
        Path, typer.Option(help="a new folder for the ensemble, the scores and the report")
    ] = Path("demo-output"),
    members: Annotated[int, typer.Option(min=2, help="size of the ensemble")] = 16,
) -> None:
    """The main job on the shipped sample and checkpoint: sample ten days, score them, write the report."""
    from gencarbon.data.checks import refuse_existing
    from gencarbon.sample_data import sample_path

    refuse_existing(out)
    out.mkdir(parents=True)
    paths = {role: sample_path(role) for role in ("winds", "fluxes", "background", "initial")}
    sample(**paths, out=out / "ensemble.zarr", checkpoint="hsco2", members=members, seed=0)
    evaluate_command([out / "ensemble.zarr"], sample_path("reference"), out / "evaluation")


def main() -> None:
    """Entry point of `gencarbon` and `python -m gencarbon`."""
    keep_freed_memory()
    try:
        app()
    except InputError as error:
        if is_main_process():
            Console(stderr=True).print(
                f"gencarbon: {error}", style="red", markup=False, highlight=False, soft_wrap=True
            )
        sys.exit(2)
