"""Where lazy work is done: on the threads of this machine, or on a dask.distributed cluster. The results are the same bits."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import dask

from gencarbon.errors import InputError

BATCH = 4  # tasks given to local threads at a time, for each: enough to keep it busy, few enough to bound what is in memory


def computed(tasks: Sequence[Any], scheduler: str | None, progress: Callable[[int, int], None]) -> list[Any]:
    """The values of delayed `tasks`, in order. scheduler: address such as tcp://host:8786, None for local threads."""
    if scheduler is not None:
        return _on_cluster(tasks, scheduler, progress)
    done: list[Any] = []
    size = BATCH * (os.cpu_count() or 1)
    for first in range(0, len(tasks), size):
        done += dask.compute(*tasks[first : first + size], scheduler="threads")
        progress(len(done), len(tasks))
    return done


def _on_cluster(tasks: Sequence[Any], address: str, progress: Callable[[int, int], None]) -> list[Any]:
    try:
        from distributed import Client, as_completed
    except ImportError:
        raise InputError(
            f"--scheduler {address} needs dask.distributed, which is not installed; pip install 'gencarbon[cluster]'"
        ) from None
    try:
        client = Client(address, timeout=10)
    except (OSError, ValueError, TimeoutError) as error:
        raise InputError(
            f"expected a dask scheduler at {address}, got {type(error).__name__}; start one with `dask scheduler` and workers with "
            "`dask worker ADDRESS`, and give its address, such as tcp://localhost:8786"
        ) from None
    with client:
        futures = client.compute(list(tasks))  # workers take no more at a time than they can hold
        for n, future in enumerate(as_completed(futures), 1):
            future.result()  # a mistake stops the rest at once
            progress(n, len(tasks))
        return client.gather(futures)
