"""Time and memory of attentions, each measurement in a process of its own."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from benchmarks._children import allow_memory, peak_bytes, reason, reset_peak
from benchmarks._common import OtherLoad
from benchmarks._memory import entry_bytes
from benchmarks._variants import Shape, least_bytes, least_operations, variant

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

    from torch import Tensor

LIMIT = 60.0  # seconds before an attention is killed
FLOORS = ("copy", "product")
SPARE = 0.85  # share of the free memory that may be used


@dataclass(frozen=True)
class Setting:
    """Setting of a measurement, which is sent to the child process."""

    shape: Shape
    dtype: torch.dtype
    device: str
    threads: int
    budget: float = 2.0  # seconds for each variant in a race, half of it forward
    turns: int = 3  # at least, unless one turn takes the whole budget


@dataclass
class Race:
    """Least seconds of each variant, forward and forward with backward, and the floors."""

    forward: dict[str, float] = field(default_factory=dict)
    both: dict[str, float] = field(default_factory=dict)
    note: str | None = None


def probe(connection: Connection, name: str, setting: Setting) -> None:
    """Send the seconds and the peak memory of one forward and backward, with inputs and gradients."""
    try:
        _prepare(setting, limit_memory=True)
        _warm_up(name, setting)
        before = reset_peak(setting.device)
        inputs = _inputs(setting)
        attend, began = variant(name, setting.shape, setting.device, setting.dtype), time.perf_counter()
        output = attend(*inputs[:3])
        _wait(setting.device)
        connection.send({"forward": time.perf_counter() - began})
        grads = torch.autograd.grad(output, inputs[:3], inputs[3])
        _wait(setting.device)
        seconds = time.perf_counter() - began
        finite = all(bool(g.isfinite().all()) for g in grads)
        connection.send({"both": seconds, "peak": peak_bytes(setting.device) - before})
        if not finite:
            connection.send({"failure": "not finite"})
    except Exception as error:  # an exception is the result of this attention, and the others continue
        connection.send({"failure": reason(error)})


def race(connection: Connection, names: list[str], setting: Setting) -> None:
    """Send the least times of all variants and floors, taken in turns."""
    _prepare(setting, limit_memory=False)
    for name in names:
        _warm_up(name, setting)
    inputs, result = _inputs(setting), Race()
    pool = torch.cuda.graph_pool_handle() if setting.device == "cuda" else None
    runs = {(n, b): run for n in names for b, run in _runs(n, setting, inputs, pool).items()} | _floors(setting, pool)
    spent = dict.fromkeys(runs, 0.0)
    with OtherLoad() as other_load:
        for turn in range(1000):
            for name, backward in list(runs):
                seconds = _timed(runs[name, backward], setting.device)
                best = result.both if backward else result.forward
                slow = seconds > setting.budget / 2
                if turn or slow:  # the first turn warms up
                    best[name] = min(best.get(name, seconds), seconds)
                spent[name, backward] += seconds
                if spent[name, backward] > setting.budget / 2 and (turn >= setting.turns or slow):
                    del runs[name, backward]
            if all(name in FLOORS for name, _ in runs):
                break
    result.note = other_load.note()
    connection.send({"race": result})


def fits_race(peak: int, setting: Setting) -> bool:
    """Return True if an attention of such peak memory fits beside the buffers of the floor."""
    if setting.device != "cpu" or not Path("/proc/meminfo").exists():
        return True
    return peak + least_bytes(setting.shape, setting.dtype, backward=True) <= _free_memory()


def _free_memory() -> int:
    return int(SPARE * entry_bytes("/proc/meminfo", "MemAvailable"))


def _runs(name: str, setting: Setting, inputs: list[Tensor], pool: Any) -> dict[bool, Callable[[], object]]:
    attend = variant(name, setting.shape, setting.device, setting.dtype)
    fixed = [x.detach() for x in inputs[:3]]
    runs: dict[bool, Callable[[], object]] = {
        False: lambda: attend(*fixed),
        True: lambda: torch.autograd.grad(attend(*inputs[:3]), inputs[:3], inputs[3]),
    }
    return runs if pool is None else {backward: _graph(run, pool) for backward, run in runs.items()}


def _floors(setting: Setting, pool: Any) -> dict[tuple[str, bool], Callable[[], object]]:
    """Make the two floors: a copy of the least bytes, and a product of 2 * 1024 ** 3 operations."""
    floors: dict[tuple[str, bool], Callable[[], object]] = {}
    most = least_bytes(setting.shape, setting.dtype, backward=True) // 2
    wide = [torch.zeros(most, dtype=torch.uint8, device=setting.device) for _ in range(2)]
    for backward in (False, True):
        half = least_bytes(setting.shape, setting.dtype, backward=backward) // 2
        source, target = (x[:half] for x in wide)
        floors["copy", backward] = lambda source=source, target=target: target.copy_(source)
    a = torch.randn(1024, 1024, device=setting.device)
    floors["product", False] = lambda: a @ a
    return floors if pool is None else {key: _graph(run, pool) for key, run in floors.items()}


def floor_seconds(result: Race, shape: Shape, *, backward: bool) -> float:
    """Return the longer time of the copy of the least bytes and of the least operations at a product's speed."""
    copy = (result.both if backward else result.forward)["copy"]
    return max(copy, least_operations(shape, backward=backward) / (2 * 1024**3) * result.forward["product"])


def _graph(run: Callable[[], object], pool: Any) -> Callable[[], object]:
    """Capture a call as a CUDA graph, without the work of the CPU; all graphs share one pool of memory."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        run()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, pool=pool):
        run()
    return graph.replay


def _timed(run: Callable[[], object], device: str) -> float:
    if device == "cpu":
        began = time.perf_counter()
        run()
        return time.perf_counter() - began
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    run()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1000


def _inputs(setting: Setting) -> list[Tensor]:
    """Draw query, key, value, and the gradient of the output."""
    torch.manual_seed(0)
    tensors = [torch.randn(setting.shape, device=setting.device, dtype=setting.dtype) for _ in range(4)]
    return [x.requires_grad_() for x in tensors[:3]] + tensors[3:]


def _warm_up(name: str, setting: Setting) -> None:
    """Load libraries and start threads, so that neither their time nor their memory is counted."""
    small = Setting(setting.shape._replace(B=1, N=256), setting.dtype, setting.device, setting.threads)
    inputs = _inputs(small)
    output = variant(name, small.shape, small.device, small.dtype)(*inputs[:3])
    torch.autograd.grad(output, inputs[:3], inputs[3])


def _prepare(setting: Setting, *, limit_memory: bool) -> None:
    torch.set_num_threads(setting.threads)
    if limit_memory and setting.device == "cpu" and Path("/proc/meminfo").exists():
        allow_memory(_free_memory())


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()
