"""Where lazy work is done: on the threads of this machine, or on a dask.distributed cluster. The results are the same bits."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from typing import Any

from gencarbon.errors import InputError
from gencarbon.memory import keep_freed_memory


def mapped(
    function: Callable[[Any], Any],
    parts: Sequence[Any],
    scheduler: str | None,
    progress: Callable[[int, int], None],
) -> list[Any]:
    """`function` of every part, in order. A part is one task: what is lazy in it is read by the worker that has it, and
    not made into tasks of a graph. scheduler: address such as tcp://host:8786, None for local threads."""
    if scheduler is not None:
        return _on_cluster(function, parts, scheduler, progress)
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        futures = [threads.submit(function, part) for part in parts]
        try:
            for n, future in enumerate(as_completed(futures), 1):
                future.result()
                progress(n, len(parts))
        except BaseException:  # a mistake, or Ctrl-C, stops the rest at once
            threads.shutdown(cancel_futures=True)
            raise
    return [future.result() for future in futures]


def _on_cluster(
    function: Callable[[Any], Any],
    parts: Sequence[Any],
    address: str,
    progress: Callable[[int, int], None],
) -> list[Any]:
    try:
        import distributed
    except ImportError:
        raise InputError(
            f"--scheduler {address} needs dask.distributed, which is not installed; pip install 'gencarbon[cluster]'"
        ) from None
    try:
        client = distributed.Client(address, timeout=10)
    except (OSError, ValueError, TimeoutError) as error:
        raise InputError(
            f"expected a dask scheduler at {address}, got {type(error).__name__}; start one with `dask scheduler` and workers with "
            "`dask worker ADDRESS`, and give its address, such as tcp://localhost:8786"
        ) from None
    with client:
        futures = client.map(_worked, [partial(function, part) for part in parts], pure=False)
        place, done = {future.key: n for n, future in enumerate(futures)}, [None] * len(parts)
        for n, (future, result) in enumerate(distributed.as_completed(futures, with_results=True), 1):
            done[place[future.key]] = result  # raises a worker's mistake, which stops the rest at once
            progress(n, len(parts))
        return done


def _worked(task: Callable[[], Any]) -> Any:
    """The task, done by a worker of a cluster."""
    keep_freed_memory()  # dask has workers give pages back at once, and getting them again costs half as much again
    return task()
