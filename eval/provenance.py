"""Where a figure comes from: commit, versions, kind of machine. No paths, no host names."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("gencarbon", "torch", "numpy", "diffusers", "xarray", "zarr", "accelerate")
ROOT = Path(__file__).parent.parent


def provenance() -> dict[str, Any]:
    """Keys `versions`, `commit`, `dirty`, `machine`; commit and dirty are None outside a git checkout."""
    return {
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        "commit": git("rev-parse", "HEAD"),
        "dirty": dirty(),
        "machine": {"system": platform.system(), "architecture": platform.machine(), "cpus": os.cpu_count()},
    }


def dirty() -> bool | None:
    """Whether the checkout differs from its commit, results aside; None outside one."""
    changes = git("status", "--porcelain", "--", ".", ":!eval/results", ":!eval/leaderboard")
    return None if changes is None else changes != ""


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:  # run from a checkout that is not installed
        return None


def git(*arguments: str) -> str | None:
    """The output of a git command in this checkout, or None if there is no git or no checkout."""
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def peak_memory() -> int:
    """Bytes of this process at its largest."""
    peak = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("VmHWM"))
    return int(peak.split()[1]) * 1024
