"""Measurements in processes of their own: started, limited in time and memory, and what became of them."""

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
    """Run `function(connection, *arguments)` in a fresh process; what it sent until it ended or was ended.

    Args:
        function: Of a module that is loaded once, before the first process is forked.
        arguments: What crosses into the process.
        seconds: After which it is ended.
        limit: The seconds of which it is then said that it took more.
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
    """Let this process take so much beside what it has; more raises, or ends it."""
    most = entry_bytes("/proc/self/status", "VmSize") + n_bytes
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def reset_peak(device: str = "cpu") -> int:
    """Begin anew to watch for the most memory; what is held now."""
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    with contextlib.suppress(OSError):  # elsewhere than on Linux the peak so far stands
        Path("/proc/self/clear_refs").write_text("5")
    return peak_bytes(device)


def peak_bytes(device: str = "cpu") -> int:
    """The most since: of the allocator on a GPU, else of the process."""
    if device != "cpu":
        return torch.cuda.max_memory_allocated()
    return peak_memory() or 0


def reason(error: Exception) -> str:
    """What a table says of a measurement that raised."""
    text = str(error)
    no_memory = isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "allocate memory" in text
    return "does not fit" if no_memory else f"fails: {text.splitlines()[0][:80]}"
