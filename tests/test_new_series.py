"""Series that training never saw: added by their history, with everything else as it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from elinformer.__main__ import main
from elinformer.data.panel import Panel
from elinformer.errors import InputError
from elinformer.forecaster import Forecaster
from elinformer.training import TrainingConfig

N_KNOWN, N_NEW, HISTORY = 10, 4, 16 * 24
FEW = 60


@pytest.fixture(scope="module")
def town() -> Panel:
    """20 days of 14 daily rhythms whose phases and second waves differ; the last four series are the new ones."""
    rng = np.random.default_rng(0)
    n = N_KNOWN + N_NEW
    hours = 2 * np.pi * np.arange(20 * 24)[:, None] / 24
    phase, second, size = rng.uniform(0, 2, n), rng.uniform(0, 1, n), rng.uniform(1, 2, n)
    waves = 3 + np.sin(hours + phase) + second * np.sin(2 * hours) + 0.1 * rng.normal(size=(len(hours), n))
    names = [*(f"old {i}" for i in range(N_KNOWN)), *(f"new {i}" for i in range(N_NEW))]
    return Panel.from_arrays(size * waves, start="2024-01-01", freq="1h", series=names, name="town")


@pytest.fixture(scope="module")
def known(make_forecaster: Callable[..., Forecaster], town: Panel) -> Forecaster:
    return make_forecaster(epochs=60).fit(town.select(list(range(N_KNOWN))))


@pytest.fixture(scope="module")
def grown(known: Forecaster, town: Panel) -> Forecaster:
    return known.add_series(town.select(list(range(N_KNOWN + N_NEW)), slice(HISTORY)), steps=FEW)


def mae(forecaster: Forecaster, panel: Panel, series: range) -> float:
    return forecaster.backtest(panel).scores(series=series).mae


NEW, OLD = range(N_KNOWN, N_KNOWN + N_NEW), range(N_KNOWN)


def test_new_series_are_forecast_nearly_as_well_as_if_they_had_been_trained_on(
    grown: Forecaster, make_forecaster: Callable[..., Forecaster], town: Panel
) -> None:
    trained_on = make_forecaster(epochs=60).fit(town)
    assert mae(grown, town, NEW) < 1.15 * mae(trained_on, town, NEW)


def test_new_series_are_forecast_better_than_with_the_mean_embedding(grown: Forecaster, town: Panel) -> None:
    before = mae(grown, town, NEW)
    table = grown.trained.model.get_parameter("embedding.series.weight")
    found = table.detach().clone()
    try:
        with torch.no_grad():
            table[N_KNOWN:] = table[:N_KNOWN].mean(0)
        assert before < 0.9 * mae(grown, town, NEW)
    finally:
        with torch.no_grad():
            table.copy_(found)


def test_the_forecaster_that_is_added_to_stays_as_it_is(known: Forecaster, town: Panel) -> None:
    weights = {name: weight.clone() for name, weight in known.trained.model.state_dict().items()}
    generator = torch.get_rng_state()
    grown = known.add_series(town, steps=FEW)
    assert known.info.series == town.series[:N_KNOWN]
    assert known.added is None
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(torch.equal(weight, weights[name]) for name, weight in known.trained.model.state_dict().items())
    for name, weight in grown.trained.model.state_dict().items():
        assert torch.equal(weight[:N_KNOWN] if name == "embedding.series.weight" else weight, weights[name])
    assert torch.equal(grown.trained.scaled.mean[:N_KNOWN], known.trained.scaled.mean)
    assert all(weight.requires_grad for weight in grown.trained.model.parameters())


def test_the_order_of_the_series_changes_nothing(known: Forecaster, grown: Forecaster, town: Panel) -> None:
    order = np.random.default_rng(1).permutation(N_KNOWN + N_NEW).tolist()
    shuffled = town.select(order)
    pd.testing.assert_frame_equal(
        grown.predict(shuffled).sort_values(["unique_id", "ds"], ignore_index=True),
        grown.predict(town).sort_values(["unique_id", "ds"], ignore_index=True),
    )
    again = known.add_series(shuffled.select(list(range(len(order))), slice(HISTORY)), steps=FEW)
    assert set(again.info.series) == set(grown.info.series)
    assert mae(again, town, NEW) == pytest.approx(mae(grown, town, NEW), rel=0.15)


def test_what_was_measured_is_reported(grown: Forecaster) -> None:
    added = grown.added
    assert added is not None
    assert added["series"] == [f"new {i}" for i in range(N_NEW)]
    assert set(added["naive"]) == {"last value", "same time yesterday", "same time last week"}
    errors = np.array([added["mae"], added["left_out"], added["trained"], *added["naive"].values()])
    assert (np.isfinite(errors) & (errors > 0)).all()
    assert added["mae"] < added["naive"]["last value"]


def test_it_is_saved_and_loaded_like_any_run(grown: Forecaster, town: Panel, tmp_path: Path) -> None:
    grown.save(tmp_path / "run")
    loaded = Forecaster.load(tmp_path / "run")
    assert loaded.added == grown.added
    assert loaded.info == grown.info
    pd.testing.assert_frame_equal(loaded.predict(town), grown.predict(town), check_exact=True)


def test_the_same_call_finds_the_same(known: Forecaster, grown: Forecaster, town: Panel) -> None:
    again = known.add_series(town.select(list(range(N_KNOWN + N_NEW)), slice(HISTORY)), steps=FEW)
    pd.testing.assert_frame_equal(again.predict(town), grown.predict(town), check_exact=True)


def test_a_subset_with_a_new_series_is_forecast(grown: Forecaster, town: Panel) -> None:
    frame = grown.predict(town.select([12, 3]))
    assert frame["unique_id"].unique().tolist() == ["new 2", "old 3"]
    assert np.isfinite(frame["elinformer"]).all()


def test_a_day_of_history_is_enough_and_less_is_not(known: Forecaster, town: Panel) -> None:
    values = town.values.copy()
    values[: HISTORY - 24, 10] = np.nan
    short = replace(town, values=values, mask=~np.isnan(values))
    series = [*OLD, 10]
    grown = known.add_series(short.select(series, slice(HISTORY)), steps=FEW)
    assert np.isfinite(mae(grown, town.select(series), range(10, 11)))
    with pytest.raises(InputError, match="expected at least 24 observed steps of a new series, but new 0 has less"):
        known.add_series(short.select([*OLD, 10, 11], slice(HISTORY - 1)), steps=FEW)
    silent = replace(short, mask=short.mask & (np.arange(14) != 11)[:, None])
    with pytest.raises(InputError, match="but new 1 has less"):
        known.add_series(silent.select([*OLD, 11]))


def test_what_is_known_beside_the_history_is_used(known: Forecaster, grown: Forecaster, town: Panel) -> None:
    features = pd.DataFrame({"unique_id": town.series, "level": np.arange(14.0), "kind": np.arange(14) % 2})
    history = town.select(list(range(14)), slice(HISTORY))
    told = known.add_series(history, features=features.sample(frac=1, random_state=0), steps=FEW)
    assert not told.predict(town).equals(grown.predict(town))
    located = replace(history, locations=np.random.default_rng(0).normal(size=(14, 2)))
    assert not known.add_series(located, steps=FEW).predict(town).equals(grown.predict(town))


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (pd.DataFrame({"level": [1.0]}), "expected features with the column unique_id"),
        (pd.DataFrame({"unique_id": ["new 0"], "level": [1.0]}), "expected features of every series, but 'old 0' has"),
        (pd.DataFrame({"unique_id": ["a", "a"], "level": [1.0, 2.0]}), "expected one row of features a series"),
        ([1, 2], "expected features as an eager data frame, got list"),
    ],
)
def test_features_that_cannot_be_used_are_refused(features: Any, message: str, known: Forecaster, town: Panel) -> None:
    with pytest.raises(InputError, match=message):
        known.add_series(town, features=features, steps=FEW)


def test_at_least_one_step_is_taken(known: Forecaster, town: Panel) -> None:
    with pytest.raises(InputError, match="expected at least one step, got steps=0"):
        known.add_series(town, steps=0)


@pytest.mark.parametrize("bad", [None, "high", np.inf])
def test_features_have_to_be_finite_numbers(bad: Any, known: Forecaster, town: Panel) -> None:
    level = [bad, *range(13)]
    with pytest.raises(InputError, match=r"expected (finite )?numbers"):
        known.add_series(town, features=pd.DataFrame({"unique_id": town.series, "level": level}))


def test_series_that_are_known_and_series_alone_are_refused(known: Forecaster, town: Panel) -> None:
    with pytest.raises(InputError, match="expected series that training did not have, but all 10 are known"):
        known.add_series(town.select(list(OLD)))
    with pytest.raises(InputError, match="expected series of training beside the new ones"):
        known.add_series(town.select(list(NEW)))


def test_unknown_series_are_refused_with_the_way_out(known: Forecaster, town: Panel) -> None:
    for call in (known.predict, known.backtest):
        with pytest.raises(InputError, match=r"expected series of training, got 4 others, such as 'new 0'.*add_series"):
            call(town)


@pytest.mark.parametrize(
    "model", [{"name": "dlinear"}, {"name": "stid"}, {"attention": "softmax", "n_layers": 1, "n_heads": 2}]
)
def test_other_models_take_new_series_too(model: dict[str, Any], town: Panel) -> None:
    forecaster = Forecaster(6, 3, model=model, training=TrainingConfig(epochs=2))
    grown = forecaster.fit(town.select(list(OLD))).add_series(town.select(list(range(14)), slice(HISTORY)), steps=FEW)
    assert np.isfinite(mae(grown, town, NEW))
    assert grown.info.series == town.series


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ({"attention": "linformer", "n_layers": 1, "n_heads": 2}, "depends on how many"),
        ({"name": "staeformer", "n_layers": 1}, "does not say"),
    ],
)
def test_models_that_have_to_be_trained_again_are_refused(model: dict[str, Any], reason: str, town: Panel) -> None:
    forecaster = Forecaster(6, 3, model=model, training=TrainingConfig(epochs=1)).fit(town.select(list(OLD)))
    with pytest.raises(InputError, match=f"expected a model whose series come and go, .*{reason}"):
        forecaster.add_series(town, steps=FEW)


def test_several_channels_with_gaps_take_new_series(
    make_forecaster: Callable[..., Forecaster], two_channel_panel: Panel
) -> None:
    forecaster = make_forecaster().fit(two_channel_panel.select([0, 1, 2]))
    grown = forecaster.add_series(two_channel_panel, steps=FEW)
    assert np.isfinite(grown.predict()[["elinformer_flow", "elinformer_speed"]].to_numpy()).all()
    assert grown.trained.scaled.mean.shape == (4, 2)


def test_steps_without_times_take_new_series() -> None:
    rng = np.random.default_rng(0)
    waves = np.sin(np.arange(200)[:, None] / rng.uniform(2, 6, 5)) + 0.1 * rng.normal(size=(200, 5))
    panel = Panel.from_arrays(waves, series=list("abcde"))
    forecaster = Forecaster(6, 3, model={"n_layers": 1}, training=TrainingConfig(epochs=1))
    grown = forecaster.fit(panel.select([0, 1, 2, 3])).add_series(panel, steps=FEW)
    assert np.isfinite(grown.predict(panel)["elinformer"]).all()


@pytest.fixture
def folder(known: Forecaster, town: Panel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of the ten known series, and files with the history and the features of all fourteen."""
    monkeypatch.chdir(tmp_path)
    known.save("run", source={"data": "old.csv"})
    frame = pd.DataFrame(town.values[:HISTORY, :, 0], columns=list(town.series))
    frame.insert(0, "ds", town.timestamps[:HISTORY])
    frame.to_csv("all.csv", index=False)
    pd.DataFrame({"unique_id": town.series, "level": np.arange(14.0)}).to_csv("features.csv", index=False)
    return tmp_path


def command(*arguments: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["elinformer", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
    return int(end.value.code or 0)


def test_the_command_adds_them_to_a_new_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("add-series", "run", "all.csv", "--out", "grown", "--features", "features.csv") == 0
    printed = capsys.readouterr().out
    for words in ("added 4 series: new 0, new 1, new 2, new 3", "same time yesterday", "left out in turn"):
        assert words in printed
    assert command("forecast", "grown", "--out", "next.csv") == 0
    assert set(pd.read_csv("next.csv")["unique_id"]) >= {"new 0", "old 0"}
    assert len(Forecaster.load(folder / "run").info.series) == N_KNOWN


@pytest.mark.usefixtures("folder")
def test_the_command_refuses_what_stands_there_and_features_that_are_no_table(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command("add-series", "run", "all.csv", "--out", "run") == 2
    assert "run holds a run" in capsys.readouterr().err
    assert command("add-series", "run", "all.csv", "--out", "grown", "--features", "none.csv") == 2
    assert "expected a CSV file with unique_id" in capsys.readouterr().err
    assert not Path("grown").exists()
