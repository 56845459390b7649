"""What all commands share: the console, progress with the time left, and where data and runs live."""

from __future__ import annotations

import os
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

console = Console()


def cache_folder() -> Path:
    """Where built data and runs live: $GENCARBON_CACHE, by default .cache/gencarbon in the home folder."""
    return Path(os.environ.get("GENCARBON_CACHE", Path.home() / ".cache" / "gencarbon"))


def is_main_process() -> bool:
    return os.environ.get("RANK", "0") == "0"


def bar(label: str) -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
    )
    return Progress(*columns, TimeRemainingColumn(), console=console, disable=not is_main_process())


def say(text: str) -> None:
    if is_main_process():
        # one line a message, also in a pipe; brackets are part of paths
        console.print(text, highlight=False, markup=False, soft_wrap=True)
