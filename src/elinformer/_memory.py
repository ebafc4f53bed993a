"""Peak memory of this process and of its GPU."""

from __future__ import annotations

import platform
from pathlib import Path


def peak_memory() -> int | None:
    """Return the peak memory of this process in bytes, or None if the system does not report it.

    On Linux the value is read from /proc, because `ru_maxrss` of a child process includes the memory of its parent.
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
    """Return the peak memory of tensors on the GPU in bytes, or None if no GPU was used."""
    import torch  # only when it is asked for: errors of the input are reported without torch

    return torch.cuda.max_memory_allocated() if torch.cuda.is_initialized() else None
