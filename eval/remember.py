"""Parts of long benchmarks, kept so that a run that was killed goes on."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable
from typing import Any, TypeVar

from eval.provenance import dirty, git
from gencarbon.terminal import cache_folder

T = TypeVar("T")


def remembered(benchmark: str, key: dict[str, Any], make: Callable[[], T]) -> T:
    """What `make` returns, kept in the cache folder under all that it depends on: `key` (JSON) and the committed code of the package.

    From a checkout with changes nothing is kept or read.
    """
    code = git("rev-parse", "HEAD:gencarbon")
    if code is None or dirty() is not False:
        return make()
    name = hashlib.sha256(json.dumps(key | {"code": code}, sort_keys=True).encode()).hexdigest()[:32]
    path = cache_folder() / "eval" / benchmark / f"{name}.pickle"
    if path.exists():
        return pickle.loads(path.read_bytes())
    made = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(pickle.dumps(made))
    temporary.rename(path)
    return made
