"""One job: train a contender on its data, and score it as all others are scored."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from elinformer._memory import peak_device_memory, peak_memory
from elinformer.batch import Batch
from elinformer.comparison.contenders import PEER, is_peer, registered
from elinformer.comparison.machine import code_fingerprint, describe_device, describe_machine, versions
from elinformer.data.windows import SplitPanel, WindowDataset, window_loader
from elinformer.errors import InputError
from elinformer.evaluation import BlockSums, MetricSums, Naive, backtest, blocks_of, naives_for, score_naive
from elinformer.forecaster import Forecaster
from elinformer.run_folder.folder import UnfinishedRun
from elinformer.workflows import forecaster_for, load_panel, reading

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pytorch_lightning as pl
    from rich.console import Console
    from torch import nn

    from elinformer.comparison.plan import Document, Job
    from elinformer.data.panel import Panel
    from elinformer.data.windows import PartName

TIMED_WINDOWS, TIMED_BATCH = 256, 32
"""How many forecasts are timed, and how many of them at once."""

Forecast = Callable[[Batch], torch.Tensor]


class Score(NamedTuple):
    """The errors of one part."""

    sums: MetricSums
    blocks: BlockSums


class Trained(NamedTuple):
    """A forecast to score, and what it took.

    Attributes:
        add_up: Sums of the errors of the windows whose first target steps are given, by block too.
        details: Entries of the run's document.
    """

    add_up: Callable[[np.ndarray, BlockSums], MetricSums]
    details: dict[str, Any]


class Work(NamedTuple):
    """A job, and where it is done.

    Attributes:
        job: The job.
        device: "auto", "cpu", "cuda", "mps".
        checkpoints: The folder that training writes itself down in, and goes on from.
        trained: Where the trained model is kept.
        console: Where messages go.
        callbacks: Watch the training.
    """

    job: Job
    device: str
    checkpoints: Path
    trained: Path
    console: Console
    callbacks: Sequence[pl.Callback] = ()


@dataclass(frozen=True)
class Course:
    """What a job is trained and scored on.

    Attributes:
        job: The job.
        data: Its data and their split.
        scale: (N, C), units of the loss.
    """

    job: Job
    data: SplitPanel
    scale: np.ndarray

    @property
    def panel(self) -> Panel:
        """The data."""
        return self.data.panel

    @classmethod
    def of(cls, job: Job) -> Course:
        """Read the data."""
        panel = load_panel(job.task.source, job.task.settings)
        data = SplitPanel.of(panel, job.task.settings.split, job.task.reach)
        return cls(job, data, data.error_scale(job.task.training(job.seed).loss_scale))

    def score(self, trained: Trained, part: PartName) -> Score:
        """Return the errors of all windows of a part."""
        blocks = BlockSums(blocks_of(self.panel, getattr(self.data.split, part), self.data.reach.horizon), self.scale)
        return Score(trained.add_up(self.data.origins(part), blocks), blocks)


def run_job(work: Work) -> Document:
    """Train and score; what it gives stands in the file of the run.

    Raises:
        InputError: The data or the model cannot be used, or the forecasts are not finite.
    """
    baseline = peak_memory()
    course = Course.of(work.job)
    trained = train(course, work) if work.job.contender.is_trained else choose_naive(course)
    validation, test = course.score(trained, "validation"), course.score(trained, "test")
    if not np.isfinite(test.sums.scores().mae):
        raise InputError("expected finite forecasts of the test part, got some that are not: training diverged")
    return {
        **work.job.to_document(),
        "test": test.sums.report(course.panel.channels),
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


def choose_naive(course: Course) -> Trained:
    """The last value; or of the same time yesterday and last week the one that errs less in validation."""
    found = [_naive(course, naive) for naive in _candidates(course)]
    return min(found, key=lambda trained: course.score(trained, "validation").blocks.scaled_error())


def _candidates(course: Course) -> list[Naive]:
    last_value, *seasons = naives_for(course.panel)
    if course.job.contender.name == "last_value":
        return [last_value]
    if not seasons:
        raise InputError(
            f"expected time stamps and days of whole steps for seasonal_naive, which {course.panel.name} does not have"
        )
    return [naive for naive in seasons if naive.period <= course.data.split.train[1]] or seasons[:1]


def _naive(course: Course, naive: Naive) -> Trained:
    def add_up(origins: np.ndarray, blocks: BlockSums) -> MetricSums:
        data = course.data
        return score_naive(naive, data.panel, origins, data.reach.horizon, data.moments.mean, blocks=blocks)

    details = {
        "forecast": naive.name,
        "train_seconds": 0.0,
        "epochs": 0,
        "best_epoch": 0,
        "parameters": 0,
        "seconds_per_1000_forecasts": None,
    }
    return Trained(add_up, details)


def train(course: Course, work: Work) -> Trained:
    """Train a model of the registry, of the user, or of another library."""
    if is_peer(course.job.contender.name):
        peer, calendar = _peer(course.job, work.device), None
        model = peer.fit(course.panel, work.console, callbacks=work.callbacks)
        forecast, batch_size = _on_device(model.module, model.forecast, work.device), model.batch_size
    else:
        model = _fitted(course, work)
        calendar = model.info.calendar
        trained = model.trained
        forecast, batch_size = _on_device(trained.scaled, trained.forecast, work.device), trained.batch_size

    def add_up(origins: np.ndarray, blocks: BlockSums) -> MetricSums:
        windows = WindowDataset(course.panel, calendar, origins, course.job.task.reach)
        return backtest(forecast, windows, batch_size, blocks=blocks)

    timed = WindowDataset(course.panel, calendar, course.data.origins("test")[:TIMED_WINDOWS], course.data.reach)
    details = {
        "train_seconds": round(model.fit_result.seconds, 2),
        "epochs": model.fit_result.epochs,
        "best_epoch": model.fit_result.best_epoch,
        "ended_early": model.fit_result.diverged,
        "sharpness": model.fit_result.sharpness,
        "parameters": model.n_parameters,
        "seconds_per_1000_forecasts": 1000 * _seconds_per_forecast(forecast, timed),
    }
    return Trained(add_up, details)


def _fitted(course: Course, work: Work) -> Forecaster:
    """A trained forecaster; where an earlier comparison was killed, training goes on from its newest checkpoint."""
    settings, contender = course.job.task.settings, course.job.contender
    model = {"name": registered(contender.name), **contender.options}
    forecaster = forecaster_for(settings, model, course.job.task.training(course.job.seed, work.device))
    try:
        run = UnfinishedRun.open(work.checkpoints)
    except InputError:  # none yet
        run = forecaster.new_run(work.checkpoints, course.panel)
    forecaster.fit(course.panel, console=work.console, callbacks=work.callbacks, run=run)
    forecaster.save(work.trained, source={"data": course.job.task.source, **reading(settings)})
    return forecaster


def _peer(job: Job, device: str) -> Any:
    from elinformer.adapters.neuralforecast import PeerForecaster

    settings, contender = job.task.settings, job.contender
    if settings.lags:
        raise InputError(f"expected no lags for {contender.name}, which has no use for them, got {settings.lags}")
    return PeerForecaster(
        contender.name.removeprefix(PEER),
        settings.window,
        settings.horizon,
        split=settings.split,
        training=job.task.training(job.seed, device),
        options=contender.options,
    )


def _seconds_per_forecast(forecast: Forecast, windows: WindowDataset) -> float:
    """Time of a window of all series, in batches, after one to warm up."""
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
    """Return forecasts of batches in the processor's memory, made on the device of training."""
    place = torch.device(_accelerator(device))
    module.to(place)
    return lambda batch: forecast(batch.to(place))


def _accelerator(device: str) -> str:
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    return device
