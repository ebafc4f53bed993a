"""Memory as Linux tells it, and the most that a process holds while something runs."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path


def entry_bytes(path: str, name: str) -> int:
    """What a file of /proc says under `name`, which it says in KiB; 0 where it does not."""
    found = re.search(rf"^{name}:\s+(\d+)", Path(path).read_text(), re.MULTILINE)
    return 1024 * int(found[1]) if found else 0


def anonymous_bytes() -> int:
    """Memory of this process that no file stands behind."""
    return entry_bytes("/proc/self/status", "RssAnon")


class Watched:
    """The most anonymous memory and the time that a context takes.

    Args:
        every: Seconds between two looks at the memory.

    Attributes:
        start: Bytes as the context began.
        peak: The most bytes since.
        seconds: From its begin to its end.
    """

    seconds: float

    def __init__(self, every: float = 0.01) -> None:
        self._every = every

    def __enter__(self) -> Watched:
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
