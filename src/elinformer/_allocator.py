"""Settings of the memory allocator of the C library."""

from __future__ import annotations

import ctypes
import os
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of <malloc.h>
MAX_BLOCK, MAX_FREE = 2**30, 2**31 - 1
"""Bytes of a freed block, and of all free memory, that the allocator keeps at most."""


def keep_freed_memory() -> None:
    """Make the allocator keep large blocks that are freed, for the next tensors.

    The allocator of the GNU C library returns blocks above 32 MiB to the system at once. The system then clears the
    next block page by page, which takes a quarter of a training step of 65,536 series. The setting applies to the whole
    process, so that only programs should call this function. It has no effect with another C library, or if the
    environment sets MALLOC_MMAP_THRESHOLD_.
    """
    if sys.platform != "linux" or "MALLOC_MMAP_THRESHOLD_" in os.environ:
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(MMAP_THRESHOLD, MAX_BLOCK)
        mallopt(TRIM_THRESHOLD, MAX_FREE)
