"""`gencarbon data ...`: build the benchmark, check and describe files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gencarbon.terminal import bar, cache_folder, console, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from gencarbon.data.benchmark import Build
    from gencarbon.data.own_files import FilesBuild

data_app = typer.Typer(help="Build the benchmark, check and describe files.", no_args_is_help=True)


@data_app.command("build")
def data_build(
    config: Annotated[
        Path,
        typer.Argument(
            help="a file of kind `data` (such as configs/data_tiny.yaml) or `files` (configs/data_carbonbench.yaml)"
        ),
    ],
    split: Annotated[list[str] | None, typer.Option(help="only this split; repeatable")] = None,
) -> None:
    """Build winds, fluxes, reference and coarse run into the cache: HS-CO2, or your own files. Kill it and run it again: it goes on."""
    from gencarbon.config import load_any
    from gencarbon.data.benchmark import Build
    from gencarbon.data.own_files import FilesBuild, FilesConfig
    from gencarbon.data.refusal import refusal

    settings: Any = load_any(config)
    build: Any = FilesBuild if isinstance(settings, FilesConfig) else Build
    names = [part.name for part in settings.splits]
    if unknown := set(split or ()) - set(names):
        raise refusal(f"--split of {config}", " or ".join(names), ", ".join(sorted(unknown)), "correct it")
    for part in settings.splits:
        if not split or part.name in split:
            _build_split(build(settings, part, cache_folder() / "data" / settings.name))


def _build_split(build: Build | FilesBuild) -> None:
    with bar(build.split.name) as progress:
        task = progress.add_task(f"{build.config.name} {build.split.name}", total=build.frames)
        path = build.run(lambda done, total: progress.update(task, completed=done, total=total))
        progress.update(task, completed=build.frames)
    say(f"{build.split.name}: {path}")


@data_app.command("check")
def data_check(
    files: Annotated[
        list[str], typer.Argument(help="NetCDF or Zarr files, or their addresses (s3://, gs://, https://)")
    ],
    checkpoint: Annotated[
        str | None, typer.Option(help="ask this one, too: cells, layers, step, length and every member")
    ] = None,
) -> None:
    """Say what is wrong or suspicious in files; exit 1 where sampling would refuse one."""
    from gencarbon.data.info import check_files

    findings = check_files(files, None if checkpoint is None else _sampling_from(checkpoint))
    for finding in findings:
        say(f"{'ok     ' if finding.ok else 'REFUSED'} {finding.path} as {finding.role}: {finding.message}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def _sampling_from(checkpoint: str) -> Callable[[dict[str, Any]], str]:
    """What `gencarbon sample` would say of its inputs."""
    from gencarbon.data.input_members import by_input_member
    from gencarbon.sampling.pipeline import CO2Pipeline

    pipe = CO2Pipeline.from_pretrained(checkpoint)

    def notes(inputs: dict[str, Any]) -> str:
        members = by_input_member(inputs)
        for one in members:
            (given,) = pipe.read(**one)  # one at a time: ensembles of winds are large
        fitting = (
            f"{len(members)} member{'s'[: len(members) > 1]} of {len(given.time)} frames for {checkpoint}"
        )
        return f"{fitting}; air mass fluxes {given.about['air_mass_fluxes']}; {given.about['notes']}"

    return notes


@data_app.command("info")
def data_info(
    files: Annotated[
        list[str], typer.Argument(help="NetCDF or Zarr files, or their addresses (s3://, gs://, https://)")
    ],
) -> None:
    """Say what files are: layout or role, times, grid, levels, units, what would be converted, PgC per year of fluxes."""
    from gencarbon.data.info import describe_files

    for table, _ in describe_files(files):
        console.print(table)


@data_app.command("copy")
def data_copy(
    store: Annotated[Path, typer.Argument(help="an ensemble, or another Zarr store of ours")],
    out: Annotated[
        str, typer.Argument(help="a new netCDF file, ending in .nc; or an address such as s3://bucket/E.zarr")
    ],
) -> None:
    """Copy a store: as CF netCDF for programs that read no Zarr (Panoply, ncview), or into a bucket as it is."""
    from gencarbon.data.checks import refuse_existing
    from gencarbon.data.files import copy_store, open_dataset, write_netcdf
    from gencarbon.data.refusal import refusal

    ds = open_dataset(store)
    if "://" in out:
        copy_store(store, out)
    elif out.endswith(".nc"):
        refuse_existing(out)
        write_netcdf(ds, Path(out))
    else:
        raise refusal(out, "a file ending in .nc, or an address", out, "choose another name")
    say(f"copied: {out}")


@data_app.command("prepare")
def data_prepare(
    winds: Annotated[
        list[str], typer.Option(help="files of winds and humidity; a path, or a quoted pattern; repeatable")
    ],
    fluxes: Annotated[list[str], typer.Option(help="files of surface fluxes")],
    start: Annotated[str, typer.Option(help="first date, such as 2018-06-01 or 2018-06-01T06")],
    days: Annotated[float, typer.Option(min=0, help="length of the period")],
    out: Annotated[
        Path, typer.Option(help="folder for winds.zarr, fluxes.zarr, initial.zarr and background.zarr")
    ],
    initial: Annotated[list[str] | None, typer.Option(help="files of CO2 that give the first state")] = None,
    background: Annotated[list[str] | None, typer.Option(help="files of CO2 of a coarse run")] = None,
    checkpoint: Annotated[str, typer.Option(help="whose cells, layers and step are made")] = "hsco2",
) -> None:
    """Put files of CarbonTracker, CAMS, ERA5, GEOS-Chem and others on a checkpoint's grid, ready to sample. Kill it and run it again: it goes on."""
    from gencarbon.data.prepare import frame_times, is_prepared, matching, prepared, write_frames
    from gencarbon.data.refusal import refusal
    from gencarbon.sampling.pipeline import CO2Pipeline

    place = CO2Pipeline.from_pretrained(checkpoint).grid
    times = frame_times(start, days, place.step_seconds)
    given = {"winds": winds, "fluxes": fluxes, "initial": initial, "background": background}
    files = {role: matching(patterns) for role, patterns in given.items() if patterns}
    # all are looked at before any is written
    made = {role: prepared(role, some, times, place.cells, place.layers) for role, some in files.items()}
    asked = {
        role: {"files": some, "start": start, "days": days, "checkpoint": checkpoint}
        for role, some in files.items()
    }
    missing = {role: ds for role, ds in made.items() if not is_prepared(out / f"{role}.zarr", asked[role])}
    if not missing:
        raise refusal(str(out), "a new output", "one that is complete", "choose another --out or delete it")
    out.mkdir(parents=True, exist_ok=True)
    for role, ds in missing.items():
        with bar(role) as progress:
            task = progress.add_task(role, total=ds.sizes.get("time", 1))

            def tick(done: int, total: int, task: Any = task) -> None:
                progress.update(task, completed=done)

            write_frames(ds, out / f"{role}.zarr", asked[role], tick)
        say(f"{role}: {out / f'{role}.zarr'}; {ds.attrs.get('repairs', 'used as it is')}")
