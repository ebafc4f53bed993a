"""One number of series, measured in a process of its own: the steps of a training, or one forecast."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from rich.console import Console

from benchmarks._children import allow_memory, peak_bytes, reason, reset_peak
from benchmarks._common import OtherLoad, name_and_options
from benchmarks._products import recorded, replay
from benchmarks._steps import FewSteps
from elinformer._allocator import keep_freed_memory
from elinformer.data.panel import Panel
from elinformer.data.reach import Reach
from elinformer.data.scaling import Scaler, error_scale
from elinformer.data.series_info import SeriesInfo
from elinformer.data.simulation.simulate import simulate_freeway
from elinformer.data.windows import WindowDataset
from elinformer.evaluation import AbsoluteError
from elinformer.trained_model import TrainedModel, new_model, tokens_per_window
from elinformer.training.config import TrainingConfig
from elinformer.training.fit import fit
from elinformer.training.module import ForecastModule

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

REACH = Reach(window=12, horizon=12)
BATCH = 16
N_STEPS = BATCH * 4 + 3 * REACH.horizon  # windows of an epoch, and one for validation
LARGEST_NETWORK = 65_536


@dataclass(frozen=True)
class Job:
    """One measurement, which is sent to the child process.

    Attributes:
        model: A name of `elinformer.models.MODELS`, or `elinformer@attention=NAME`.
        series: N, the number of series.
        windows: Number of windows of a training step.
        source: A file with the speeds (T, at least N) of a simulated freeway.
        threads: Number of threads of PyTorch.
        seconds: Time for repeats.
        memory: Limit in bytes.
    """

    model: str
    series: int
    windows: int
    source: str
    threads: int
    seconds: float
    memory: int


def write_speeds(path: str, n_series: int) -> None:
    """Simulate the speeds (T, N) at the sensors of one freeway, or of several for many series."""
    sizes = [min(LARGEST_NETWORK, n_series - start) for start in range(0, n_series, LARGEST_NETWORK)]
    networks = [simulate_freeway(max(10, n), N_STEPS, seed, start="2024-01-01T06:00") for seed, n in enumerate(sizes)]
    np.save(path, np.concatenate([panel.values[:, :, 0] for panel in networks], axis=1)[:, :n_series])


def steps(connection: Connection, job: Job) -> None:
    """Send the least seconds of a training step without the first, and the peak memory above an empty process."""
    _measure(connection, job, _steps)


def forecasts(connection: Connection, job: Job) -> None:
    """Send the least seconds of a forecast and of its matrix products, and the peak memory above an empty process."""
    _measure(connection, job, _forecasts)


def _measure(connection: Connection, job: Job, measure: Callable[[Connection, Job, int], None]) -> None:
    try:
        keep_freed_memory()  # as the command line does
        torch.set_num_threads(job.threads)
        _warm_up()
        allow_memory(job.memory)
        with OtherLoad() as other_load:
            measure(connection, job, reset_peak())
        connection.send({"others": other_load.cores})
    except Exception as error:  # an exception is the result of this size, and the others continue
        connection.send({"failure": reason(error)})


def _warm_up() -> None:
    """Load libraries and start threads, so that neither their time nor their memory is counted."""
    panel = _panel(np.ones((N_STEPS, 2), np.float32))
    _untrained("elinformer", panel).forecasts(panel, np.array([N_STEPS]))


def _steps(connection: Connection, job: Job, before: int) -> None:
    panel, few = _read(job), FewSteps(2, job.seconds)
    untrained = _untrained(job.model, panel)
    module = ForecastModule(
        untrained.model.train(),
        untrained.scaler,
        error_scale(panel, N_STEPS, "channel"),
        TrainingConfig(epochs=1000, batch_size=job.windows, device="cpu"),
    )
    train, validation = np.arange(BATCH * 4) + REACH.window, np.array([N_STEPS - REACH.horizon])
    windows = (WindowDataset(panel, untrained.info.calendar, origins, REACH) for origins in (train, validation))
    tokens = tokens_per_window(untrained.model, job.series)
    fit(module, *windows, tokens_per_window=tokens, console=Console(quiet=True), callbacks=[few])
    connection.send({"seconds": min(few.each[1:]) / job.windows, "peak_bytes": peak_bytes() - before})


def _forecasts(connection: Connection, job: Job, before: int) -> None:
    panel = _read(job)
    untrained, origin = _untrained(job.model, panel), np.array([N_STEPS])
    runs: dict[str, Callable[[], object]] = {"seconds": lambda: untrained.forecasts(panel, origin)}
    first = _seconds(runs["seconds"])
    connection.send({"seconds": first, "peak_bytes": peak_bytes() - before})
    if job.model == "elinformer":  # other operators hide the products of attention
        runs["products"] = _products(untrained, panel)
    connection.send(_least_in_turns(runs, job.seconds))


def _products(untrained: TrainedModel, panel: Panel) -> Callable[[], object]:
    windows = WindowDataset(panel, untrained.info.calendar, np.array([N_STEPS]), REACH, with_targets=False)
    with torch.no_grad():
        return replay(recorded(lambda: untrained.forecast(windows[[0]])))


def _least_in_turns(runs: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    least, began = dict.fromkeys(runs, float("inf")), time.perf_counter()
    while time.perf_counter() - began < seconds or float("inf") in least.values():
        for name, run in runs.items():
            least[name] = min(least[name], _seconds(run))
    return least


def _seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def _read(job: Job) -> Panel:
    return _panel(np.load(job.source, mmap_mode="r")[:, : job.series])


def _panel(speeds: np.ndarray) -> Panel:
    return Panel.from_arrays(speeds, start="2024-01-01T06:00", freq="5min")


def _untrained(model: str, panel: Panel) -> TrainedModel:
    """Make a new model in the form that training returns."""
    torch.manual_seed(0)
    info, scaler, loss = SeriesInfo.of(panel, np.arange(N_STEPS)), Scaler.fit(panel.values, panel.mask), AbsoluteError()
    network = new_model(*name_and_options(model), REACH, info, loss)
    return TrainedModel(network, scaler, info, REACH, {"training": asdict(TrainingConfig())}, loss)
