"""Commands on a run and newer data: update, finetune, fill, anomalies, and the search for options."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from elinformer.cli import app
from elinformer.errors import InputError
from elinformer.options import Settings, read_settings, search_space, settings_text
from elinformer.workflows import train_run

HOURS = pd.date_range("2024-01-01", periods=240, freq="h")
OPTIONS = {"window": 6, "horizon": 3, "model": {"name": "dlinear"}, "training": {"epochs": 1}}


def table() -> pd.DataFrame:
    """Return 240 hours of two daily rhythms, as a wide table."""
    wave = np.sin(np.arange(240) / 24 * 2 * np.pi)
    noise = np.random.default_rng(0).normal(0, 0.1, (240, 2))
    return pd.DataFrame({"ds": HOURS, "a": 5 + wave + noise[:, 0], "b": 50 + 10 * wave + noise[:, 1]})


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("first")
    table()[:180].to_csv(folder / "d.csv", index=False)
    train_run(str(folder / "d.csv"), folder / "run", Settings().updated(OPTIONS))
    return folder


@pytest.fixture
def folder(first_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of now, with the run, its data and newer data."""
    shutil.copytree(first_run, tmp_path, dirs_exist_ok=True)
    table()[170:].to_csv(tmp_path / "new.csv", index=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(*arguments: object) -> str:
    result = CliRunner().invoke(app, [*map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def as_json(*arguments: object) -> Any:
    return json.loads(command(*arguments, "--quiet", "--json", "-"))


def test_new_rows_are_appended_and_a_forecast_goes_on_after_them(folder: Path) -> None:
    assert "60 new steps, 240 in all" in command("update", "run", "--data", "new.csv")
    assert as_json("update", "run", "--data", "new.csv")["steps_before"] == 240  # they are there already
    command("forecast", "run", "--out", "after.csv")
    assert pd.read_csv("after.csv")["ds"].min() == "2024-01-11 00:00:00"
    table().to_csv("all.csv", index=False)
    command("forecast", "run", "--data", "all.csv", "--out", "whole.csv")
    pd.testing.assert_frame_equal(pd.read_csv("after.csv"), pd.read_csv("whole.csv"))


def test_rows_that_contradict_the_data_change_nothing_unless_they_revise_them(folder: Path) -> None:
    table()[170:].assign(a=7.0).to_csv("new.csv", index=False)
    with pytest.raises(InputError, match="values differ"):
        command("update", "run", "--data", "new.csv")
    assert not Path("run/data").exists()
    command("update", "run", "--data", "new.csv", "--revise")
    assert as_json("evaluate", "run")["scored"].startswith("46 windows")


def test_a_new_training_forgets_rows_that_were_appended(folder: Path) -> None:
    command("update", "run", "--data", "new.csv")
    train_run("d.csv", "run", Settings().updated(OPTIONS), overwrite=True)
    assert not Path("run/data").exists()


def test_finetuning_writes_another_run_that_knows_all_rows(folder: Path) -> None:
    before = Path("run/model.safetensors").read_bytes()
    report = as_json("finetune", "run", "--data", "new.csv", "--out", "tuned", "--steps", "4")
    assert {"steps", "share", "old_before", "old_after", "new_before", "new_after"} <= set(report)
    assert Path("run/model.safetensors").read_bytes() == before
    command("forecast", "tuned", "--out", "after.csv")
    assert pd.read_csv("after.csv")["ds"].min() == "2024-01-11 00:00:00"
    for scoring in ("evaluate", "report"):
        with pytest.raises(InputError, match="fine-tuning has learned from all rows"):
            command(scoring, "tuned")


def test_gaps_are_filled_and_the_filled_values_are_marked(folder: Path) -> None:
    gaps = table()[:180]
    gaps.loc[50:54, "a"] = np.nan
    gaps.to_csv("gaps.csv", index=False)
    assert "filled 5 of 360 values" in command("fill", "run", "--data", "gaps.csv", "--out", "filled.csv")
    filled = pd.read_csv("filled.csv").query("filled")
    assert filled["unique_id"].tolist() == ["a"] * 5
    assert filled["ds"].tolist() == [str(time) for time in HOURS[50:55]]


def test_unusual_readings_are_listed_the_farthest_first(folder: Path) -> None:
    odd = table()
    odd.loc[200, "b"] = 500.0
    odd.to_csv("odd.csv", index=False)
    found = as_json("anomalies", "run", "--data", "odd.csv", "--level", "99")
    assert (found[0]["unique_id"], found[0]["ds"][:13], found[0]["y"]) == ("b", "2024-01-09T08", 500.0)
    assert "b " in command("anomalies", "run", "--data", "odd.csv", "--out", "all.csv")
    assert len(pd.read_csv("all.csv")) == len(found)
    with pytest.raises(InputError, match="from 50"):
        command("anomalies", "run", "--level", "5")


def test_a_search_writes_settings_that_training_takes(folder: Path) -> None:
    pytest.importorskip("optuna")
    Path("s.toml").write_text(settings_text(Settings().updated(OPTIONS)), encoding="utf-8")
    arguments = ("tune", "d.csv", "--config", "s.toml", "--out", "search", "--search", "learning_rate=1e-3:1e-2:log")
    found = as_json(*arguments, "--n-trials", "2")
    settings = Settings().updated(read_settings("search/settings.toml"))
    assert settings.training == {"epochs": 1, "learning_rate": found["options"]["learning_rate"]}
    assert (settings.window, settings.model) == (6, {"name": "dlinear"})


def test_a_space_is_read_from_texts_and_wrong_ones_are_refused() -> None:
    space = search_space(
        ["n_layers=1,2", "dropout=0:0.3", "learning_rate=5e-4:1e-2:log", "lags=24/168,24"], "elinformer"
    )
    assert space == {
        "n_layers": [1, 2],
        "dropout": (0.0, 0.3),
        "learning_rate": (5e-4, 1e-2, "log"),
        "lags": [(24, 168), (24,)],
    }
    for text in ("layers=1", "dropout=0:0.3:ln", "n_layers=two", "dropout"):
        with pytest.raises(InputError):
            search_space([text], "elinformer")


def test_a_cross_validation_has_intervals_where_one_asks_for_them(folder: Path) -> None:
    arguments = ("cross-validate", "d.csv", "--config", "s.toml", "--out", "cv", "--n-windows", "2")
    Path("s.toml").write_text(settings_text(Settings().updated(OPTIONS)), encoding="utf-8")
    errors = as_json(*arguments, "--level", "80,95")
    assert [row["cutoff"] for row in errors][-1] == "all"
    frame = pd.read_csv("cv/forecasts.csv")
    for level in (80, 95):
        assert (frame[f"dlinear-lo-{level}"] <= frame[f"dlinear-hi-{level}"]).all()
