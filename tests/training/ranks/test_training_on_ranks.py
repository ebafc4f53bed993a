"""Training on several ranks: the scores of one process, one writer, and one end for all ranks."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file
from small_models import NARROW

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parent / "train_on_ranks.py"
WITHOUT_DROPOUT = NARROW | {"dropout": 0.0}
TRAINING = {"epochs": 4, "batch_size": 15, "checkpoint_minutes": 0, "device": "cpu", "precision": "32-true"}

MESHES = {"series": (2, 2), "windows": (2, 1), "both": (4, 2)}
"""Number of ranks, and number of ranks that share the series of a window."""

RANDOM_RUNS = {
    "dropout": ((2, 2), {"epochs": 3}),
    "dropout_and_partitions": ((2, 1), {"epochs": 3, "series_at_once": 4}),
}
"""Runs whose weights depend on random numbers of the ranks: their meshes, and options of training."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of all runs of this file by their names, with a log of each run in `NAME.json`."""
    folder = tmp_path_factory.mktemp("runs")
    _write_data(folder / "hours.csv")
    jobs = [_job(folder, "one_process", 1, 1)]
    jobs += [_job(folder, name, *mesh) for name, mesh in MESHES.items()]
    jobs += [_job(folder, "killed", 4, 2, signal=["SIGKILL", 3])]
    jobs += [_job(folder, "killed", 3, 3, log="resumed", resume=True)]
    jobs += [job for name in RANDOM_RUNS for job in _random_jobs(folder, name)]
    jobs += [_job(folder, "too_many", 4, 4, data=_two_series(folder))]
    (folder / "jobs.json").write_text(json.dumps(jobs), encoding="utf-8")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, str(SCRIPT), str(folder / "jobs.json")], env=environment, timeout=600, check=True)
    return folder


def _random_jobs(folder: Path, name: str) -> list[dict[str, Any]]:
    """Return an uninterrupted run with dropout, and the same run killed, then terminated, then resumed to the end."""
    (world, series_parallel), training = RANDOM_RUNS[name]
    uninterrupted = _job(folder, name, world, series_parallel, model=NARROW, training=TRAINING | training)
    interrupted = uninterrupted | {"out": str(folder / f"{name}_interrupted")}
    ends = {"killed": {"signal": ["SIGKILL", 0]}, "terminated": {"signal": ["SIGTERM", 1]}, "resumed": {}}
    return [
        uninterrupted,
        *(
            interrupted | changes | {"resume": end != "killed", "log": str(folder / f"{name}_{end}.json")}
            for end, changes in ends.items()
        ),
    ]


def _job(folder: Path, out: str, world: int, series_parallel: int, **other: Any) -> dict[str, Any]:
    log = folder / f"{other.pop('log', out)}.json"
    job = {"world": world, "series_parallel": series_parallel, "out": str(folder / out), "log": str(log)}
    job |= {"data": str(folder / "hours.csv"), "model": WITHOUT_DROPOUT, "training": TRAINING, "resume": False}
    return job | other


def _write_data(path: Path, n_series: int = 7) -> None:
    rng = np.random.default_rng(0)
    wave = np.sin(2 * np.pi * np.arange(240) / 24)[:, None]
    values = np.arange(1, n_series + 1) * (3 + wave + 0.1 * rng.normal(size=(240, n_series)))
    values[rng.random(values.shape) < 0.1] = np.nan
    values[150:, -1] = np.nan  # a series without later observations
    times = pd.date_range("2024-01-01", periods=240, freq="h", name="time")
    pd.DataFrame(values, index=times, columns=[f"s{i}" for i in range(n_series)]).to_csv(path)


def _two_series(folder: Path) -> str:
    _write_data(folder / "two.csv", n_series=2)
    return str(folder / "two.csv")


def log_of(folder: Path, name: str) -> dict[str, Any]:
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


def scores(folder: Path, name: str) -> Mapping[str, Any]:
    return json.loads((folder / name / "metrics.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", MESHES)
def test_ranks_reach_the_scores_of_one_process(folder: Path, name: str) -> None:
    expected, ranks = scores(folder, "one_process"), scores(folder, name)
    assert set(log_of(folder, name)["codes"]) == {0}
    for split in ("test", "validation"):
        assert ranks[split]["count"] == expected[split]["count"]
        for score in ("mae", "rmse", "mape"):
            assert ranks[split][score] == pytest.approx(expected[split][score], rel=1e-5)
    assert ranks["naive"] == expected["naive"]
    for name_of_value in ("best_epoch", "sharpness"):
        assert ranks[name_of_value] == expected[name_of_value]


@pytest.mark.parametrize("file", ["model.safetensors", "refit.safetensors"])
@pytest.mark.parametrize("name", MESHES)
def test_the_run_of_ranks_holds_the_whole_model(folder: Path, name: str, file: str) -> None:
    expected, ranks = (load_file(folder / run / file) for run in ("one_process", name))
    assert ranks.keys() == expected.keys()
    for key, weight in expected.items():
        np.testing.assert_allclose(ranks[key], weight, atol=1e-4, err_msg=key)


def test_only_the_first_rank_writes_files_and_messages(folder: Path) -> None:
    files = {path.name for path in (folder / "both").iterdir()}
    assert files == {
        "calibration.safetensors",
        "config.json",
        "metrics.json",
        "model.safetensors",
        "panel.json",
        "refit.safetensors",
        "scaler.safetensors",
    }
    assert not any(log_of(folder, "both")["messages"][1:])


def test_a_killed_rank_ends_all_ranks_with_an_explanation(folder: Path) -> None:
    log = log_of(folder, "killed")
    assert log["codes"] == [2, 2, 2, -9]
    assert log["seconds"] < 60
    for messages in log["messages"][:3]:
        assert "another rank ended" in messages
        assert "--resume" in messages


def test_a_run_resumes_on_another_number_of_ranks(folder: Path) -> None:
    log, expected, resumed = log_of(folder, "resumed"), scores(folder, "one_process"), scores(folder, "killed")
    assert log["codes"] == [0, 0, 0]
    assert "resuming at step" in log["messages"][0]
    assert re.search(r"random numbers .* 2 x 2 .* 1 x 3\n", log["messages"][0])
    assert resumed["test"]["mae"] == pytest.approx(expected["test"]["mae"], rel=1e-5)
    assert resumed["test"]["count"] == expected["test"]["count"]


@pytest.mark.parametrize("name", RANDOM_RUNS)
def test_ranks_train_with_dropout(folder: Path, name: str) -> None:
    assert log_of(folder, name)["codes"] == [0, 0]
    assert scores(folder, name)["test"]["mae"] < 2 * scores(folder, "one_process")["test"]["mae"]


@pytest.mark.parametrize("name", RANDOM_RUNS)
def test_ranks_killed_and_terminated_end_with_the_same_weights(folder: Path, name: str) -> None:
    killed, resumed = (log_of(folder, f"{name}_{end}") for end in ("killed", "resumed"))
    assert killed["codes"] == [-9, 2]
    assert killed["seconds"] < 60
    assert "another rank ended" in killed["messages"][1]
    assert resumed["codes"] == [0, 0]
    assert "random numbers" not in resumed["messages"][0]
    weights, resumed_weights = (folder / run / "model.safetensors" for run in (name, f"{name}_interrupted"))
    assert weights.read_bytes() == resumed_weights.read_bytes()


@pytest.mark.parametrize("name", RANDOM_RUNS)
def test_terminating_one_rank_ends_all_ranks_with_a_checkpoint(folder: Path, name: str) -> None:
    log = log_of(folder, f"{name}_terminated")
    assert log["codes"] == [143, 143]
    first, second = (messages.strip() for messages in log["messages"])
    step = re.search(r"ended by SIGTERM after step (\d+) of \d+: .*--resume .*interrupted`$", first)
    assert step is not None
    assert not second
    assert f"resuming at step {step[1]} of" in log_of(folder, f"{name}_resumed")["messages"][0]


def test_more_ranks_than_series_are_refused(folder: Path) -> None:
    log = log_of(folder, "too_many")
    assert log["codes"] == [2] * 4
    assert "at least one series for each rank" in log["messages"][0]
