"""Memory of a process as Linux reports it, now and at its peak."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path


def entry_bytes(path: str, name: str) -> int:
    """Read the entry `name` of a file of /proc in bytes; 0 without such an entry."""
    found = re.search(rf"^{name}:\s+(\d+)", Path(path).read_text(), re.MULTILINE)
    return 1024 * int(found[1]) if found else 0


def anonymous_bytes() -> int:
    """Memory of this process that is not mapped from files."""
    return entry_bytes("/proc/self/status", "RssAnon")


class PeakMemory:
    """Context that measures its peak of anonymous memory and its time.

    Args:
        every: Seconds between two readings of the memory.

    Attributes:
        start: Bytes at the start.
        peak: Highest number of bytes since.
        seconds: Time from start to end.
    """

    seconds: float

    def __init__(self, every: float = 0.01) -> None:
        self._every = every

    def __enter__(self) -> PeakMemory:
        self.start = self.peak = anonymous_bytes()
        self._done = threading.Event()
        self._watcher = threading.Thread(target=self._watch)
        self._watcher.start()
        self._began = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._began
        self._done.set()
        self._watcher.join()
        self.peak = max(self.peak, anonymous_bytes())

    def _watch(self) -> None:
        while not self._done.wait(self._every):
            self.peak = max(self.peak, anonymous_bytes())
