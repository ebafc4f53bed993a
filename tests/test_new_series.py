"""Tests of adding new series to a trained model."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from small_models import NARROW

from elinformer.__main__ import main
from elinformer.data.panel import Panel
from elinformer.errors import InputError
from elinformer.forecaster import Forecaster
from elinformer.training import TrainingConfig

N_OLD, N_NEW, HISTORY = 10, 4, 16 * 24
STEPS = 60
TRAINING = {"epochs": 30, "batch_size": 64, "learning_rate": 1e-2}


@pytest.fixture(scope="module")
def panel() -> Panel:
    """Return 20 days of 14 daily rhythms of different phases and second harmonics. The last four series are new."""
    rng = np.random.default_rng(0)
    n = N_OLD + N_NEW
    hours = 2 * np.pi * np.arange(20 * 24)[:, None] / 24
    phase, second, size = rng.uniform(0, 2, n), rng.uniform(0, 1, n), rng.uniform(1, 2, n)
    waves = 3 + np.sin(hours + phase) + second * np.sin(2 * hours) + 0.1 * rng.normal(size=(len(hours), n))
    names = [*(f"old {i}" for i in range(N_OLD)), *(f"new {i}" for i in range(N_NEW))]
    return Panel.from_arrays(size * waves, start="2024-01-01", freq="1h", series=names, name="town")


@pytest.fixture(scope="module")
def forecaster(make_forecaster: Callable[..., Forecaster], panel: Panel) -> Forecaster:
    return make_forecaster(**TRAINING).fit(panel.select(list(range(N_OLD))))


@pytest.fixture(scope="module")
def extended(forecaster: Forecaster, panel: Panel) -> Forecaster:
    return forecaster.add_series(panel.select(list(range(N_OLD + N_NEW)), slice(HISTORY)), steps=STEPS)


def mae(forecaster: Forecaster, panel: Panel, series: range) -> float:
    return forecaster.backtest(panel).scores(series=series).mae


NEW, OLD = range(N_OLD, N_OLD + N_NEW), range(N_OLD)


def test_the_error_of_new_series_is_close_to_that_of_trained_series(
    extended: Forecaster, make_forecaster: Callable[..., Forecaster], panel: Panel
) -> None:
    trained_on_all = make_forecaster(**TRAINING).fit(panel)
    assert mae(extended, panel, NEW) < 1.15 * mae(trained_on_all, panel, NEW)


def test_learned_embeddings_are_better_than_the_mean_embedding(extended: Forecaster, panel: Panel) -> None:
    learned = mae(extended, panel, NEW)
    table = extended.trained.model.get_parameter("embedding.series.weight")
    rows = table.detach().clone()
    try:
        with torch.no_grad():
            table[N_OLD:] = table[:N_OLD].mean(0)
        assert learned < 0.9 * mae(extended, panel, NEW)
    finally:
        with torch.no_grad():
            table.copy_(rows)


def test_adding_series_does_not_change_the_forecaster_and_is_deterministic(
    forecaster: Forecaster, extended: Forecaster, panel: Panel
) -> None:
    weights = {name: weight.clone() for name, weight in forecaster.trained.model.state_dict().items()}
    generator = torch.get_rng_state()
    again = forecaster.add_series(panel.select(list(range(N_OLD + N_NEW)), slice(HISTORY)), steps=STEPS)
    pd.testing.assert_frame_equal(again.predict(panel), extended.predict(panel), check_exact=True)
    assert forecaster.info.series == panel.series[:N_OLD]
    assert forecaster.added is None
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(torch.equal(weight, weights[name]) for name, weight in forecaster.trained.model.state_dict().items())
    for name, weight in again.trained.model.state_dict().items():
        assert torch.equal(weight[:N_OLD] if name in again.trained.model.per_series else weight, weights[name])
    assert torch.equal(again.trained.scaled.mean[:N_OLD], forecaster.trained.scaled.mean)
    assert all(weight.requires_grad for weight in again.trained.model.parameters())


@pytest.mark.parametrize("by", ["history", "features"])
def test_several_models_keep_the_rows_of_the_series_they_know(
    make_forecaster: Callable[..., Forecaster], panel: Panel, by: str, recwarn: pytest.WarningsRecorder
) -> None:
    forecaster = make_forecaster(preset="best", epochs=1, batch_size=64).fit(panel.select(list(range(N_OLD))))
    weights = {name: weight.clone() for name, weight in forecaster.trained.model.state_dict().items()}
    if by == "history":
        grown = forecaster.add_series(panel, steps=2)
    else:
        grown = forecaster.add_series(
            features=pd.DataFrame({"unique_id": panel.series, "size": range(len(panel.series))})
        )
    for name, weight in forecaster.trained.model.state_dict().items():
        assert torch.equal(weight, weights[name])
    for name, weight in grown.trained.model.state_dict().items():
        assert torch.equal(weight[:N_OLD] if name in grown.trained.model.per_series else weight, weights[name])
    assert not recwarn.list


def test_the_order_of_the_series_does_not_matter(forecaster: Forecaster, extended: Forecaster, panel: Panel) -> None:
    order = np.random.default_rng(1).permutation(N_OLD + N_NEW).tolist()
    shuffled = panel.select(order)
    pd.testing.assert_frame_equal(
        extended.predict(shuffled).sort_values(["unique_id", "ds"], ignore_index=True),
        extended.predict(panel).sort_values(["unique_id", "ds"], ignore_index=True),
    )
    again = forecaster.add_series(shuffled.select(list(range(len(order))), slice(HISTORY)), steps=STEPS)
    assert set(again.info.series) == set(extended.info.series)
    assert mae(again, panel, NEW) == pytest.approx(mae(extended, panel, NEW), rel=0.15)


def test_the_measured_errors_are_reported(extended: Forecaster) -> None:
    added = extended.added
    assert added is not None
    assert added["series"] == [f"new {i}" for i in range(N_NEW)]
    assert {"last value", "same time yesterday", "mean by time of day"} <= set(added["naive"])
    errors = np.array([added["mae"], added["left_out"], added["trained"], *added["naive"].values()])
    assert (np.isfinite(errors) & (errors > 0)).all()
    assert added["mae"] < added["naive"]["last value"]


def test_a_run_with_new_series_is_saved_and_loaded(extended: Forecaster, panel: Panel, tmp_path: Path) -> None:
    extended.save(tmp_path / "run")
    loaded = Forecaster.load(tmp_path / "run")
    assert loaded.added == extended.added
    assert loaded.info == extended.info
    pd.testing.assert_frame_equal(loaded.predict(panel), extended.predict(panel), check_exact=True)


def test_a_subset_with_a_new_series_gets_a_forecast(extended: Forecaster, panel: Panel) -> None:
    frame = extended.predict(panel.select([12, 3]))
    assert frame["unique_id"].unique().tolist() == ["new 2", "old 3"]
    assert np.isfinite(frame["elinformer"]).all()


def test_a_new_series_needs_a_day_of_history(forecaster: Forecaster, panel: Panel) -> None:
    values = panel.values.copy()
    values[: HISTORY - 24, 10] = np.nan
    short = replace(panel, values=values, mask=~np.isnan(values))
    series = [*OLD, 10]
    extended = forecaster.add_series(short.select(series, slice(HISTORY)), steps=STEPS)
    assert np.isfinite(mae(extended, panel.select(series), range(10, 11)))
    with pytest.raises(InputError, match="expected at least 24 observed steps of a new series, but new 0 has less"):
        forecaster.add_series(short.select([*OLD, 10, 11], slice(HISTORY - 1)), steps=STEPS)
    not_observed = replace(short, mask=short.mask & (np.arange(14) != 11)[:, None])
    with pytest.raises(InputError, match="but new 1 has less"):
        forecaster.add_series(not_observed.select([*OLD, 11]))


def test_features_and_locations_are_used(forecaster: Forecaster, extended: Forecaster, panel: Panel) -> None:
    features = pd.DataFrame({"unique_id": panel.series, "level": np.arange(14.0), "kind": np.arange(14) % 2})
    history = panel.select(list(range(14)), slice(HISTORY))
    with_features = forecaster.add_series(history, features=features.sample(frac=1, random_state=0), steps=STEPS)
    assert not with_features.predict(panel).equals(extended.predict(panel))
    located = replace(history, locations=np.random.default_rng(0).normal(size=(14, 2)))
    assert not forecaster.add_series(located, steps=STEPS).predict(panel).equals(extended.predict(panel))


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (pd.DataFrame({"level": [1.0]}), "unique_id"),
        (pd.DataFrame({"unique_id": ["new 0"], "level": [1.0]}), "static covariates of every series.*'old 0'"),
        (pd.DataFrame({"unique_id": ["a", "a"], "level": [1.0, 2.0]}), "one row"),
        ([1, 2], "eager data frame.*list"),
    ],
)
def test_features_that_cannot_be_used_are_refused(
    features: Any, message: str, forecaster: Forecaster, panel: Panel
) -> None:
    with pytest.raises(InputError, match=message):
        forecaster.add_series(panel, features=features, steps=STEPS)


def test_zero_steps_are_refused(forecaster: Forecaster, panel: Panel) -> None:
    with pytest.raises(InputError, match="expected at least one step, got steps=0"):
        forecaster.add_series(panel, steps=0)


@pytest.mark.parametrize("bad", [None, np.inf])
def test_features_that_are_not_finite_are_refused(bad: Any, forecaster: Forecaster, panel: Panel) -> None:
    level = [bad, *range(13)]
    with pytest.raises(InputError, match="'level' of every series, but 'old 0' has none"):
        forecaster.add_series(panel, features=pd.DataFrame({"unique_id": panel.series, "level": level}))


def test_a_history_without_new_series_or_without_series_of_training_is_refused(
    forecaster: Forecaster, panel: Panel
) -> None:
    with pytest.raises(InputError, match="expected series that training did not have, but it had all 10"):
        forecaster.add_series(panel.select(list(OLD)))
    with pytest.raises(InputError, match="expected series of training in the history"):
        forecaster.add_series(panel.select(list(NEW)))


def test_new_series_are_refused_by_predict_and_backtest(forecaster: Forecaster, panel: Panel) -> None:
    for call in (forecaster.predict, forecaster.backtest):
        with pytest.raises(InputError, match=r"'new 0'.*add_series"):
            call(panel)


@pytest.mark.parametrize(
    "model",
    [{"name": "dlinear"}, {"name": "stid", "n_layers": 1}, {"attention": "softmax", **NARROW, "n_layers": 1}],
    ids=["dlinear", "stid", "softmax"],
)
def test_other_models_can_add_series(model: dict[str, Any], panel: Panel) -> None:
    forecaster = Forecaster(6, 3, model=model, training=TrainingConfig(epochs=1))
    extended = forecaster.fit(panel.select(list(OLD))).add_series(
        panel.select(list(range(14)), slice(HISTORY)), steps=STEPS
    )
    assert np.isfinite(mae(extended, panel, NEW))
    assert extended.info.series == panel.series


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ({"attention": "linformer", **NARROW, "n_layers": 1}, "depends on the number of series"),
        ({"name": "staeformer", "n_layers": 1, "adaptive_width": 8}, "does not declare"),
    ],
    ids=["linformer", "staeformer"],
)
def test_models_that_cannot_add_series_are_refused(model: dict[str, Any], reason: str, panel: Panel) -> None:
    forecaster = Forecaster(6, 3, model=model, training=TrainingConfig(epochs=1)).fit(panel.select(list(OLD)))
    with pytest.raises(InputError, match=f"expected a model that can add series, .*{reason}"):
        forecaster.add_series(panel, steps=STEPS)


def test_series_with_several_channels_and_gaps_can_be_added(
    make_forecaster: Callable[..., Forecaster], two_channel_panel: Panel
) -> None:
    forecaster = make_forecaster().fit(two_channel_panel.select([0, 1, 2]))
    extended = forecaster.add_series(two_channel_panel, steps=STEPS)
    assert np.isfinite(extended.predict()[["elinformer_flow", "elinformer_speed"]].to_numpy()).all()
    assert extended.trained.scaled.mean.shape == (4, 2)


def test_series_without_times_can_be_added() -> None:
    rng = np.random.default_rng(0)
    waves = np.sin(np.arange(200)[:, None] / rng.uniform(2, 6, 5)) + 0.1 * rng.normal(size=(200, 5))
    panel = Panel.from_arrays(waves, series=list("abcde"))
    forecaster = Forecaster(6, 3, model=NARROW, training=TrainingConfig(epochs=1))
    extended = forecaster.fit(panel.select([0, 1, 2, 3])).add_series(panel, steps=STEPS)
    assert np.isfinite(extended.predict(panel)["elinformer"]).all()


@pytest.fixture
def folder(forecaster: Forecaster, panel: Panel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a run of the ten old series, and files with the history and the features of all series."""
    monkeypatch.chdir(tmp_path)
    forecaster.save("run", source={"data": "old.csv"})
    frame = pd.DataFrame(panel.values[:HISTORY, :, 0], columns=list(panel.series))
    frame.insert(0, "ds", panel.timestamps[:HISTORY])
    frame.to_csv("all.csv", index=False)
    pd.DataFrame({"unique_id": panel.series, "level": np.arange(14.0)}).to_csv("features.csv", index=False)
    return tmp_path


def run_command(*arguments: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["elinformer", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
    return int(end.value.code or 0)


def test_the_command_writes_a_new_run_with_the_new_series(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    defaults = inspect.unwrap(Forecaster.add_series).__kwdefaults__
    monkeypatch.setitem(defaults, "steps", STEPS)  # the command has no option for it
    assert run_command("add-series", "run", "all.csv", "--out", "extended", "--features", "features.csv") == 0
    printed = capsys.readouterr().out
    for words in ("added 4 series: new 0, new 1, new 2, new 3", "same time yesterday", "left out in turn"):
        assert words in printed
    assert run_command("forecast", "extended", "--out", "next.csv") == 0
    assert set(pd.read_csv("next.csv")["unique_id"]) >= {"new 0", "old 0"}
    assert len(Forecaster.load(folder / "run").info.series) == N_OLD


@pytest.mark.usefixtures("folder")
def test_the_command_refuses_an_existing_run_and_missing_features(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_command("add-series", "run", "all.csv", "--out", "run") == 2
    assert "run holds a run" in capsys.readouterr().err
    assert run_command("add-series", "run", "all.csv", "--out", "extended", "--features", "none.csv") == 2
    assert "expected a table of static covariates in none.csv" in capsys.readouterr().err
    assert not Path("extended").exists()
