"""`EnsembleWriter`: an ensemble store (Zarr v3) filled while sampling, by several processes, resumable.

E.zarr.partial/fingerprint.json   what the ensemble is made from; written after the empty store is whole
E.zarr.partial/store/             the Zarr store; renamed to E.zarr when every member is done
E.zarr.partial/done/3             member 3 is complete
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from filelock import FileLock, Timeout
from zarr.codecs import BloscCodec

from gencarbon.data.refusal import refusal
from gencarbon.variables import DIMS, VARIABLES, describe


class EnsembleWriter:
    """Writes `co2` (member, time, level, lat, lon) and `budget_correction` (member, time), ppm, float64.

    A shard is one member, in chunks of `frames_per_chunk` frames, so processes that write different members never meet.
    Members are numbered 0..members-1; one without its marker is written again from frame 0.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.partial = _partial(self.path)
        group = zarr.open_group(self.partial / "store", mode="r+")
        self._co2: Any = group["co2"]
        self._correction: Any = group["budget_correction"]
        self._written: dict[int, np.ndarray] = {}

    @classmethod
    def create(
        cls,
        path: str | Path,
        template: xr.Dataset,
        members: int,
        frames_per_chunk: int,
        fingerprint: dict,
        create: bool = True,
    ) -> EnsembleWriter:
        """A writer for the ensemble at `path`: new, or going on with one of the same `fingerprint` (JSON).

        template: coordinates, static variables and attributes, without member data. In a parallel run the
        first process passes create=True, and the others create=False once it is done. Raises InputError
        where `path` exists or the unfinished ensemble beside it was begun with another fingerprint.
        """
        begun = cls.begun(path, members, frames_per_chunk, fingerprint)
        if not begun and not create:
            raise refusal(
                str(_partial(Path(path))),
                "an ensemble begun by the first process",
                "none",
                "let the first process create it",
            )
        if not begun:
            asked = _whole(fingerprint, members, frames_per_chunk)
            _skeleton(_partial(Path(path)), template, members, frames_per_chunk, asked)
        return cls(path)

    @staticmethod
    def begun(path: str | Path, members: int, frames_per_chunk: int, fingerprint: dict) -> bool:
        """Whether an unfinished ensemble of this fingerprint lies beside `path`; InputError where `path` exists or that one is another."""
        path = Path(path)
        if path.exists():
            raise refusal(str(path), "a new output", "one that exists", "choose another --out or delete it")
        if not (_partial(path) / "fingerprint.json").exists():
            return False
        _check_fingerprint(_partial(path), _whole(fingerprint, members, frames_per_chunk))
        return True

    @property
    def members(self) -> int:
        """Number of members of the finished ensemble."""
        return self._co2.shape[0]

    @property
    def frames(self) -> int:
        """Number of frames of each member."""
        return self._co2.shape[1]

    def write(self, member: int, start_frame: int, co2: np.ndarray, correction: np.ndarray) -> None:
        """Store a member from `start_frame` on, ppm. co2: (time, level, lat, lon); correction: (time,).

        IndexError or ValueError where they do not belong here, FloatingPointError where they are not finite.
        """
        co2, correction = np.asarray(co2, np.float64), np.asarray(correction, np.float64)
        stop = start_frame + co2.shape[0]
        if not 0 <= member < self.members or not 0 <= start_frame < stop <= self.frames:
            expected = f"member 0..{self.members - 1} and frames within 0..{self.frames}"
            raise IndexError(f"{expected} expected, got {member}, {start_frame}..{stop}")
        if co2.shape[1:] != self._co2.shape[2:] or correction.shape != co2.shape[:1]:
            expected = f"co2 (time, {', '.join(map(str, self._co2.shape[2:]))}) and correction (time,)"
            raise ValueError(f"{expected} expected, got {co2.shape} and {correction.shape}")
        if not (np.isfinite(co2).all() and np.isfinite(correction).all()):
            where = f"member {member}, frames {start_frame}..{stop - 1}"
            raise FloatingPointError(f"finite co2 expected, got NaN or infinity in {where}; not stored")
        self._co2[member, start_frame:stop] = co2
        self._correction[member, start_frame:stop] = correction
        self._written.setdefault(member, np.zeros(self.frames, bool))[start_frame:stop] = True

    def finish_member(self, member: int) -> None:
        """Mark a member as complete; ValueError where this writer has not written all of its frames."""
        written = self._written.get(member, np.zeros(self.frames, bool))
        if not written.all():
            got = f"got {written.sum()}; the first missing is {np.argmin(written)}"
            raise ValueError(f"all {self.frames} frames of member {member} expected, {got}")
        (self.partial / "done" / str(member)).touch()

    def done_members(self) -> list[int]:
        """The complete members, in order, of all processes."""
        return sorted(int(marker.name) for marker in (self.partial / "done").iterdir())

    def close(self) -> Path:
        """Move the ensemble to `path`, metadata consolidated. ValueError while a member is missing."""
        if missing := sorted(set(range(self.members)) - set(self.done_members())):
            raise ValueError(
                f"all {self.members} members expected, missing {missing}; run again to finish them"
            )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Consolidated metadata")
            zarr.consolidate_metadata(self.partial / "store")
        (self.partial / "store").rename(self.path)
        shutil.rmtree(self.partial)
        return self.path


@contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """Keeps other runs from writing the ensemble `path`; a killed run lets go of it. Raises InputError where one is writing it."""
    lock = FileLock(path.with_name(path.name + ".lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        wanted, remedy = "an ensemble that no other run is writing", "wait for it, or choose another --out"
        raise refusal(str(path), wanted, "one that is being written", remedy) from error
    try:
        yield
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


def _partial(path: Path) -> Path:
    return path.with_name(path.name + ".partial")


def _whole(fingerprint: dict, members: int, frames_per_chunk: int) -> dict:
    """What tells one ensemble from another, as it is read back."""
    return json.loads(json.dumps(fingerprint | {"members": members, "frames_per_chunk": frames_per_chunk}))


def _check_fingerprint(partial: Path, fingerprint: dict) -> None:
    begun = json.loads((partial / "fingerprint.json").read_text())
    differing = sorted(k for k in begun.keys() | fingerprint.keys() if begun.get(k) != fingerprint.get(k))
    if differing:
        show = lambda of: ", ".join(f"{k}={str(of.get(k))[:40]}" for k in differing)  # noqa: E731
        remedy = "repeat that command to finish it, or delete it, or choose another --out"
        raise refusal(str(partial), f"an ensemble begun with {show(fingerprint)}", show(begun), remedy)


def _skeleton(
    partial: Path, template: xr.Dataset, members: int, frames_per_chunk: int, fingerprint: dict
) -> None:
    """Everything but the members. One left half-made is made again; a foreign folder is left alone."""
    if partial.exists():
        foreign = sorted(
            p.name for p in partial.iterdir() if p.name not in ("store", "done", "fingerprint.tmp")
        )
        if foreign:
            raise refusal(
                str(partial),
                "no folder, or an ensemble begun here",
                f"a folder with {foreign[0]}",
                "move it or choose another --out",
            )
        shutil.rmtree(partial)
    (partial / "done").mkdir(parents=True)
    _write_template(partial / "store", template, members, frames_per_chunk)
    temporary = partial / "fingerprint.tmp"
    temporary.write_text(json.dumps(fingerprint, indent=1, sort_keys=True))
    temporary.rename(partial / "fingerprint.json")


def _write_template(store: Path, template: xr.Dataset, members: int, frames_per_chunk: int) -> None:
    ds = describe(template.drop_encoding().assign_coords(member=np.arange(members)))
    window = min(frames_per_chunk, ds.sizes["time"])
    if ds.chunks:
        ds = ds.chunk(time=window)
    encoding = {
        name: {
            "chunks": tuple(window if dim == "time" else ds.sizes[dim] for dim in ds[name].dims),
            "compressors": [_codec(ds[name].dtype)],
        }
        for name in ds.data_vars
        if ds[name].ndim > 1
    }
    ds.to_zarr(store, mode="w", zarr_format=3, consolidated=False, encoding=encoding)
    group = zarr.open_group(store, mode="r+")
    for name, dims in (("co2", DIMS), ("budget_correction", ("member", "time"))):
        sizes = tuple(ds.sizes[dim] for dim in dims)
        chunks = (1, window, *sizes[2:]) if name == "co2" else (1, *sizes[1:])
        # one file a member, of which a reader takes the frames it wants
        shards = (1, -(-sizes[1] // chunks[1]) * chunks[1], *sizes[2:])
        attributes: dict[str, Any] = dict(VARIABLES[name].attrs)
        if name == "co2" and "cell_area" in ds:
            attributes["cell_measures"] = "area: cell_area"
        group.create_array(
            name, shape=sizes, chunks=chunks, shards=shards, dtype="float64", fill_value=np.nan,
            compressors=[_codec(np.dtype("float64"))], dimension_names=dims, attributes=attributes,
        )  # fmt: skip


def _codec(dtype: np.dtype) -> BloscCodec:
    return BloscCodec(cname="zstd", clevel=5, shuffle="shuffle", typesize=dtype.itemsize)
