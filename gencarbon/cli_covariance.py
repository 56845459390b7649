"""The command `covariance`: transport error between observations, for an inversion."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gencarbon.errors import InputError
from gencarbon.terminal import bar, say


def covariance_command(
    ensemble: Annotated[Path, typer.Argument(help="as `sample` writes it, at least 8 members")],
    out: Annotated[Path, typer.Option(help="a new netCDF file")],
    stations: Annotated[
        Path | None, typer.Option(help="lat, lon, level by station; every frame, or their own `time`")
    ] = None,
    columns: Annotated[
        Path | None,
        typer.Option(help="soundings with averaging_kernel, pressure_weight, co2_prior, xco2_prior"),
    ] = None,
    length_km: Annotated[
        float, typer.Option(min=0, help="half-width of the taper in distance, km; 0: no taper")
    ] = 2000.0,
    hours: Annotated[float, typer.Option(min=0, help="half-width of the taper in time; 0: no taper")] = 48.0,
) -> None:
    """How transport errors at stations or of columns vary together, ppm2: the transport part of the R matrix of an inversion."""
    from gencarbon.covariances import covariance
    from gencarbon.data.checks import refuse_existing
    from gencarbon.data.files import open_dataset, write_netcdf

    refuse_existing(out, ".nc")
    given = [path for path in (stations, columns) if path is not None]
    if len(given) != 1:
        raise InputError(
            f"expected --stations or --columns, got {'both' if given else 'neither'}; give one of them"
        )
    with bar("covariance") as progress:
        task = progress.add_task("sampling members, blocks of frames", total=None)
        made = covariance(
            open_dataset(ensemble),
            open_dataset(given[0]),
            length_km=length_km or None,
            hours=hours or None,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    write_netcdf(made, out)
    median = float(made.standard_deviation.median())
    say(
        f"covariance: {out}; {made.sizes['observation']} observations, median standard deviation {median:.3g} ppm"
    )
