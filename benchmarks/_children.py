"""Run measurements in processes of their own, with limits of time and memory."""

from __future__ import annotations

import contextlib
import multiprocessing
import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from benchmarks._memory import entry_bytes
from elinformer._memory import peak_memory

if TYPE_CHECKING:
    from collections.abc import Callable


def in_child(function: Callable[..., None], *arguments: Any, seconds: float, limit: float) -> dict[str, Any]:
    """Run `function(connection, *arguments)` in a fresh process and return everything that it sent.

    Args:
        function: Its module is loaded once, before the first process is forked.
        arguments: Sent to the process.
        seconds: The process is killed after so many seconds.
        limit: Seconds that the text about a killed process names.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([function.__module__])
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=function, args=(sender, *arguments))
    child.start()
    sender.close()
    sent, deadline = {}, time.monotonic() + seconds
    try:
        while receiver.poll(max(0.0, deadline - time.monotonic())):
            sent |= receiver.recv()
        sent.setdefault("failure", f"over {limit:.0f} s")
    except EOFError:
        child.join()
        if child.exitcode:
            sent.setdefault("failure", "does not fit" if child.exitcode < 0 else "fails")  # below zero: killed
    child.kill()
    child.join()
    return sent


def allow_memory(n_bytes: int) -> None:
    """Limit the memory of this process to so many bytes more than it has now."""
    most = entry_bytes("/proc/self/status", "VmSize") + n_bytes
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def reset_peak(device: str = "cpu") -> int:
    """Reset the peak of memory and return the bytes in use."""
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    with contextlib.suppress(OSError):  # other systems than Linux keep the old peak
        Path("/proc/self/clear_refs").write_text("5")
    return peak_bytes(device)


def peak_bytes(device: str = "cpu") -> int:
    """Peak of memory since the reset: of the allocator on a GPU, else of the process."""
    if device != "cpu":
        return torch.cuda.max_memory_allocated()
    return peak_memory() or 0


def reason(error: Exception) -> str:
    """Text in a table for a measurement that raised."""
    text = str(error)
    no_memory = isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "allocate memory" in text
    return "does not fit" if no_memory else f"fails: {text.splitlines()[0][:80]}"
