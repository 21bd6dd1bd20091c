"""Memory that is freed is soon asked for again, so a process that computes in batches keeps it."""

from __future__ import annotations

import ctypes
import sys

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
LARGEST_KEPT = 32 * 2**20  # bytes of one block; glibc takes no more
KEPT = 256 * 2**20  # bytes in all


def keep_freed_memory() -> None:
    """Let this process keep up to 256 MiB that it has freed.

    By default glibc returns blocks beyond some 100 kB to the system at once, and every array of the next batch costs a
    page fault for each 4 kB. Set by a call and not by ``MALLOC_TRIM_THRESHOLD_`` and ``MALLOC_MMAP_THRESHOLD_``, which
    are read when a process starts and would have to be in the environment before that. Elsewhere than on glibc this
    does nothing.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGEST_KEPT)
        mallopt(_M_TRIM_THRESHOLD, KEPT)
