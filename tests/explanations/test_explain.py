"""Tests of the explanation of a forecast."""

from __future__ import annotations

import importlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console
from small_models import NARROW

from elinformer.__main__ import main
from elinformer.data.panel import Panel
from elinformer.data.reach import Reach
from elinformer.data.scaling import Scaler
from elinformer.data.series_info import SeriesInfo
from elinformer.errors import InputError
from elinformer.evaluation import AbsoluteError
from elinformer.explanations import Target, explain
from elinformer.explanations.attributions import ROUNDING, TOLERANCE
from elinformer.forecaster import Forecaster
from elinformer.trained_model import TrainedModel, new_model

influence_module = importlib.import_module("elinformer.explanations.influences")
LAG = 2
"""Steps after which the driver moves the driven series."""


@pytest.fixture(scope="module")
def driven_panel() -> Panel:
    """Return 400 steps of a random series, one that is twice its values two steps before, and one without effect."""
    rng = np.random.default_rng(0)
    driver, other = rng.normal(size=(2, 400))
    driven = 2 * np.concatenate([np.zeros(LAG), driver[:-LAG]]) + 0.1 * rng.normal(size=400)
    return Panel.from_arrays(np.stack([driver, driven, other], 1) + 10, series=["driver", "driven", "other"])


@pytest.fixture(scope="module")
def driven(driven_panel: Panel) -> Forecaster:
    options = {"epochs": 14, "learning_rate": 2e-2, "batch_size": 32}
    forecaster = Forecaster(4, 1, lags=(), minimum=None, model=NARROW | {"n_layers": 1}, training=options)
    return forecaster.fit(driven_panel, console=Console(quiet=True))


@pytest.fixture(scope="module")
def with_covariates() -> TrainedModel:
    """Return a model of random weights that reads all kinds of inputs: lags, gaps, two channels and covariates."""
    panel = covariate_panel()
    reach, loss = Reach(6, 3, (24,)), AbsoluteError()
    info = SeriesInfo.of(panel, np.arange(30, 100))
    options = {"name": "elinformer", "options": NARROW}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model: Any = new_model("elinformer", NARROW, reach, info, loss)
        for layer in (model.output.change, model.output.earlier, model.output.effect.weights):
            torch.nn.init.normal_(layer.weight, std=0.1)
    config = {"forecaster": {"minimum": None}, "model": options, "training": {"tokens_at_once": 1000}}
    return TrainedModel(model, Scaler.fit(panel.values, panel.mask), info, reach, config, loss)


def covariate_panel() -> Panel:
    rng = np.random.default_rng(0)
    values = 5 + rng.normal(size=(120, 3, 2)).cumsum(0)
    past = rng.normal(size=(120, 3))
    past[-1, 0] = np.nan
    return Panel.from_arrays(
        values,
        mask=rng.random(values.shape) < 0.8,
        start="2024-01-01",
        freq="1h",
        series=["a", "b", "c"],
        channels=["flow", "speed"],
        past={"sold": past},
        future={"price": rng.normal(size=123), "wind": rng.normal(size=(123, 3))},
        static={"height": rng.normal(size=3), "kind": ["coast", "inland", "coast"]},
    )


def assert_complete(explanation: Any) -> None:
    difference = explanation.forecast - explanation.baseline
    missed = abs(explanation.frame()["attribution"].sum() - difference)
    rounding = ROUNDING * (abs(explanation.forecast) + abs(explanation.baseline))
    assert missed <= 1.001 * (TOLERANCE * abs(difference) + rounding)
    assert missed == pytest.approx(abs(explanation.remainder), abs=1e-6)


def test_the_series_and_the_step_that_drive_a_forecast_are_found(driven: Forecaster, driven_panel: Panel) -> None:
    moves = np.abs(driven_panel.values[320:-LAG, 0, 0] - 10)
    end = 320 + int(moves.argmax()) + LAG
    explanation = driven.explain("driven", data=driven_panel.select(steps=slice(end)))
    sums = explanation.series().set_index("unique_id")["attribution"]
    assert sums.index[0] == "driver"
    assert abs(sums["driver"]) > 10 * abs(sums["other"])
    assert abs(sums["driver"]) > 0.5 * abs(explanation.forecast - explanation.baseline)
    steps = explanation.steps().set_index("step")["others"]
    assert steps.abs().idxmax() == 1 - LAG
    values = explanation.frame().set_index(["unique_id", "step"])["value"]
    assert values["driver", 1 - LAG] == pytest.approx(float(driven_panel.values[end - LAG, 0, 0]))


def test_the_largest_influence_is_that_of_the_driver(
    driven: Forecaster, driven_panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = driven.influences(top=3)
    assert (found["source"][0], found["target"][0]) == ("driver", "driven")
    assert len(found) == 3
    assert found["change"].is_monotonic_decreasing
    monkeypatch.setattr(influence_module, "MAX_TOKENS", 1)  # room for two sources, in two windows
    assert driven.influences(top=1)[["source", "target"]].equals(found[["source", "target"]][:1])
    with pytest.raises(InputError, match="top=0"):
        driven.influences(top=0)
    with pytest.raises(InputError, match="got 3"):
        driven.influences(driven_panel.select(steps=slice(3)))


def test_sources_are_chosen_by_what_they_move(driven: Forecaster, driven_panel: Panel) -> None:
    strength = influence_module.strength(driven.trained, driven_panel, np.arange(380, 400, 3))
    assert strength.argmax() == 0
    assert strength[0] > 10 * strength[2]


def test_the_forecast_that_is_explained_is_that_of_predict(driven: Forecaster, driven_panel: Panel) -> None:
    forecast = driven.predict().set_index("unique_id")["elinformer"]
    for name in driven_panel.series:
        assert driven.explain(name).forecast == pytest.approx(float(forecast[name]), rel=1e-5)


def test_attributions_add_up_for_every_series_and_step(trained: Forecaster, hourly_panel: Panel) -> None:
    for series in hourly_panel.series:
        for step in range(1, 4):
            assert_complete(trained.explain(series, step))


def test_attributions_add_up_with_lags_gaps_channels_and_covariates(with_covariates: TrainedModel) -> None:
    panel = covariate_panel()
    for target in (Target(0, 0, 0), Target(2, 1, 1), Target(1, 2, 0)):
        explanation = explain(with_covariates, panel, target)
        assert_complete(explanation)
        assert abs(explanation.forecast - explanation.baseline) > 1e-3
        frame = explanation.frame()
        assert set(frame["kind"]) == {"window", "lag", "covariate"}
        assert set(explanation.covariates()["name"]) >= {"sold", "price", "wind", "height", "kind=coast"}
        assert frame["attribution"].notna().all()
        assert frame.loc[frame["name"] == "price", "unique_id"].isna().all()
        assert frame.loc[frame["name"] == "height", "step"].isna().all()


@pytest.mark.parametrize("name", ["stid", "staeformer", "dlinear"])
def test_attributions_add_up_for_other_models(name: str, hourly_panel: Panel) -> None:
    reach, loss, info = Reach(6, 3), AbsoluteError(), SeriesInfo.of(hourly_panel, np.arange(6, 144))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = new_model(name, {}, reach, info, loss)
    config = {"forecaster": {"minimum": None}, "model": {"name": name}, "training": {"tokens_at_once": 1000}}
    scaler = Scaler.fit(hourly_panel.values, hourly_panel.mask)
    assert_complete(explain(TrainedModel(model, scaler, info, reach, config, loss), hourly_panel, Target(1, 2, 0)))


def test_what_is_missing_has_no_part(trained: Forecaster, hourly_panel: Panel) -> None:
    frame = trained.explain("a").frame()
    recent = hourly_panel.mask[-6:, :, 0]
    read = {(row.unique_id, row.step) for row in frame.itertuples()}
    assert read <= {(hourly_panel.series[n], t - 5) for t, n in np.argwhere(recent)}


def test_a_window_at_its_level_moves_nothing(trained: Forecaster, hourly_panel: Panel) -> None:
    flat = Panel.from_arrays(np.full((30, 4), 7.0), start="2024-01-10", freq="1h", series=hourly_panel.series)
    explanation = trained.explain("b", data=flat)
    assert explanation.forecast == pytest.approx(explanation.baseline, rel=1e-5)
    assert explanation.frame()["attribution"].abs().sum() < 1e-4


def test_a_forecast_at_its_minimum_is_explained_as_such(trained: Forecaster, hourly_panel: Panel) -> None:
    config = trained.trained.config
    high = trained.trained.replaced(config={**config, "forecaster": {**config["forecaster"], "minimum": 1e6}})
    explanation = explain(high, hourly_panel, Target(0, 0, 0))
    assert (explanation.forecast, explanation.baseline, len(explanation.frame())) == (1e6, 1e6, 0)
    assert "1e+06" in repr(explanation)
    assert explanation.to_document()["by_series"] == []


def test_explaining_changes_nothing(trained: Forecaster) -> None:
    before = trained.predict()
    trained.explain("a", 2)
    assert all(weight.requires_grad for weight in trained.trained.model.parameters())
    pd.testing.assert_frame_equal(trained.predict(), before)


def test_sums_by_series_step_and_covariate_agree_with_the_rows(with_covariates: TrainedModel) -> None:
    explanation = explain(with_covariates, covariate_panel(), Target(0, 1, 0))
    frame = explanation.frame()
    total, shared = frame["attribution"].sum(), frame["attribution"][frame["unique_id"].isna()].sum()
    assert explanation.steps()["attribution"].sum() == pytest.approx(total)
    assert explanation.series()["attribution"].sum() + shared == pytest.approx(total)
    in_covariates = explanation.covariates()["attribution"].sum()
    assert in_covariates == pytest.approx(explanation.steps()["covariates"].sum())
    assert len(explanation.series(top=2)) == 2
    document = json.loads(json.dumps(explanation.to_document(), allow_nan=False))
    assert math.fsum(row["attribution"] for row in document["by_step"]) == pytest.approx(total)


def test_the_figure_names_the_series_and_the_covariates(with_covariates: TrainedModel) -> None:
    explanation = explain(with_covariates, covariate_panel(), Target(0, 1, 0))
    _, below = explanation.plot(top=20).axes
    names = {label.get_text() for label in below.get_yticklabels()}
    assert names >= {"a", "b", "c", "price", "height"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"series": "z"}, "'z'"),
        ({"series": "a", "step": 4}, "from 1 to 3"),
        ({"series": "a", "step": 0}, "from 1 to 3"),
        ({"series": "a", "channel": "speed"}, "'speed'"),
    ],
)
def test_what_is_not_forecast_is_refused(trained: Forecaster, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        trained.explain(**options)
    with pytest.raises(InputError, match="top=0"):
        trained.explain("a").series(top=0)


def test_the_command_prints_writes_json_and_draws(
    trained: Forecaster,
    hourly_panel: Panel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    values = np.where(hourly_panel.mask, hourly_panel.values, np.nan)[:, :, 0]
    table = pd.DataFrame(values, columns=hourly_panel.series)
    table.insert(0, "time", hourly_panel.timestamps)
    table.to_csv(tmp_path / "data.csv", index=False)
    trained.save(tmp_path / "run")
    files = ["--json", str(tmp_path / "why.json"), "--out", str(tmp_path / "why.png")]

    def run(series: str) -> int:
        command = ["explain", str(tmp_path / "run"), "--data", str(tmp_path / "data.csv"), "--step", "2"]
        monkeypatch.setattr("sys.argv", ["elinformer", *command, "--series", series, *files])
        with pytest.raises(SystemExit) as stopped:
            main()
        return int(stopped.value.code or 0)

    assert run("z") == 2
    assert not (tmp_path / "why.json").exists()
    assert run("b") == 0
    assert "values of b" in capsys.readouterr().out
    document = json.loads((tmp_path / "why.json").read_text())
    assert (document["series"], document["step"]) == ("b", 2)
    assert document["forecast"] == pytest.approx(trained.explain("b", 2).forecast, rel=1e-4)
    assert (tmp_path / "why.png").stat().st_size > 1000
