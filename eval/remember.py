"""Parts of long benchmarks, kept so that a run that was killed goes on."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable
from typing import Any, TypeVar

from eval.provenance import git
from gencarbon.terminal import cache_folder

T = TypeVar("T")


def committed_code() -> str | None:
    """A name for the code of the package and of the benchmarks, None where it differs from the commit.

    Not the weights and samples that lie beside it: a part that depends on them says so in its key."""
    files = "gencarbon/*.py", "eval/suites/*.py", "eval/rivals.py", "eval/cases.py"  # folders below as well
    if git("status", "--porcelain", "--", *files) != "":
        return None
    return hashlib.sha256(str(git("ls-files", "--stage", "--", *files)).encode()).hexdigest()


CODE = committed_code()  # when it was loaded, not what is committed meanwhile


def remembered(benchmark: str, key: dict[str, Any], make: Callable[[], T]) -> T:
    """What `make` returns, kept in the cache folder under all that it depends on: `key` (JSON) and the committed code.

    From a checkout whose code has changes nothing is kept or read.
    """
    if CODE is None:
        return make()
    name = hashlib.sha256(json.dumps(key | {"code": CODE}, sort_keys=True).encode()).hexdigest()[:32]
    path = cache_folder() / "eval" / benchmark / f"{name}.pickle"
    if path.exists():
        return pickle.loads(path.read_bytes())
    made = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(pickle.dumps(made))
    temporary.rename(path)
    return made
