"""Hardware, versions, date and load of the machine, for the head of every benchmark."""

from __future__ import annotations

import json
import os
import platform
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from elinformer.comparison.machine import describe_machine

RESULTS = Path(__file__).parent / "results"
BUSY = 0.1  # share of the cores that others may use before a note warns of it


def environment(device: str, threads: int) -> dict[str, Any]:
    """Read hardware, versions and date."""
    machine, accelerator = describe_machine(), torch.cuda.get_device_name() if device == "cuda" else None
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": machine["processor"],
        "cores": os.cpu_count(),
        "threads": threads,
        "memory_gib": round(machine["memory_bytes"] / 2**30, 1),
        "accelerator": accelerator,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "elinformer": version("elinformer"),
    }


def environment_text(about: dict[str, Any]) -> str:
    """Format hardware, versions and date as a paragraph of Markdown."""
    where = f"{about['processor']}, {about['cores']} cores, {about['threads']} threads used, {about['memory_gib']} GiB"
    on = f"{about['accelerator']} ({where})" if about["accelerator"] else where
    return (
        f"{about['date']}; {on}; {about['system']}, Python {about['python']}, torch {about['torch']}, "
        f"elinformer {about['elinformer']}."
    )


def write_results(name: str, data: dict[str, Any], markdown: str, folder: Path = RESULTS) -> None:
    """Write NAME.json and NAME.md into a folder, which is benchmarks/results by default."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(data, indent=1) + "\n")
    (folder / f"{name}.md").write_text(markdown.rstrip() + "\n")


def name_and_options(label: str) -> tuple[str, dict[str, str]]:
    """Split the label `elinformer@attention=softmax` into the name of a model and its options."""
    name, _, attention = label.partition("@attention=")
    return name, {"attention": attention} if attention else {}


def load_warning() -> str | None:
    """Return a sentence if the machine is busy at the start."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load <= BUSY * cores:
        return None
    return f"The machine was busy at the start: load average {load:.1f} on {cores} cores."


class OtherLoad:
    """Context that measures how many cores other processes kept busy; 0 on systems that do not report it."""

    cores: float = 0.0

    def __enter__(self) -> OtherLoad:
        self._begin = _busy_seconds() - _own_seconds(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        others, began = self._begin
        self.cores = max(0.0, (_busy_seconds() - _own_seconds() - others) / (time.perf_counter() - began))

    def note(self) -> str | None:
        """Return a sentence if they were too many."""
        if self.cores <= BUSY * (os.cpu_count() or 1):
            return None
        return f"Others used {self.cores:.1f} cores meanwhile: these times are too long."


def _own_seconds() -> float:
    """CPU seconds of this process and of its finished children."""
    return sum(os.times()[:4])


def _busy_seconds() -> float:
    """Busy seconds of all cores together since boot, on Linux."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0.0
    user, nice, system, _idle, _iowait, irq, softirq, *_ = map(int, stat.read_text().split("\n", 1)[0].split()[1:])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
