"""The command line. Every command teaches with --help; a user's mistake gets one line and exit status 2."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from gencarbon.cli_covariance import covariance_command
from gencarbon.cli_data import data_app
from gencarbon.cli_sample import downscale, sample
from gencarbon.errors import InputError
from gencarbon.memory import keep_freed_memory
from gencarbon.terminal import bar, cache_folder, console, is_main_process, say

NO_ROOM = errno.ENOSPC, errno.EDQUOT, errno.EFBIG

app = typer.Typer(
    help="Ensembles of CO2 fields from winds and surface fluxes, and the scores to prove them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(data_app, name="data")
app.command()(sample)
app.command()(downscale)
app.command("covariance")(covariance_command)


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="a file of kind `train`, such as configs/train_hsco2.yaml")],
    run: Annotated[
        str | None, typer.Option(help="name of the run folder; by default that of the config")
    ] = None,
) -> None:
    """Train the networks that the config asks for, one after the other. Resumes exactly; works under `accelerate launch`."""
    from gencarbon.sampling.pipeline import CO2Pipeline
    from gencarbon.training.settings import TrainConfig
    from gencarbon.training.train import Trainer

    settings = TrainConfig.load(config)
    folder = cache_folder() / "runs" / (run or settings.name)
    begin = settings.begin
    pipe: CO2Pipeline | None = None
    if begin is not None:
        run_of_that_name = cache_folder() / "runs" / begin / "pipeline"
        try:
            pipe = CO2Pipeline.from_pretrained(run_of_that_name if run_of_that_name.exists() else begin)
        except InputError as error:
            raise InputError(
                f"{config} begins with {begin!r}, no run in {run_of_that_name.parent.parent}: train that one first; or {error}"
            ) from None
    path = Trainer(settings, cache_folder() / "data" / settings.data, folder, say, pipe).run()
    say(f"checkpoint: {path}")


@app.command("calibrate")
def calibrate_command(
    config: Annotated[Path, typer.Argument(help="a file of kind `calibrate`")],
    out: Annotated[Path, typer.Option(help="folder for the calibrated checkpoint")],
    checkpoint: Annotated[
        str | None, typer.Option(help="another than the config's: the folder that `gencarbon train` printed")
    ] = None,
) -> None:
    """Fit the spread knob on the validation split and save the checkpoint with it. Kill it and run it again: it goes on."""
    from gencarbon.data.checks import refuse_existing
    from gencarbon.data.files import open_dataset
    from gencarbon.sampling.calibrate import calibrate
    from gencarbon.sampling.pipeline import CO2Pipeline
    from gencarbon.sampling.rounds import Rounds
    from gencarbon.sampling.settings import CalibrateConfig

    settings = CalibrateConfig.load(config)
    refuse_existing(out)
    pipe = CO2Pipeline.from_pretrained(checkpoint or settings.checkpoint)
    store = open_dataset(cache_folder() / "data" / settings.data / "validation.zarr")
    of = {
        "config": settings.model_dump_json(),
        "checkpoint": pipe.digest,
        "data": store.attrs.get("config", ""),
    }
    rounds = Rounds(out.with_name(out.name + ".rounds.json"), of)  # beside it
    with bar("dates") as progress:
        task = progress.add_task("dates", total=settings.dates * (settings.rounds + 2))
        progress.advance(task, settings.dates * len(rounds.found))
        calibrate(pipe, store, settings, say, rounds, lambda: progress.advance(task))
    pipe.save_pretrained(out)
    rounds.forget()


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

    refuse_existing(out, ".nc")
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
    """The main job on the shipped sample and checkpoint: sample ten days, score them, write the report. Kill it and run it again: it goes on."""
    from gencarbon.data.checks import refuse_existing
    from gencarbon.data.files import open_dataset
    from gencarbon.sample_data import sample_path

    ensemble, evaluation = out / "ensemble.zarr", out / "evaluation"
    unfinished = {ensemble.name, f"{ensemble.name}.partial", f"{evaluation.name}.partial"}
    begun = out.is_dir() and {path.name for path in out.iterdir()} <= unfinished
    if not begun or (ensemble.exists() and open_dataset(ensemble).sizes["member"] != members):
        refuse_existing(out)
    out.mkdir(parents=True, exist_ok=True)
    paths = {role: sample_path(role) for role in ("winds", "fluxes", "background", "initial")}
    if not ensemble.exists():
        sample(**paths, out=ensemble, checkpoint="hsco2", members=members, seed=0)
    evaluate_command([ensemble], sample_path("reference"), evaluation)


def main() -> None:
    """Entry point of `gencarbon` and `python -m gencarbon`."""
    keep_freed_memory()
    try:
        app()
    except InputError as error:  # every process has the same
        if is_main_process():
            _say_why(str(error))
        sys.exit(2)
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        where = f"{error.filename}: " if error.filename else ""
        _say_why(
            f"{where}expected room to write, got {error.strerror!r}; make room and give the same command again: what is whole is kept"
        )
        sys.exit(2)


def _say_why(message: str) -> None:
    Console(stderr=True).print(
        f"gencarbon: {message}", style="red", markup=False, highlight=False, soft_wrap=True
    )
