"""How the C library hands out memory."""

from __future__ import annotations

import ctypes
import os
import sys

# Of <malloc.h>.
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
LARGEST_KEPT, MOST_KEPT = 2**30, 2**31 - 1


def keep_freed_memory() -> None:
    """Let the allocator keep large blocks that are freed, for the next tensors.

    That of GNU gives blocks above 32 MiB back at once, and the system clears the next one page by page: a quarter of
    the time of a training step of 65,536 series. It is set for the whole process, and so for programs to call. With
    another C library, or where the environment sets MALLOC_MMAP_THRESHOLD_, nothing changes.
    """
    if sys.platform != "linux" or "MALLOC_MMAP_THRESHOLD_" in os.environ:
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(MMAP_THRESHOLD, LARGEST_KEPT)
        mallopt(TRIM_THRESHOLD, MOST_KEPT)
