"""The command line: runs end to end, precedence of settings, and failures in one sentence."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from elinformer.__main__ import main
from elinformer.cli import EXAMPLES
from elinformer.data.catalog import CATALOG
from elinformer.data.panel import Panel
from elinformer.forecaster import Forecaster
from elinformer.training import ForecastModule

SETTINGS = """window = 6
horizon = 3
[training]
epochs = 1
[model]
window_width = 8
series_width = 4
calendar_width = 4
n_layers = 1
n_heads = 2
"""


NOTES = ("reading ", "read ", "training ")


@dataclass
class Result:
    """How a command ended, and what it printed; `notes` are lines on standard error about reading and progress."""

    code: object
    out: str
    err: str
    notes: tuple[str, ...] = ()


Cli = Callable[..., Result]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run the command as its own process would, in this one."""

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["elinformer", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        lines = printed.err.splitlines(keepends=True)
        notes = tuple(line for line in lines if line.startswith(NOTES))
        return Result(end.value.code or 0, printed.out, "".join(x for x in lines if x not in notes), notes)

    return run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hourly_panel: Panel) -> Path:
    """The folder of now, with `d.npz` and the settings of a narrow model."""
    monkeypatch.chdir(tmp_path)
    np.savez("d.npz", data=hourly_panel.values, timestamps_start="2024-01-01", freq="1h", series=list("abcd"))
    Path("narrow.toml").write_text(SETTINGS, encoding="utf-8")
    return tmp_path


@pytest.fixture
def run(cli: Cli, folder: Path) -> Path:
    assert cli("train", "d.npz", "--out", "run", "--config", "narrow.toml").code == 0
    return folder / "run"


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_refused(result: Result, *words: str) -> None:
    """One sentence on standard error, exit code 2, no traceback."""
    assert result.code == 2, result
    assert result.err.startswith("error: ")
    assert "expected " in result.err
    assert result.err.count("\n") == 1
    assert result.err.endswith("\n")
    assert "Traceback" not in result.err + result.out
    for word in words:
        assert word in result.err


def test_training_writes_a_run_and_shows_the_scores(cli: Cli, folder: Path) -> None:
    result = cli("train", "d.npz", "--out", "run", "--config", "narrow.toml")
    assert (result.code, result.err) == (0, "steps of 1h: 6 in, 3 out; lags 24, 48, 72 (season: day)\n")
    for words in (
        "d: 46 windows of the test part",
        "elinformer",
        "last value",
        "same time yesterday",
        "MAE",
        "run: run",
    ):
        assert words in result.out
    names = [
        "calibration.safetensors",
        "config.json",
        "forecast.csv",
        "forecasts.png",
        "metrics.json",
        "model.safetensors",
        "panel.json",
        "refit.safetensors",
        "report.html",
        "report.json",
        "scaler.safetensors",
    ]
    assert sorted(path.name for path in (folder / "run").iterdir()) == names
    assert sorted(path.name for path in folder.iterdir()) == ["d.npz", "narrow.toml", "run"]
    after_training = json.loads((folder / "run/report.json").read_text(encoding="utf-8"))
    assert cli("report", "run").code == 0
    read_again = json.loads((folder / "run/report.json").read_text(encoding="utf-8"))
    assert {**read_again, "created": None} == {**after_training, "created": None}


def test_the_metrics_have_the_documented_keys(run: Path) -> None:
    metrics = read(run / "metrics.json")
    for part in ("test", "validation"):
        assert {"mae", "rmse", "mape", "by_horizon", "by_channel"} <= set(metrics[part])
        assert list(metrics[part]["by_horizon"]) == ["1", "2", "3"]
        assert {"mae", "rmse", "mape"} <= set(metrics[part]["by_horizon"]["1"])
        assert list(metrics[part]["by_channel"]) == ["value"]
        assert all(metrics[part][name] > 0 for name in ("mae", "rmse", "mape"))
    assert {"last value", "same time yesterday", "mean by time of day"} <= set(metrics["naive"])
    for name, kind in (("train_seconds", float), ("peak_memory_bytes", int), ("parameters", int), ("seed", int)):
        assert isinstance(metrics[name], kind)
    assert metrics["peak_memory_bytes"] > 1_000_000
    assert metrics["parameters"] == Forecaster.load(run).n_parameters
    assert {"elinformer", "torch", "python"} <= set(metrics["versions"])


def test_a_run_that_is_there_is_replaced_only_when_asked(cli: Cli, run: Path) -> None:
    arguments = ("train", "d.npz", "--out", "run", "--config", "narrow.toml", "--seed", "5")
    before = everything(run)
    assert_refused(cli(*arguments), "run holds a run: choose another name or pass --overwrite")
    assert everything(run) == before
    assert cli(*arguments, "--overwrite").code == 0
    assert read(run / "metrics.json")["seed"] == 5


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_a_folder_of_other_things_is_never_replaced(overwrite: list[str], cli: Cli, folder: Path) -> None:
    (folder / "thesis").mkdir()
    (folder / "thesis" / "chapter.tex").write_text("ten years", encoding="utf-8")
    before = everything(folder)
    assert_refused(cli("train", "d.npz", "--out", "thesis", *overwrite), "thesis holds other files")
    assert everything(folder) == before


def test_an_empty_folder_may_be_written_to(cli: Cli, folder: Path) -> None:
    (folder / "run").mkdir()
    assert cli("train", "d.npz", "--out", "run", "--config", "narrow.toml").code == 0
    assert (folder / "run" / "metrics.json").is_file()


@pytest.fixture
def cut(cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run whose training was cut off after a step, with a checkpoint."""
    fitted = ForecastModule.training_step

    def step(module: ForecastModule, *arguments: Any) -> Any:
        if module.trainer.global_step == 3:
            raise SystemExit(137)
        return fitted(module, *arguments)

    toml = SETTINGS.replace("epochs = 1", "epochs = 2\nbatch_size = 32\ncheckpoint_minutes = 0")
    Path("narrow.toml").write_text(toml, encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.setattr(ForecastModule, "training_step", step)
        assert cli("train", "d.npz", "--out", "run", "--config", "narrow.toml").code == 137
    return folder / "run"


def test_a_training_that_was_killed_is_gone_on_with(cli: Cli, cut: Path) -> None:
    progress = {"model": 1, "stage": "training", "epoch": 0, "steps_in_epoch": 3, "step": 3, "steps": 10}
    assert json.loads(cli("info", "run").out)["progress"] == progress
    result = cli("train", "--resume", "run")
    assert (result.code, result.err) == (0, "resuming at step 3 of 10\n")
    for words in ("d: 46 windows of the test part", "elinformer", "last value", "run: run"):
        assert words in result.out
    names = [
        "calibration.safetensors",
        "config.json",
        "metrics.json",
        "model.safetensors",
        "panel.json",
        "refit.safetensors",
        "report.html",
        "report.json",
        "scaler.safetensors",
    ]
    assert sorted(path.name for path in cut.iterdir()) == names
    assert cli("train", "d.npz", "--out", "whole", "--config", "narrow.toml").code == 0
    model, whole = ((cut.parent / name / "model.safetensors").read_bytes() for name in ("run", "whole"))
    assert model == whole
    configs = [read(folder / "config.json") for folder in (cut, cut.parent / "whole")]
    for config in configs:
        del config["checksums"]["metrics.json"]  # it has the seconds
    assert configs[0] == configs[1]
    assert_refused(cli("train", "--resume", "run"), "expected an unfinished run, but run is finished")


def test_an_unfinished_run_is_kept_or_replaced_as_one_says(cli: Cli, cut: Path) -> None:
    arguments = ("train", "d.npz", "--out", "run", "--config", "narrow.toml")
    before = everything(cut)
    for refused in (cli(*arguments), cli("evaluate", "run"), cli("forecast", "run", "--out", "f.csv")):
        assert_refused(refused, "at step 3 of 10: resume it with `elinformer train --resume run`")
    assert everything(cut) == before
    result = cli(*arguments, "--overwrite")
    assert (result.code, result.err) == (0, "steps of 1h: 6 in, 3 out; lags 24, 48, 72 (season: day)\n")
    assert cli("evaluate", "run").code == 0


def test_data_that_were_moved_are_named_and_data_that_changed_are_refused(cli: Cli, cut: Path) -> None:
    Path("d.npz").rename("moved.npz")
    assert_refused(cli("train", "--resume", "run"), "--data")
    with np.load("moved.npz") as archive:
        np.savez("other.npz", **{name: archive[name] for name in archive.files} | {"data": archive["data"] + 1})
    assert_refused(cli("train", "--resume", "run", "--data", "other.npz"), "expected the data that")
    assert cli("train", "--resume", "run", "--data", "moved.npz").code == 0
    assert read(cut / "config.json")["source"]["data"] == "../moved.npz"
    Path("moved.npz").rename("again.npz")
    for arguments in (["evaluate", "run"], ["forecast", "run", "--out", "f.csv"]):
        assert_refused(cli(*arguments), "--data")
    Path("elsewhere").mkdir()
    for name in ("run", "again.npz"):
        Path(name).rename(f"elsewhere/{name}")
    Path("elsewhere/again.npz").rename("elsewhere/moved.npz")
    assert cli("evaluate", "elsewhere/run").code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--out", "other"], "expected no --out beside --resume"),
        (["d.npz"], "expected no DATA beside --resume"),
        (["--overwrite", "--batch-size", "3"], "expected no --overwrite or --batch-size beside --resume"),
        (["--config", "narrow.toml"], "expected no --config beside --resume, because the run has its settings"),
    ],
    ids=str,
)
def test_what_contradicts_the_run_is_refused(arguments: list[str], words: str, cli: Cli, cut: Path) -> None:
    before = everything(cut.parent)
    assert_refused(cli("train", "--resume", "run", *arguments), words)
    assert everything(cut.parent) == before


@pytest.mark.parametrize("arguments", [[], ["--out", "run"]], ids=str)
def test_training_needs_data_or_a_run_to_go_on_with(arguments: list[str], cli: Cli, folder: Path) -> None:
    assert_refused(cli("train", *arguments), "expected data, or --resume RUN")


def test_without_a_name_the_run_is_called_like_the_data(cli: Cli, folder: Path) -> None:
    result = cli("train", "d.npz", "--config", "narrow.toml")
    assert result.code == 0
    assert "forecast: d-run/forecast.csv, picture: d-run/forecasts.png" in result.out
    frame = pd.read_csv(folder / "d-run" / "forecast.csv")
    assert list(frame.columns) == ["unique_id", "ds", "elinformer", "elinformer-lo-80", "elinformer-hi-80"]


def test_an_old_run_survives_a_training_that_fails(cli: Cli, run: Path) -> None:
    before = everything(run)
    arguments = ("train", "d.npz", "--out", "run", "--config", "narrow.toml", "--overwrite")
    assert_refused(cli(*arguments, "--window", "1000"), "expected enough steps for window=1000")
    assert everything(run) == before


def test_options_win_over_the_file_and_the_file_over_the_defaults(cli: Cli, folder: Path) -> None:
    arguments = (
        "--config",
        "narrow.toml",
        "--horizon",
        "2",
        "--split",
        "0.5,0.3,0.2",
        "--lags",
        "24",
        "--seed",
        "7",
        "--batch-size",
        "64",
    )
    assert cli("train", "d.npz", "--out", "run", *arguments).code == 0
    config = read(folder / "run" / "config.json")
    given = {"window": 6, "horizon": 2, "lags": [24], "split": [0.5, 0.3, 0.2]}
    assert config["forecaster"] == {**given, "scale_per": "series", "minimum": "auto", "holidays": []}
    assert (config["training"]["seed"], config["training"]["epochs"], config["training"]["batch_size"]) == (7, 1, 64)
    assert config["model"]["options"]["n_layers"] == 1
    assert list(read(folder / "run" / "metrics.json")["test"]["by_horizon"]) == ["1", "2"]


def test_a_null_value_is_missing_in_training_and_in_evaluation(cli: Cli, folder: Path, hourly_panel: Panel) -> None:
    np.savez("zeros.npz", data=np.nan_to_num(hourly_panel.values), timestamps_start="2024-01-01", freq="1h")
    arguments = ("train", "zeros.npz", "--config", "narrow.toml", "--out")
    assert cli(*arguments, "plain").code == 0
    assert cli(*arguments, "run", "--null-value", "0").code == 0
    count = read(folder / "run" / "metrics.json")["test"]["count"]
    assert count < read(folder / "plain" / "metrics.json")["test"]["count"]
    assert cli("evaluate", "run", "--json", "scores.json").code == 0
    assert read(folder / "scores.json")["test"]["count"] == count


def test_evaluation_repeats_the_scores_of_training(cli: Cli, run: Path) -> None:
    result = cli("evaluate", "run", "--json", "deep/scores.json")
    assert (result.code, result.err) == (0, "")
    assert "d: 46 windows of the test part" in result.out
    scores, metrics = read(run.parent / "deep" / "scores.json"), read(run / "metrics.json")
    assert scores["naive"] == metrics["naive"]
    assert scores["test"]["mae"] == pytest.approx(metrics["test"]["mae"], rel=1e-6)
    assert scores["test"]["count"] == metrics["test"]["count"]


def test_a_run_finds_its_data_from_another_folder(cli: Cli, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (run.parent / "elsewhere").mkdir()
    monkeypatch.chdir(run.parent / "elsewhere")
    assert cli("evaluate", run).code == 0
    (run.parent / "d.npz").unlink()
    assert_refused(cli("evaluate", run), "d.npz")


def test_a_cross_validation_writes_its_forecasts_and_goes_on(cli: Cli, folder: Path) -> None:
    arguments = (
        "cross-validate",
        "d.npz",
        "--config",
        "narrow.toml",
        "--out",
        "cv",
        "--n-windows",
        "3",
        "--refit",
        "2",
    )
    result = cli(*arguments)
    assert result.code == 0
    frame = pd.read_csv("cv/forecasts.csv")
    assert (len(frame), frame["cutoff"].nunique()) == (36, 3)
    for words in ("MAE by cutoff", "2024-01-10 14:00:00", "all"):
        assert words in result.out
    again = cli(*arguments)
    assert again.out == result.out
    assert "epoch" not in again.err  # nothing is trained twice
    assert_refused(cli(*arguments[:-1], "1"), "its plan differs")


def test_a_run_is_drawn(cli: Cli, run: Path) -> None:
    for number, options in enumerate([(), ("--series", "b,a"), ("--future", "--series", "d")]):
        assert cli("plot", "run", "--out", f"{number}.png", *options).code == 0
        assert (run.parent / f"{number}.png").stat().st_size > 5000
    assert_refused(cli("plot", "run", "--out", "a.jpeg"), "ends in .png")
    assert_refused(cli("plot", "run", "--out", "a.png", "--series", "x"), "got 'x'")


def n_targets(mask: np.ndarray, *, first: int) -> int:
    """Return the number of observed targets of all windows of 3 steps from step `first` on."""
    return int(mask[np.arange(first, len(mask) - 2)[:, None] + np.arange(3)].sum())


def test_data_that_grew_are_scored_after_the_end_of_the_data_of_training(
    cli: Cli, run: Path, hourly_panel: Panel
) -> None:
    grown = np.concatenate([hourly_panel.values, hourly_panel.values[:50]])
    np.savez("grown.npz", data=grown, timestamps_start="2024-01-01", freq="1h", series=list("abcd"))
    result = cli("evaluate", "run", "--data", "grown.npz", "--json", "s.json")
    assert "grown: 48 windows after 2024-01-10 23:00" in result.out
    assert read(run.parent / "s.json")["test"]["count"] == n_targets(~np.isnan(grown), first=240)
    np.savez("moved.npz", data=hourly_panel.values, timestamps_start="2024-01-01", freq="1h", series=list("abcd"))
    assert "moved: 46 windows of the test part" in cli("evaluate", "run", "--data", "moved.npz").out


def test_other_data_can_be_evaluated_and_forecast(cli: Cli, run: Path, hourly_panel: Panel) -> None:
    series = list("dcba")
    np.savez("other.npz", data=hourly_panel.values[:100, ::-1], timestamps_start="2024-02-01", freq="1h", series=series)
    result = cli("evaluate", "run", "--data", "other.npz", "--json", "s.json")
    assert "other: 92 windows, which are all" in result.out
    assert read(run.parent / "s.json")["data"] == "other"
    assert read(run.parent / "s.json")["test"]["count"] == n_targets(hourly_panel.mask[:100], first=6)
    assert cli("forecast", "run", "--data", "other.npz", "--out", "f.csv").code == 0
    frame = pd.read_csv("f.csv", parse_dates=["ds"])
    assert frame["unique_id"].unique().tolist() == series
    assert frame["ds"].min() == pd.Timestamp("2024-02-05 04:00")


@pytest.mark.parametrize("name", ["f.csv", "deep/f.parquet"])
def test_a_forecast_goes_to_a_file(name: str, cli: Cli, run: Path, hourly_panel: Panel) -> None:
    result = cli("forecast", "run", "--out", name)
    assert (result.code, result.err, result.out) == (0, "", f"12 forecasts in {name}\n")
    path = run.parent / name
    frame = pd.read_csv(path, parse_dates=["ds"]) if path.suffix == ".csv" else pd.read_parquet(path)
    assert list(frame.columns) == ["unique_id", "ds", "elinformer"]
    expected = Forecaster.load(run).predict(
        pd.DataFrame(hourly_panel.values[..., 0], hourly_panel.timestamps, list("abcd"))
    )
    np.testing.assert_allclose(frame["elinformer"], expected["elinformer"], rtol=1e-5)
    assert frame["ds"].tolist() == expected["ds"].tolist()
    assert not list(run.parent.rglob(".*"))


def test_a_forecast_has_intervals_and_scenarios_where_one_asks_for_them(cli: Cli, run: Path) -> None:
    assert "the 80 % interval covers" in cli("evaluate", "run").out
    assert cli("forecast", "run", "--out", "f.csv", "--level", "80,95", "--scenarios", "2").code == 0
    names = [name.removeprefix("elinformer") for name in pd.read_csv("f.csv").columns[2:]]
    assert names == ["", "-lo-95", "-lo-80", "-hi-80", "-hi-95", "-scenario-1", "-scenario-2"]
    assert cli("forecast", "run", "--out", "f.csv", "--quantiles", "0.1").code == 0
    before = everything(run.parent)
    for flags in (["--level", "100"], ["--level", "a"], ["--quantiles", "0.1,0.1"], ["--scenarios", "0"]):
        assert_refused(cli("forecast", "run", "--out", "f.csv", *flags), "expected")
    assert everything(run.parent) == before


def test_information_is_json(cli: Cli, run: Path) -> None:
    document = json.loads(cli("info", "run").out)
    assert document["metrics"] == read(run / "metrics.json")
    assert document["config"]["forecaster"]["window"] == 6
    assert document["panel"]["series"] == ["a", "b", "c", "d"]


def test_the_data_sets_of_the_catalogue_are_listed(cli: Cli) -> None:
    shown = cli("datasets").out
    assert all(name in shown for name in CATALOG)
    assert_refused(cli("datasets", "fetch", "mnist"), "expected a data set of the catalogue, got 'mnist'")


def test_several_channels_are_shown_one_by_one(cli: Cli, folder: Path, two_channel_panel: Panel) -> None:
    values = two_channel_panel.values
    np.savez("two.npz", data=values, timestamps_start="2024-01-01", freq="1h", channels=["flow", "speed"])
    result = cli("train", "two.npz", "--out", "run", "--config", "narrow.toml")
    assert "MAE by channel" in result.out
    assert set(read(folder / "run" / "metrics.json")["test"]["by_channel"]) == {"flow", "speed"}


@pytest.mark.parametrize("channel", ["[/min]", "speed [km/h]", ":warning:"])
def test_a_name_in_brackets_is_printed_as_it_is(channel: str, cli: Cli, folder: Path) -> None:
    hours = pd.date_range("2024-01-01", periods=120, freq="1h")
    rows = [f"{name},{hour},{i % 5 + 2},{i % 3 + 1}\n" for name in "pq" for i, hour in enumerate(hours)]
    Path("t.csv").write_text(f"unique_id,ds,y,{channel}\n" + "".join(rows), encoding="utf-8")
    result = cli("train", "t.csv", "--config", "narrow.toml", "--out", "run", "--target", f"y,{channel}")
    assert result.code == 0
    assert channel in result.out


@pytest.mark.slow
def test_a_console_that_lacks_the_letters_of_a_name_shows_their_codes(folder: Path) -> None:
    Path("d.npz").rename("日本.npz")
    command = [sys.executable, "-m", "elinformer", "train", "日本.npz", "--config", "narrow.toml", "--out", "run"]
    ours = {**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}
    done = subprocess.run(command, capture_output=True, env=ours, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert b"\\u65e5\\u672c" in done.stdout


def test_a_split_without_a_test_part_scores_nothing(cli: Cli, folder: Path) -> None:
    result = cli("train", "d.npz", "--out", "run", "--config", "narrow.toml", "--split", "0.8,0.2,0")
    assert result.code == 0
    assert "the split has no test part" in result.out
    assert read(folder / "run" / "metrics.json")["test"] is None


HOURS = pd.date_range("2024-01-01", periods=40, freq="1h").strftime("%Y-%m-%d %H:%M").tolist()
ROWS = [f"{hour},{i},{i * 2}" for i, hour in enumerate(HOURS)]


def table(*rows: str, head: str = "time,a,b") -> bytes:
    return "\n".join([head, *rows, ""]).encode()


BROKEN = {
    "a text cell": ("bad.csv", table(*ROWS[:5], f"{HOURS[5]},many,3", *ROWS[6:]), ["many"]),
    "a missing column": ("bad.csv", table(*(f"{hour},p" for hour in HOURS), head="ds,unique_id"), ["y"]),
    "a time twice": ("bad.csv", table(*ROWS[:5], ROWS[4], *ROWS[5:]), ["repeats"]),
    "one row": ("bad.csv", table(ROWS[0]), ["got 1"]),
    "a head alone": ("bad.csv", table(), []),
    "a series that is all missing": (
        "bad.csv",
        table(*(f"{hour},{i}," for i, hour in enumerate(HOURS))),
        ["'b'", "all missing"],
    ),
    "nothing but missing": ("bad.csv", table(*(f"{hour},," for hour in HOURS)), ["missing"]),
    "an empty file": ("bad.csv", b"", ["empty file"]),
    "an empty archive": ("bad.npz", b"", ["empty file"]),
    "no archive": ("bad.npz", b"this is no archive", ["archive"]),
    "half an archive": ("bad.npz", b"PK\x03\x04" + b"\x00" * 200, ["archive"]),
    "no parquet": ("bad.parquet", b"this is no table", []),
    "another ending": ("bad.xlsx", b"this is no table", [".csv"]),
}


@pytest.mark.parametrize(("name", "content", "words"), BROKEN.values(), ids=list(BROKEN))
def test_data_that_cannot_be_used_end_in_one_sentence(
    name: str, content: bytes, words: list[str], cli: Cli, folder: Path
) -> None:
    (folder / name).write_bytes(content)
    before = everything(folder)
    assert_refused(cli("train", name, "--out", "run", "--config", "narrow.toml"), *words)
    assert everything(folder) == before
    assert sorted(path.name for path in folder.iterdir()) == sorted(before)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--horizon", "0"], "expected horizon of at least 1, got 0"),
        (["--window", "0"], "expected window of at least 1, got 0"),
        (["--window", "1000"], "expected enough steps for window=1000"),
        (["--horizon", "99999999"], "expected enough steps for window=6, lags=[24, 48, 72] and horizon=99999999"),
        (["--split", "0.5,0.5"], "expected a split of three fractions"),
        (["--split", "nan,0.2,0.8"], "expected split of at least 0, got"),
        (["--split", "a,b,c"], "expected split to be numbers such as"),
        (["--epochs", "0"], "expected epochs of at least 1"),
        (["--batch-size", "-1"], "expected batch_size of at least 1"),
        (["--precision", "16"], "expected precision out of auto, 32-true, bf16-mixed"),
        (["--seed", "-1"], "expected seed of at least 0"),
        (["--seed", "99999999999999999999"], "expected a seed below 2**64"),
        (["--device", "gpu7"], "expected device out of auto, cpu, cuda, mps"),
        (["--logger", "wandb"], "expected logger out of tensorboard, csv"),
        (["--loss-scale", "row"], "expected loss_scale out of channel, series"),
        (["--config", "none.toml"], "expected a TOML file at none.toml"),
        (["--start", "yesterday-ish", "--freq", "1h"], "expected a time such as"),
        (["--lags", "last week"], "expected lags to be whole numbers such as 24,168 or auto, got 'last week'"),
        (["--lags", "0"], "expected lags of at least 1"),
        (["--out", "d.npz"], "expected a folder to write to, got the file d.npz"),
        (["--out", "d.npz/run"], "expected to be able to write"),
        (["--out", "."], "holds other files"),
    ],
    ids=str,
)
def test_options_that_cannot_be_used_end_in_one_sentence(
    arguments: list[str], words: str, cli: Cli, folder: Path
) -> None:
    before = everything(folder)
    assert_refused(cli("train", "d.npz", "--out", "run", "--config", "narrow.toml", *arguments), words)
    assert everything(folder) == before
    assert sorted(path.name for path in folder.iterdir()) == sorted(before)


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("widow = 3", "expected settings out of window"),
        ('window = "a"', "expected window to be a whole number or auto, got 'a'"),
        ('split = ["0.6", "0.2", "0.2"]', "expected split to be numbers"),
        ('[training]\nepochs = "three"', "expected epochs to be a whole number or auto, got 'three'"),
        ("[training]\nepoch = 3", "expected training options out of epochs, batch_size"),
        ("[model]\nlayers = 3", "expected model options out of patch_length"),
        ("[model]\nn_heads = 7", "expected n_heads to divide the width"),
        ("[model]\ndropout = 2.0", "expected dropout to be a share below 1"),
        ("window = ", "expected TOML in bad.toml"),
    ],
)
def test_settings_that_cannot_be_used_end_in_one_sentence(toml: str, words: str, cli: Cli, folder: Path) -> None:
    (folder / "bad.toml").write_text(toml, encoding="utf-8")
    before = everything(folder)
    assert_refused(cli("train", "d.npz", "--out", "run", "--config", "bad.toml"), words)
    assert everything(folder) == before


def test_data_that_are_not_there_end_in_one_sentence(cli: Cli, folder: Path) -> None:
    assert_refused(cli("train", "none.csv", "--out", "run"), "none.csv", "no such file")
    assert_refused(cli("train", "deep/none", "--out", "run"), "deep/none", "no such file")
    assert_refused(cli("train", "metrla", "--out", "run"), "'metrla'", "data set of the catalogue", "metr-la?")
    assert_refused(cli("evaluate", "none"), "expected the folder of a run, but none")
    assert_refused(cli("info", "."), "has no config.json")
    assert not (folder / "run").exists()


def test_results_that_cannot_be_written_end_in_one_sentence(cli: Cli, run: Path) -> None:
    before = everything(run.parent)
    assert_refused(cli("forecast", "run", "--out", "f.xlsx"), "expected a file that ends in .csv or .parquet")
    assert_refused(cli("forecast", "run", "--out", "d.npz/f.csv"), "expected to be able to write")
    assert_refused(cli("evaluate", "run", "--json", "run"), "expected to be able to write")
    assert everything(run.parent) == before


def test_ctrl_c_while_training_keeps_and_writes_the_best_so_far(cli: Cli, folder: Path) -> None:
    before = signal.getsignal(signal.SIGINT)

    def interrupt() -> None:
        while signal.getsignal(signal.SIGINT) is before:
            time.sleep(0.01)
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    result = cli("train", "d.npz", "--out", "run", "--config", "narrow.toml", "--epochs", "100000")
    assert (result.code, result.out) == (130, "")
    assert result.err.splitlines()[-1].startswith("interrupted: ")
    metrics = read(folder / "run" / "metrics.json")
    assert metrics["interrupted"]
    assert metrics["best_epoch"] <= metrics["epochs"] < 100000


def test_ctrl_c_elsewhere_ends_without_a_traceback(cli: Cli, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(path: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("elinformer.data.io.read.read_panel", interrupt)
    result = cli("evaluate", "run")
    assert (result.code, result.out) == (130, "")
    assert "Traceback" not in result.err


@pytest.mark.slow
def test_the_command_as_its_own_process_is_quiet_and_fails_in_order(folder: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "elinformer", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    good = run("train", "d.npz", "--out", "run", "--config", "narrow.toml")
    assert good.returncode == 0
    assert all(line.startswith((*NOTES, "steps of 1h: 6 in, 3 out")) for line in good.stderr.splitlines())
    bad = run("train", "d.npz", "--out", "other", "--horizon", "0")
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr.splitlines()[-1] == "error: expected horizon of at least 1, got 0"
    assert sorted(path.name for path in folder.iterdir()) == ["d.npz", "narrow.toml", "run"]


def test_a_converted_panel_is_trained_on_and_forecast_from(cli: Cli, folder: Path) -> None:
    done = cli("convert", "d.npz", "panel")
    assert (done.code, done.err) == (0, "")
    assert "panel: Panel(d: 240 steps x 4 series x 1 channels, 1h, 2024-01-01T00:00 to" in done.out
    assert done.out.count("\n") == 1
    assert cli("train", "panel", "--out", "run", "--config", "narrow.toml").code == 0
    assert cli("train", "d.npz", "--out", "other", "--config", "narrow.toml").code == 0
    runs = [json.loads(Path(run, "metrics.json").read_text()) for run in ("run", "other")]
    assert runs[0]["test"] == runs[1]["test"]
    assert cli("evaluate", "run").code == 0
    assert cli("forecast", "run", "--out", "f.csv", "--data", "d.npz").code == 0
    assert cli("forecast", "other", "--out", "g.csv", "--data", "panel").code == 0
    pd.testing.assert_frame_equal(pd.read_csv("f.csv"), pd.read_csv("g.csv"))


def test_convert_says_how_a_file_is_to_be_read(cli: Cli, folder: Path) -> None:
    np.savez("plain.npz", data=[[1.0, 0], [2, 3], [4, 5], [6, 7]])
    options = ("--null-value", 0, "--start", "2024-01-01 06:00", "--freq", "1h", "--steps-per-day", 2)
    assert "87.5% observed" in cli("convert", "plain.npz", "panel", *options).out
    assert cli("convert", "d.npz", "panel").code == 2
    assert cli("convert", "d.npz", "panel", "--overwrite").code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("convert", "gone.csv", "out"), "gone.csv: no such file"),
        (("convert", "narrow.toml", "out"), "narrow.toml: expected .npz"),
        (("convert", "d.npz", "narrow.toml"), "expected a folder to write to, got the file narrow.toml"),
        (("convert", "d.npz", "."), "holds other files"),
        (("convert", "d.npz", "out", "--start", "soon"), "d.npz: expected a time such as"),
        (("train", "panel", "--out", "run", "--null-value", 0), "panel: expected no null_value for a panel on disk"),
    ],
)
def test_what_cannot_be_converted_is_refused_in_one_sentence(
    cli: Cli, folder: Path, arguments: tuple[object, ...], message: str
) -> None:
    cli("convert", "d.npz", "panel")
    done = cli(*arguments)
    assert done.code == 2
    assert message in done.err
    assert done.err.count("\n") == 1


def test_a_command_says_first_what_it_reads(cli: Cli, folder: Path) -> None:
    notes = cli("train", "d.npz", "--out", "run", "--config", "narrow.toml").notes
    assert notes[0] == "reading d.npz\n"
    assert notes[1].startswith("read Panel(d: 240 steps x 4 series")
    assert all(line.startswith("training ") for line in notes[2:])
    assert notes[-1].startswith("training 100 %: epoch 1/1, validation MAE")


def test_scores_are_printed_as_json_and_a_quiet_command_prints_nothing(cli: Cli, run: Path) -> None:
    assert json.loads(cli("evaluate", "run", "--json", "-").out)["test"]["mae"] > 0
    done = cli("forecast", "run", "--out", "f.csv", "--quiet")
    assert (done.code, done.out, done.err, done.notes) == (0, "", "", ())
    assert Path("f.csv").is_file()
    assert json.loads(cli("evaluate", "run", "--quiet", "--json", "-").out)["test"]["mae"] > 0


def test_a_normal_training_says_nothing_of_sharpness(cli: Cli, folder: Path) -> None:
    done = cli("train", "d.npz", "--out", "run", "--config", "narrow.toml", "--no-overwrite")
    assert done.code == 0
    assert "sharp" not in done.out + done.err


def test_every_help_has_an_example(cli: Cli) -> None:
    for command in EXAMPLES:
        assert "Example: elinformer" in cli(command.__name__.replace("_", "-"), "--help").out
