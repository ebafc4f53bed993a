"""Tests of `Forecaster.tune`: trials, their choice by validation, and a folder to go on from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elinformer.data.panel import Panel
from elinformer.errors import InputError
from elinformer.forecaster import Forecaster
from elinformer.training import TrainingConfig
from elinformer.tuning import check_space, tune

pytest.importorskip("optuna")


def valley(options: Any, report: Any) -> float:
    """Return the loss of a pretended training of four epochs: the distance of the rate to 0.01, and 1 for "b"."""
    loss = abs(np.log10(options["rate"]) + 2) + (options["kind"] == "b")
    for epoch in range(1, 5):
        if report(epoch, loss + 1 / epoch):
            break
    return loss


SPACE: dict[str, Any] = {"rate": (1e-4, 1.0, "log"), "kind": ["b", "a"]}
DEFAULTS = {"rate": 0.5, "kind": "b"}


def test_the_search_begins_with_the_options_before_and_finds_better_ones():
    result = tune(valley, SPACE, DEFAULTS, n_trials=15)
    first = result.trials.iloc[0]
    assert (first["rate"], first["kind"]) == (0.5, "b")
    assert result.default_loss == pytest.approx(valley(DEFAULTS, lambda *_: False))
    assert result.loss < 0.5 * result.default_loss
    assert result.options["kind"] == "a"
    assert result.loss == result.trials.query("state == 'complete'")["loss"].min()


def test_hopeless_trials_are_stopped_early():
    trials = tune(valley, SPACE, DEFAULTS, n_trials=15).trials
    assert set(trials["state"]) == {"complete", "pruned"}
    assert (trials.query("state == 'pruned'")["validations"] < 4).any()
    assert (trials.query("state == 'complete'")["validations"] == 4).all()


def test_a_folder_goes_on_with_its_trials(tmp_path: Path):
    options: dict[str, Any] = {"folder": tmp_path / "search"}
    first = tune(valley, SPACE, DEFAULTS, n_trials=4, **options).trials
    trained = []

    def counted(options: Any, report: Any) -> float:
        trained.append(options)
        return valley(options, report)

    both = tune(counted, SPACE, DEFAULTS, n_trials=6, **options).trials
    assert len(trained) == 2
    assert both["loss"].tolist()[:4] == pytest.approx(first["loss"].tolist(), nan_ok=True)
    tune(counted, SPACE, DEFAULTS, n_trials=6, **options)
    assert len(trained) == 2
    with pytest.raises(InputError, match="to hold this search"):
        tune(valley, {"rate": (1e-3, 1.0)}, DEFAULTS, n_trials=6, **options)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "expected a space"),
        ({"loss": ["absolute"]}, "got loss"),
        ({"rate": (1, 0)}, "of rate"),
        ({"rate": (0.0, 1.0, "log")}, "of rate"),
        ({"rate": []}, "of rate"),
        ({"rate": 3}, "of rate"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused(space: Any, message: str):
    with pytest.raises(InputError, match=message):
        check_space(space)


def test_a_forecaster_is_tuned_by_its_validation_loss(hourly_panel: Panel):
    training = TrainingConfig(epochs=1, batch_size=64, learning_rate=1e-4)
    forecaster = Forecaster(6, 3, lags=(), model="dlinear", training=training)
    tuned = forecaster.tune(hourly_panel, {"learning_rate": [1e-4, 5e-2], "window": [6, 12]}, n_trials=3)
    assert tuned.tuning is not None
    assert tuned.tuning.options["learning_rate"] == tuned.training.learning_rate == 5e-2
    assert tuned.reach.window == tuned.tuning.options["window"]
    assert forecaster.training.learning_rate == 1e-4
    with pytest.raises(InputError, match=r"expected options out of .*got 'rate'"):
        forecaster.tune(hourly_panel, {"rate": [1]})
