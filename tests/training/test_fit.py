"""Training is seeded, prints nothing without a terminal, and ends with the best weights."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from interruptions import weights_of
from offset_task import OffsetModel, OffsetTask
from rich.console import Console

from elinformer.data.panel import Panel
from elinformer.errors import InputError
from elinformer.forecaster import Forecaster
from elinformer.training import ForecastModule


def test_the_same_seed_gives_identical_weights(make_forecaster: Callable[..., Forecaster], hourly_panel: Panel) -> None:
    first, second, other = (weights_of(make_forecaster(seed=seed).fit(hourly_panel)) for seed in (3, 3, 4))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_training_does_not_change_the_random_numbers_of_the_caller(
    make_forecaster: Callable[..., Forecaster], hourly_panel: Panel
) -> None:
    torch.manual_seed(17)
    before = torch.get_rng_state()
    make_forecaster(epochs=1).fit(hourly_panel)
    assert torch.equal(torch.get_rng_state(), before)


def test_training_lowers_the_loss(
    make_forecaster: Callable[..., Forecaster], hourly_panel: Panel, tmp_path: Path, read_csv_log: Any
) -> None:
    make_forecaster(epochs=10, learning_rate=1e-2, logger="csv", log_dir=str(tmp_path)).fit(hourly_panel)
    losses = read_csv_log(tmp_path, "loss")
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])


def test_the_best_weights_are_kept_instead_of_the_last_ones(tmp_path: Path, read_csv_log: Any) -> None:
    task = OffsetTask(options={"logger": "csv", "log_dir": str(tmp_path)})  # each step increases the validation error
    model = OffsetModel(1.0)
    result = task.fit(model)
    maes = read_csv_log(tmp_path, "validation_mae")
    assert (result.best_epoch, result.epochs, result.interrupted) == (1, 4, False)
    assert maes == sorted(maes)
    assert maes[0] < maes[-1]
    assert model.offset.item() == pytest.approx(maes[0], rel=1e-6)


def test_the_last_weights_are_kept_if_they_are_the_best() -> None:
    task = OffsetTask(validation=10.0)
    assert task.fit(OffsetModel(1.0)).best_epoch == 4


def test_patience_ends_training_early() -> None:
    task = OffsetTask(options={"patience": 2, "epochs": 20})
    result = task.fit(OffsetModel(1.0))
    assert (result.best_epoch, result.epochs, result.interrupted) == (1, 3, False)


def test_without_patience_training_never_ends_early() -> None:
    task = OffsetTask(options={"epochs": 9})
    assert task.fit(OffsetModel(1.0)).epochs == 9


def test_the_learning_rate_rises_and_anneals_to_zero() -> None:
    rates: list[float] = []

    class RecordRate(ForecastModule):
        def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
            rates.append(optimizer.param_groups[0]["lr"])

    task = OffsetTask(options={"epochs": 10})
    task.fit(OffsetModel(), RecordRate)
    peak = max(rates)
    assert peak == pytest.approx(0.1, rel=0.01)
    assert rates[0] == pytest.approx(0.1 / 25)
    assert len(rates) == 50
    assert rates.index(peak) == pytest.approx(15, abs=2)
    assert rates[-1] < 1e-3 * peak


def test_training_runs_in_a_thread() -> None:
    results: list[Any] = []
    task = OffsetTask(validation=10.0)
    thread = threading.Thread(target=lambda: results.append(task.fit(OffsetModel(1.0))))
    thread.start()
    thread.join(60)
    assert results[0].best_epoch == 4


def test_training_with_nan_validation_errors_raises_an_error() -> None:
    task = OffsetTask()
    with pytest.raises(InputError, match=r"converge.* learning_rate \(now 0.1\)"):
        task.fit(OffsetModel(float("nan")))


def test_a_learning_rate_that_is_too_high_raises_an_error(
    make_forecaster: Callable[..., Forecaster], hourly_panel: Panel
) -> None:
    with pytest.raises(InputError, match="converge"):
        make_forecaster(learning_rate=1e30, epochs=1).fit(hourly_panel)


def test_training_prints_lines_of_progress_without_a_terminal_and_nothing_else(
    make_forecaster: Callable[..., Forecaster], hourly_panel: Panel, capfd: pytest.CaptureFixture[str]
) -> None:
    make_forecaster(epochs=2).fit(hourly_panel).backtest()
    printed, lines = capfd.readouterr()
    assert printed == ""
    assert [line.split(":")[0] for line in lines.splitlines()] == ["training 50 %", "training 100 %"]


def test_a_terminal_shows_epochs_and_losses() -> None:
    screen = io.StringIO()
    task = OffsetTask(validation=10.0)
    task.fit(OffsetModel(9.0), console=Console(file=screen, force_terminal=True, width=160))
    text = screen.getvalue()
    for words in ("epoch 4/4", "loss", "validation MAE", "best"):
        assert words in text


def test_csv_logs_hold_the_curves(
    make_forecaster: Callable[..., Forecaster], hourly_panel: Panel, tmp_path: Path, read_csv_log: Any
) -> None:
    make_forecaster(epochs=3, batch_size=32, logger="csv", log_dir=str(tmp_path)).fit(hourly_panel)
    assert len(read_csv_log(tmp_path, "validation_mae")) == 3
    assert len(read_csv_log(tmp_path, "loss")) == 3 * 5


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_logs_are_written(
    make_forecaster: Callable[..., Forecaster], hourly_panel: Panel, tmp_path: Path
) -> None:
    pytest.importorskip("tensorboard")
    make_forecaster(epochs=1, logger="tensorboard", log_dir=str(tmp_path)).fit(hourly_panel)
    assert next(path.name for path in tmp_path.rglob("*.tfevents.*")).startswith("events.out")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_an_absent_device_is_refused() -> None:
    task = OffsetTask(options={"device": "cuda"})
    with pytest.raises(InputError, match=r"device .* got 'cuda'"):
        task.fit(OffsetModel())
