"""The schedule of a training is fitted to its time limit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from interruptions import CallAtStep, CrashError, assert_same_weights, crash

import elinformer.training.time_limit
from elinformer.data.panel import Panel
from elinformer.errors import InputError
from elinformer.forecaster import Forecaster
from elinformer.training.config import REFIT_SHARE, Budget, TrainingConfig, seconds_of
from elinformer.training.time_limit import Pace, fitted, refit_steps_within

BUDGET = Budget(batch_size=8, epochs=20, averaged_steps=50, steps_per_epoch=50, patience=7)


@pytest.mark.parametrize(
    ("given", "seconds"), [(90, 90), ("90", 90), ("90s", 90), ("10m", 600), ("1.5h", 5400), ("1 d", 86400)]
)
def test_a_time_is_seconds_or_text(given: float | str, seconds: float) -> None:
    assert seconds_of(given) == seconds
    assert TrainingConfig(time_limit=given).seconds_allowed == seconds


@pytest.mark.parametrize("given", [0, -1, "soon", "10 minutes", True, float("nan")])
def test_other_times_are_refused(given: float | str) -> None:
    with pytest.raises(InputError, match="time_limit"):
        TrainingConfig(time_limit=given)


@pytest.mark.parametrize("seconds", [10, 30, 100, 1000])
@pytest.mark.parametrize("pace", [Pace(0.05, 0.1), Pace(0.05, 2.0), Pace(0.2, 0.3)])
def test_training_and_refit_end_within_the_limit(seconds: float, pace: Pace) -> None:
    try:
        found = fitted(BUDGET, pace, seconds, seconds, refit=True)
    except InputError:
        assert seconds < 30
        return
    steps = found.epochs * found.epoch_steps
    assert steps <= BUDGET.epochs * BUDGET.epoch_steps
    assert steps * pace.step * (1 + REFIT_SHARE) + found.epochs * pace.validation < 0.9 * seconds


def test_much_time_leaves_the_schedule_as_it_is() -> None:
    found = fitted(BUDGET, Pace(0.01, 0.01), 3600, 3600, refit=True)
    assert found._replace(seconds=0.0) == BUDGET


def test_a_refit_takes_the_time_that_is_left() -> None:
    def steps_within(limit: float | None) -> int:
        return refit_steps_within(BUDGET, 12, limit, used=100, used_epochs=20)

    assert steps_within(None) == 12 * 50
    assert steps_within(110) == 100
    assert steps_within(90) == 1


def test_a_limit_that_is_too_small_is_refused_with_the_time_that_is_needed(
    make_forecaster: Callable[..., Forecaster], hourly_panel: Panel
) -> None:
    with pytest.raises(InputError, match=r"at least \d+ s for these data"):
        make_forecaster(epochs="auto", time_limit=0.05).fit(hourly_panel)


def test_a_run_with_a_time_limit_resumes_with_the_schedule_that_it_began_with(
    make_forecaster: Callable[..., Forecaster],
    hourly_panel: Panel,
    tmp_path: Path,
    call_at_step: CallAtStep,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paces = iter([Pace(2, 0.5), Pace(2, 0.5), Pace(1, 0.1)])
    monkeypatch.setattr(elinformer.training.time_limit, "_timed", lambda *_: next(paces))
    options = {"epochs": 4, "batch_size": 8, "time_limit": "1m", "checkpoint_minutes": 0}
    expected = make_forecaster(**options).fit(hourly_panel)
    assert expected.fit_result.epochs == 4
    call_at_step(12, crash)
    with pytest.raises(CrashError):
        make_forecaster(**options).fit(hourly_panel, run=tmp_path / "run")
    call_at_step(None, crash)
    assert_same_weights(Forecaster.resume(tmp_path / "run", hourly_panel), expected)
