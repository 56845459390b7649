"""One form for every refusal of input: where, expected, got, what to do."""

from __future__ import annotations

from collections.abc import Iterable

from gencarbon.errors import InputError


def refusal(where: str, expected: str, got: str, remedy: str) -> InputError:
    """The error `where: expected ..., got ...; remedy`, on one line. To be raised by the caller."""
    message = f"{where}: expected {expected}, got {got}; {remedy}"
    return InputError(" ".join(message.split()))


def said(error: Exception) -> str:
    """What went wrong elsewhere, in a few words for a refusal."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:160] if lines else 'no message'}"


def listed(paths: Iterable[str]) -> str:
    """Paths for a message: all of a few, else the ends."""
    names = list(paths)
    return ", ".join(names) if len(names) <= 4 else f"{names[0]}, ... {names[-1]} ({len(names)} files)"
