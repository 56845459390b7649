"""Where lazy work is done: on the threads of this machine, or on a dask.distributed cluster. The results are the same bits."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import Any

import dask

from gencarbon.errors import InputError

BATCH = 4  # tasks given out at a time for each worker: enough to keep it busy, few enough to bound what is in memory


def computed(tasks: Sequence[Any], scheduler: str | None, progress: Callable[[int, int], None]) -> list[Any]:
    """The values of delayed `tasks`, in order. scheduler: address such as tcp://host:8786, None for local threads."""
    done: list[Any] = []
    with _pool(scheduler) as (workers, options):
        for first in range(0, len(tasks), BATCH * workers):
            done += dask.compute(*tasks[first : first + BATCH * workers], **options)
            progress(len(done), len(tasks))
    return done


@contextmanager
def _pool(scheduler: str | None):
    """(number of workers, options of dask.compute)."""
    if scheduler is None:
        yield os.cpu_count() or 1, {"scheduler": "threads"}
        return
    try:
        from distributed import Client
    except ImportError:
        raise InputError(
            f"--scheduler {scheduler} needs dask.distributed, which is not installed; pip install 'gencarbon[cluster]'"
        ) from None
    try:
        client = Client(scheduler, timeout=10)
    except (OSError, ValueError, TimeoutError) as error:
        raise InputError(
            f"expected a dask scheduler at {scheduler}, got {type(error).__name__}; start one with `dask scheduler` and workers with "
            "`dask worker ADDRESS`, and give its address, such as tcp://localhost:8786"
        ) from None
    with client:
        yield max(1, sum(client.nthreads().values())), {"scheduler": client}
