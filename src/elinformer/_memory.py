"""Peak memory of this process and of its GPU, and the sentence about memory that ended."""

from __future__ import annotations

import errno
import platform
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Generator

NO_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "bad_alloc",
    "alloc_failed",
    "failed to map segment",
    "cannot allocate memory",
)
"""Parts of the messages of PyTorch, CUDA, C++ and the loader of libraries where memory ended, in small letters."""

NO_THREAD = ("can't start new thread", "resource temporarily unavailable")
"""Parts of messages where the system refuses one more thread."""


@contextmanager
def explained_memory(what: str, remedy: str) -> Generator[None]:
    """Turn the errors of memory or threads that ended into one sentence.

    Args:
        what: Noun for what needs the memory.
        remedy: How to need less.

    Raises:
        InputError: In place of a MemoryError, or of an error of PyTorch, CUDA, an import or the system that says so.
    """
    try:
        yield
    except (MemoryError, RuntimeError, OSError, ImportError) as error:
        message = str(error).lower()
        if isinstance(error, MemoryError) or _says(error, errno.ENOMEM, NO_MEMORY, message):
            raise InputError(f"expected enough memory for {what}, but it ended: {remedy}") from error
        if _says(error, errno.EAGAIN, NO_THREAD, message):
            raise InputError(
                f"expected to be able to start threads for {what}, but the system allows no more: end other programs, "
                "or set OMP_NUM_THREADS=1"
            ) from error
        raise


def _says(error: Exception, number: int, words: tuple[str, ...], message: str) -> bool:
    return getattr(error, "errno", None) == number or any(word in message for word in words)


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
