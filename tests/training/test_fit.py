"""Training: seeded, quiet, with the best weights at the end, however it ends."""

from __future__ import annotations

import io
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import Tensor

from elinformer.data.panel import Panel
from elinformer.errors import InputError
from elinformer.forecaster import Forecaster
from elinformer.training import ForecastModule


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def weights_of(forecaster: Forecaster) -> dict[str, Tensor]:
    return forecaster.trained.model.state_dict()


def test_the_same_seed_gives_the_same_weights_bit_for_bit(
    make_forecaster: Callable[..., Forecaster], hourly_panel: Panel
) -> None:
    first, second, other = (weights_of(make_forecaster(seed=seed).fit(hourly_panel)) for seed in (3, 3, 4))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_training_leaves_the_random_numbers_of_the_caller_alone(
    make_forecaster: Callable[..., Forecaster], hourly_panel: Panel
) -> None:
    torch.manual_seed(17)
    before = torch.get_rng_state()
    make_forecaster(epochs=1).fit(hourly_panel)
    assert torch.equal(torch.get_rng_state(), before)


def test_training_lowers_the_loss(
    make_forecaster: Callable[..., Forecaster], hourly_panel: Panel, tmp_path: Path, logged: Any
) -> None:
    make_forecaster(epochs=10, learning_rate=1e-2, logger="csv", log_dir=str(tmp_path)).fit(hourly_panel)
    losses = logged(tmp_path, "loss")
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])


def test_the_best_weights_are_kept_and_not_the_last(training: Any, offset: Any, tmp_path: Path, logged: Any) -> None:
    run = training(options={"logger": "csv", "log_dir": str(tmp_path)})  # every step leads away from validation
    model = offset(1.0)
    result = run.run(run.module(model))
    maes = logged(tmp_path, "validation_mae")
    assert (result.best_epoch, result.epochs, result.interrupted) == (1, 4, False)
    assert maes == sorted(maes)
    assert maes[0] < maes[-1]
    assert model.offset.item() == pytest.approx(maes[0], rel=1e-6)


def test_the_last_weights_are_kept_where_they_are_the_best(training: Any, offset: Any) -> None:
    run = training(validation=10.0)
    assert run.run(run.module(offset(1.0))).best_epoch == 4


def test_patience_ends_training_early(training: Any, offset: Any) -> None:
    run = training(options={"patience": 2, "epochs": 20})
    result = run.run(run.module(offset(1.0)))
    assert (result.best_epoch, result.epochs, result.interrupted) == (1, 3, False)


def test_without_patience_training_never_ends_early(training: Any, offset: Any) -> None:
    run = training(options={"epochs": 9})
    assert run.run(run.module(offset(1.0))).epochs == 9


@pytest.mark.parametrize("patience", [0, 30])
def test_the_learning_rate_anneals_to_nothing_unless_training_may_end_early(
    patience: int, training: Any, offset: Any
) -> None:
    rates: list[float] = []

    class Watched(ForecastModule):
        def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
            rates.append(optimizer.param_groups[0]["lr"])

    run = training(options={"patience": patience, "epochs": 10})
    run.run(run.module(offset(), Watched))
    peak = max(rates)
    assert peak == pytest.approx(0.1, rel=0.01)
    assert rates[0] == pytest.approx(0.1 / 25)
    assert len(rates) == 50
    if patience:
        assert rates[20:] == [peak] * 30
    else:
        assert rates.index(peak) == pytest.approx(15, abs=2)
        assert rates[-1] < 1e-3 * peak


def test_ctrl_c_keeps_the_best_weights_so_far(training: Any, offset: Any) -> None:
    before = signal.getsignal(signal.SIGINT)
    model = offset(1.0, lambda step: interrupt() if step == 12 else None)  # 5 steps an epoch: in the third
    run = training(options={"epochs": 50})
    result = run.run(run.module(model))
    assert result.interrupted
    assert (result.best_epoch, result.epochs) == (1, 3)
    assert model.step == 12
    alone = offset(1.0)
    again = training(options={"epochs": 50})
    again.run(again.module(alone))
    assert model.offset.item() == alone.offset.item()
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_in_the_first_step_still_ends_in_order(training: Any, offset: Any) -> None:
    run = training(options={"epochs": 50})
    result = run.run(run.module(offset(1.0, lambda step: interrupt())))
    assert result.interrupted
    assert result.epochs <= 1


def test_a_second_ctrl_c_ends_at_once(training: Any, offset: Any) -> None:
    before = signal.getsignal(signal.SIGINT)

    def twice(step: int) -> None:
        interrupt()
        interrupt()

    run = training(options={"epochs": 50})
    with pytest.raises((SystemExit, KeyboardInterrupt)):
        run.run(run.module(offset(1.0, twice)))
    assert signal.getsignal(signal.SIGINT) is before


def test_training_runs_in_a_thread_too(training: Any, offset: Any) -> None:
    results: list[Any] = []
    run = training(validation=10.0)
    thread = threading.Thread(target=lambda: results.append(run.run(run.module(offset(1.0)))))
    thread.start()
    thread.join(60)
    assert results[0].best_epoch == 4


def test_training_that_diverges_says_so(training: Any, offset: Any) -> None:
    run = training()
    with pytest.raises(InputError, match=r"expected training to converge, .* lower learning_rate \(now 0.1\)"):
        run.run(run.module(offset(float("nan"))))


def test_a_rate_far_too_high_says_so(make_forecaster: Callable[..., Forecaster], hourly_panel: Panel) -> None:
    with pytest.raises(InputError, match="expected training to converge"):
        make_forecaster(learning_rate=1e30, epochs=1).fit(hourly_panel)


def test_training_is_quiet_without_a_terminal(
    make_forecaster: Callable[..., Forecaster], hourly_panel: Panel, capfd: pytest.CaptureFixture[str]
) -> None:
    make_forecaster(epochs=1).fit(hourly_panel).backtest()
    assert tuple(capfd.readouterr()) == ("", "")


def test_a_terminal_shows_epochs_loss_validation_and_time(training: Any, offset: Any) -> None:
    screen = io.StringIO()
    run = training(validation=10.0)
    run.run(run.module(offset(9.0)), console=Console(file=screen, force_terminal=True, width=160))
    shown = screen.getvalue()
    for words in ("training", "4/4", "loss", "validation MAE", "best", "left", "0:00"):
        assert words in shown


def test_csv_logs_hold_the_curves(
    make_forecaster: Callable[..., Forecaster], hourly_panel: Panel, tmp_path: Path, logged: Any
) -> None:
    make_forecaster(epochs=3, batch_size=32, logger="csv", log_dir=str(tmp_path)).fit(hourly_panel)
    assert len(logged(tmp_path, "validation_mae")) == 3
    assert len(logged(tmp_path, "loss")) == 3 * 5


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_logs_are_written(
    make_forecaster: Callable[..., Forecaster], hourly_panel: Panel, tmp_path: Path
) -> None:
    pytest.importorskip("tensorboard")
    make_forecaster(epochs=1, logger="tensorboard", log_dir=str(tmp_path)).fit(hourly_panel)
    assert next(path.name for path in tmp_path.rglob("*.tfevents.*")).startswith("events.out")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has one")
def test_a_device_that_is_not_there_is_named(training: Any, offset: Any) -> None:
    run = training(options={"device": "cuda"})
    with pytest.raises(InputError, match="expected a device this machine has, got 'cuda': use --device auto or cpu"):
        run.run(run.module(offset()))
