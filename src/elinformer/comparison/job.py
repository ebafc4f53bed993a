"""One job in a process of its own: `python -m elinformer.comparison.job JOB.json`.

The file holds the job and the path of its result. The process writes its progress to standard output, a JSON object a
line, and errors to standard error, whose last line names the error.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from elinformer._allocator import keep_freed_memory
from elinformer._console import plain_console
from elinformer._files import read_json, write_json
from elinformer._memory import peak_device_memory, peak_memory
from elinformer.batch import Batch
from elinformer.comparison.contenders import PEER, is_peer, registered
from elinformer.comparison.machine import code_fingerprint, describe_device, describe_machine, versions
from elinformer.comparison.plan import Job
from elinformer.comparison.pool import END_WITH_INPUT
from elinformer.data.address import load_panel
from elinformer.data.windows import SplitPanel, WindowDataset, window_loader
from elinformer.errors import InputError, MissingExtraError
from elinformer.evaluation import BlockSums, MetricSums, Naive, backtest, blocks_of, naives_for, score_naive
from elinformer.forecaster import Forecaster
from elinformer.run_folder.folder import UnfinishedRun
from elinformer.training.callbacks.epoch_lines import EpochLines
from elinformer.workflows import forecaster_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console
    from torch import nn

    from elinformer.comparison.plan import Document
    from elinformer.data.panel import Panel
    from elinformer.data.reach import PartName
    from elinformer.training.callbacks import Callback

TIMED_WINDOWS, TIMED_BATCH = 256, 32
"""Numbers of forecasts that are timed, in all and at once."""

Forecast = Callable[[Batch], torch.Tensor]


class Score(NamedTuple):
    """The errors of validation or test."""

    sums: MetricSums
    blocks: BlockSums


class TrainedForecast(NamedTuple):
    """A trained or naive forecast.

    Attributes:
        add_up: Function from origins to sums of the errors of their windows, which it also adds to blocks.
        details: Entries of the document of the run.
    """

    add_up: Callable[[np.ndarray, BlockSums], MetricSums]
    details: dict[str, Any]


class Work(NamedTuple):
    """A job with its device and folders.

    Attributes:
        job: The job.
        device: "auto", "cpu", "cuda", "mps".
        checkpoints: Folder of checkpoints, from which training resumes.
        trained: Folder of the trained model.
        console: Console of messages.
        callbacks: Callbacks of the training.
    """

    job: Job
    device: str
    checkpoints: Path
    trained: Path
    console: Console
    callbacks: Sequence[Callback] = ()


@dataclass(frozen=True)
class JobData:
    """The data of a job.

    Attributes:
        job: The job.
        split: Panel and its split.
        scale: (N, C), divisor of errors in the loss.
    """

    job: Job
    split: SplitPanel
    scale: np.ndarray

    @property
    def panel(self) -> Panel:
        """The panel."""
        return self.split.panel

    @classmethod
    def of(cls, job: Job) -> JobData:
        """Read the data."""
        panel = load_panel(job.task.source, **job.task.settings.reading)
        split = SplitPanel.of(panel, job.task.settings.split, job.task.reach)
        return cls(job, split, split.error_scale(job.task.training(job.seed).loss_scale))

    def score(self, trained: TrainedForecast, part: PartName) -> Score:
        """Return the errors of all windows of validation or test."""
        steps = getattr(self.split.split, part)
        blocks = BlockSums(blocks_of(self.panel, steps, self.split.reach.horizon), self.scale)
        return Score(trained.add_up(self.split.origins(part), blocks), blocks)


def run_job(work: Work) -> Document:
    """Train and score; returns the document of the run.

    Raises:
        InputError: The data or the model cannot be used, or the forecasts are not finite.
    """
    baseline = peak_memory()
    data = JobData.of(work.job)
    trained = train(data, work) if work.job.contender.is_trained else choose_naive(data)
    validation, test = data.score(trained, "validation"), data.score(trained, "test")
    if not np.isfinite(test.sums.scores().mae):
        raise InputError("expected finite forecasts of the test part, got some that are not: training diverged")
    return {
        **work.job.to_document(),
        "test": test.sums.report(data.panel.channels),
        "scaled_error": test.blocks.scaled_error(),
        "validation_mae": validation.sums.scores().mae,
        "validation_scaled_error": validation.blocks.scaled_error(),
        **trained.details,
        "peak_memory_bytes": peak_memory(),
        "import_memory_bytes": baseline,
        "peak_device_memory_bytes": peak_device_memory(),
        "device": describe_device(work.device),
        "threads": torch.get_num_threads(),
        "machine": describe_machine(),
        "versions": versions(),
        "code": code_fingerprint(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "blocks": test.blocks.to_dict(),
    }


def choose_naive(data: JobData) -> TrainedForecast:
    """Return the last value, or the season (such as yesterday or last week) whose error in validation is lower."""
    found = [_naive(data, naive) for naive in _candidates(data)]
    return min(found, key=lambda trained: data.score(trained, "validation").blocks.scaled_error())


def _candidates(data: JobData) -> list[Naive]:
    last_value, *others = naives_for(data.panel, data.split.split.train[1])
    if data.job.contender.name == "last_value":
        return [last_value]
    if not (seasons := [naive for naive in others if not naive.is_mean]):
        raise InputError(
            f"expected time stamps, and a season of {data.panel.freq or 'its'} steps within the training part, for "
            f"seasonal_naive, which {data.panel.name} does not have: leave seasonal_naive out"
        )
    return seasons


def _naive(data: JobData, naive: Naive) -> TrainedForecast:
    def add_up(origins: np.ndarray, blocks: BlockSums) -> MetricSums:
        split = data.split
        return score_naive(naive, split.panel, origins, split.reach.horizon, split.moments.mean, blocks=blocks)

    details = {
        "forecast": naive.name,
        "train_seconds": 0.0,
        "epochs": 0,
        "best_epoch": 0,
        "parameters": 0,
        "seconds_per_1000_forecasts": None,
    }
    return TrainedForecast(add_up, details)


def train(data: JobData, work: Work) -> TrainedForecast:
    """Train a model of the registry, of the user, or of another library."""
    if is_peer(data.job.contender.name):
        peer, calendar = _peer(data.job, work.device), None
        model = peer.fit(data.panel, work.console, callbacks=work.callbacks)
        forecast, batch_size = _on_device(model.module, model.forecast, work.device), model.batch_size
    else:
        model = _fitted(data, work)
        calendar, trained = model.info.calendar, model.trained
        forecast, batch_size = _on_device(trained.scaled, trained.forecast, work.device), trained.batch_size

    def add_up(origins: np.ndarray, blocks: BlockSums) -> MetricSums:
        windows = WindowDataset(data.panel, calendar, origins, model.reach)
        return backtest(forecast, windows, batch_size, blocks=blocks)

    timed = WindowDataset(data.panel, calendar, data.split.origins("test")[:TIMED_WINDOWS], model.reach)
    details = {
        "train_seconds": round(model.fit_result.seconds, 2),
        "epochs": model.fit_result.epochs,
        "best_epoch": model.fit_result.best_epoch,
        "ended_early": model.fit_result.diverged,
        "sharpness": model.fit_result.sharpness,
        "parameters": model.n_parameters,
        "seconds_per_1000_forecasts": 1000 * _seconds_per_forecast(forecast, timed),
    }
    return TrainedForecast(add_up, details)


def _fitted(data: JobData, work: Work) -> Forecaster:
    """Train a forecaster; training resumes from the newest checkpoint of an earlier comparison that was killed."""
    settings, contender = data.job.task.settings, data.job.contender
    model = {"name": registered(contender.name), **contender.options}
    forecaster = forecaster_for(settings, model, data.job.task.training(data.job.seed, work.device))
    try:
        run = UnfinishedRun.open(work.checkpoints)
    except InputError:  # none yet
        run = forecaster.new_run(work.checkpoints, data.panel)
    forecaster.fit(data.panel, console=work.console, callbacks=work.callbacks, run=run)
    forecaster.save(work.trained, source={"data": data.job.task.source, **settings.reading})
    return forecaster


def _peer(job: Job, device: str) -> Any:
    from elinformer.adapters.neuralforecast import PeerForecaster

    settings, contender = job.task.settings, job.contender
    if settings.lags and settings.lags != "auto":
        raise InputError(
            f"expected no lags for {contender.name}, which does not use them, got {settings.lags}: leave them out"
        )
    return PeerForecaster(
        contender.name.removeprefix(PEER),
        job.task.reach.window,
        settings.horizon,
        split=settings.split,
        training=job.task.training(job.seed, device),
        options=contender.options,
    )


def _seconds_per_forecast(forecast: Forecast, windows: WindowDataset) -> float:
    """Return the time of a window of all series, in batches, after one batch to warm up."""
    seconds = 0.0
    with torch.inference_mode():
        for place, batch in enumerate(window_loader(windows, TIMED_BATCH)):
            if not place:
                forecast(batch)
            began = time.perf_counter()
            forecast(batch).cpu()  # waits for a GPU
            seconds += time.perf_counter() - began
    return seconds / len(windows)


def _on_device(module: nn.Module, forecast: Forecast, device: str) -> Forecast:
    """Return the forecast of batches in the memory of the processor, computed on the device of the training."""
    place = torch.device(_accelerator(device))
    module.to(place)
    return lambda batch: forecast(batch.to(place))


def _accelerator(device: str) -> str:
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    return device


def main(arguments: list[str]) -> int:
    """Run the job in the file that is the first argument."""
    keep_freed_memory()
    if END_WITH_INPUT in arguments:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    try:
        _work(read_json(Path(arguments[0])))
    except (InputError, MissingExtraError) as error:
        return _report(str(error))
    except Exception as error:
        traceback.print_exc()
        return _report(f"{type(error).__name__}: {error}")
    return 0


def _report(message: str) -> int:
    print("error:", " ".join(message.split()), file=sys.stderr)
    return 1


def _work(document: Mapping[str, Any]) -> None:
    console = plain_console(stderr=True)
    lines = EpochLines(sys.stdout)
    job = Job.from_document(document["job"])
    checkpoints, trained = Path(document["checkpoints"]), Path(document["trained"])
    work = Work(job, document["device"], checkpoints, trained, console, [lines])
    write_json(document["result"], run_job(work))


def _end_with_stdin() -> None:
    while os.read(sys.stdin.fileno(), 1024):  # sys.stdin would hold a lock that the interpreter wants at its end
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
