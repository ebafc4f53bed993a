"""How much memory this process has held."""

from __future__ import annotations

import platform
from pathlib import Path

import torch


def peak_memory() -> int | None:
    """Most memory this process has held, in bytes, None where it cannot be told.

    Linux's own count comes first: a child's `ru_maxrss` starts at what its parent held.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        peaks = [line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        if peaks:
            return int(peaks[0]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def peak_device_memory() -> int | None:
    """Most memory of the GPU that tensors held, in bytes; None without one."""
    return torch.cuda.max_memory_allocated() if torch.cuda.is_initialized() else None
