"""Rounds of a calibration, kept in a file so that one that was killed goes on where it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import BinaryIO

import numpy as np

from gencarbon.data.files import write_whole
from gencarbon.errors import InputError
from gencarbon.sampling.spread import Ratios


class Rounds:
    """What the rounds so far found, in order; in memory only where there is no path.

    of: what they are rounds of (config, checkpoint, data), told apart by it. Raises InputError for a file of another calibration.
    """

    def __init__(self, path: Path | None = None, of: dict[str, str] | None = None):
        self.path, self.of, self.found = path, of, list[Ratios]()
        if path is None or not path.exists():
            return
        kept = json.loads(path.read_text())
        if kept["of"] != of:
            other = [name for name in kept["of"] if kept["of"][name] != (of or {}).get(name)]
            raise InputError(
                f"{path}: expected the rounds of this calibration, got those of another {' and '.join(other)}; delete it or choose "
                "another --out"
            )
        for one in kept["found"]:
            arrays = {name: np.array(values) for name, values in one.items()}
            self.found.append(Ratios(**arrays | {"overall": one["overall"]}))

    def add(self, one: Ratios) -> None:
        """A round more. Raises OSError where a disk is full."""
        self.found.append(one)
        if self.path is None:
            return
        told = [
            {name: np.asarray(values).tolist() for name, values in r._asdict().items()} for r in self.found
        ]
        content = json.dumps({"of": self.of, "found": told}).encode()  # floats come back bit for bit

        def write(file: BinaryIO) -> None:
            file.write(content)

        write_whole(self.path, write)

    def forget(self) -> None:
        """Removes the file, once what was fitted is saved."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
