"""One setting of the C library's allocator, for whoever owns the process."""

from __future__ import annotations

import ctypes
import platform

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of mallopt(3)
_LARGEST = 2**31 - 1  # byte


def keep_freed_memory() -> bool:
    """Keep freed arrays' pages for the next arrays instead of giving them back to the system; True where it can be done (glibc).

    Each step of a transport makes and frees dozens of arrays. Once they exceed a few megabytes glibc returns their pages, and
    getting them back, page by page, takes as long as the arithmetic. The command line does this; call it in your
    own program for runs on fine grids. The process then holds on to the most memory it has ever had.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_MMAP_MAX, 0) and mallopt(_TRIM_THRESHOLD, _LARGEST))
