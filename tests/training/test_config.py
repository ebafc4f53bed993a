"""Options of training: what they may be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from elinformer.data.panel import Panel
from elinformer.data.reach import Reach
from elinformer.data.windows import WindowDataset
from elinformer.errors import InputError
from elinformer.training import TrainingConfig
from elinformer.training.config import Budget


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "expected epochs of at least 1, got 0"),
        ({"batch_size": -1}, "expected batch_size of at least 1, got -1"),
        ({"tokens_at_once": 0}, "expected tokens_at_once of at least 1"),
        ({"learning_rate": 0.0}, "expected learning_rate above 0"),
        ({"learning_rate": float("nan")}, "expected learning_rate above 0, got nan"),
        ({"gradient_clip": 0}, "expected gradient_clip above 0"),
        ({"weight_decay": -1e-3}, "expected weight_decay of at least 0, got -0.001"),
        ({"patience": -1}, "expected patience of at least 0"),
        ({"averaged_epochs": -0.5}, "expected averaged_epochs of at least 0"),
        ({"checkpoint_minutes": -1.0}, "expected checkpoint_minutes of at least 0"),
        ({"seed": -1}, "expected seed of at least 0, got -1"),
        ({"seed": 1 << 64}, r"expected a seed below 2\*\*64"),
        ({"loss_scale": "row"}, "expected loss_scale out of channel, series, seasonal, got 'row'"),
        ({"device": "gpu"}, "expected device out of auto, cpu, cuda, mps, got 'gpu'"),
        ({"precision": "fp8"}, "expected precision out of auto, 32-true, bf16-mixed, got 'fp8'"),
        ({"logger": "wandb"}, "expected logger out of tensorboard, csv, got 'wandb'"),
        ({"epochs": 2.5}, "expected epochs to be a whole number or auto, got 2.5"),
        ({"epochs": "three"}, "expected epochs to be a whole number or auto, got 'three'"),
        ({"epochs": True}, "expected epochs to be a whole number or auto, got True"),
        ({"learning_rate": None}, "expected learning_rate to be a number, got None"),
        ({"log_dir": 3}, "expected log_dir to be text, got 3"),
    ],
    ids=str,
)
def test_an_option_that_cannot_be_is_refused_in_one_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as refusal:
        TrainingConfig(**options)
    assert "\n" not in str(refusal.value)


def test_whole_numbers_will_do_for_numbers() -> None:
    assert TrainingConfig(learning_rate=1, weight_decay=0).weight_decay == 0


@pytest.mark.parametrize(
    ("n_windows", "tokens", "expected"),
    [
        (21, 56, Budget(21, 20, 1, 10, 4)),  # few windows: all of them in every step, 200 steps
        (1600, 80, Budget(17, 20, 59, 59, 4)),  # 1,176 steps show 20,000 windows
        (27_000, 10, Budget(140, 20, 50, 50, 4)),  # at most 1,000 steps
        (900, 207, Budget(8, 20, 100, 100, 4)),  # at most 2,000 steps, as a step has eight windows
        (450, 1_000_000, Budget(8, 20, 57, 86, 4)),  # 30 passes of 57 steps
    ],
)
def test_the_steps_follow_from_the_size_of_the_data(n_windows: int, tokens: int, expected: Budget) -> None:
    assert TrainingConfig().budget(n_windows, tokens) == expected


def test_epochs_that_are_given_are_passes_and_do_not_end_early() -> None:
    assert TrainingConfig(epochs=3, batch_size=10).budget(95, 4) == Budget(10, 3, 10, None, 0)
    assert TrainingConfig(epochs=3, batch_size=10, patience=2).budget(95, 4).patience == 2


@pytest.mark.parametrize(
    ("budget", "n"),
    [
        (Budget(46, 20, 45, 50, 4), 575),  # a quarter of the 2,300 windows between two validations
        (Budget(9, 20, 100, 100, 4), 256),  # a quarter of 900 is less
        (Budget(46, 3, 45, None, 0), 1741),  # after a pass, all
    ],
)
def test_a_validation_forecasts_a_part_of_many_windows_spread_over_the_whole_part(budget: Budget, n: int) -> None:
    validation = WindowDataset(Panel.from_arrays(np.ones((1760, 1))), None, np.arange(10, 1751), Reach(8, 9))
    origins = budget.checked(validation).origins
    assert len(origins) == n
    assert (origins[0], origins[-1]) == (10, 1750)
    assert origins.diff().max() <= 1741 / n + 1
    assert len(budget.checked(validation.first(200))) == 200


def test_no_curves_are_written_by_default() -> None:
    assert TrainingConfig().logger is None
