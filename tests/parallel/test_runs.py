"""Runs that several ranks train: the same scores, one writer, and an end for all when one dies."""

from __future__ import annotations

import json
import os
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

STARTER = Path(__file__).parent / "runs.py"
WITHOUT_DROPOUT = NARROW | {"dropout": 0.0, "calendar_dropout": 0.0}
TRAINING = {"epochs": 4, "batch_size": 15, "checkpoint_steps": 3, "device": "cpu"}

MESHES = {"series": (2, 2), "windows": (2, 1), "both": (4, 2)}
"""Ranks, and how many of them share the series of a window."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs of this file, by their names, and what was said in them, in `NAME.json`."""
    folder = tmp_path_factory.mktemp("runs")
    _write_data(folder / "hours.csv")
    jobs = [_job(folder, "alone", 1, 1)]
    jobs += [_job(folder, name, *mesh) for name, mesh in MESHES.items()]
    jobs += [_job(folder, "killed", 2, 2, kill=1), _job(folder, "killed", 3, 3, log="resumed", resume=True)]
    jobs += [_job(folder, "dropout", 2, 2, model=NARROW), _job(folder, "too_many", 4, 4, data=_two_series(folder))]
    (folder / "jobs.json").write_text(json.dumps(jobs), encoding="utf-8")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, str(STARTER), str(folder / "jobs.json")], env=environment, timeout=300, check=True)
    return folder


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
    values[150:, -1] = np.nan  # a series that falls silent
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
def test_scores_of_ranks_are_those_of_one_process(folder: Path, name: str) -> None:
    alone, ranks = scores(folder, "alone"), scores(folder, name)
    assert set(log_of(folder, name)["codes"]) == {0}
    for part in ("test", "validation"):
        assert ranks[part]["count"] == alone[part]["count"]
        for score in ("mae", "rmse", "mape"):
            assert ranks[part][score] == pytest.approx(alone[part][score], rel=1e-5)
    assert ranks["naive"] == alone["naive"]
    assert ranks["best_epoch"] == alone["best_epoch"]


@pytest.mark.parametrize("name", MESHES)
def test_the_run_of_ranks_holds_the_whole_model(folder: Path, name: str) -> None:
    alone, ranks = (load_file(folder / run / "model.safetensors") for run in ("alone", name))
    assert ranks.keys() == alone.keys()
    for key, weight in alone.items():
        np.testing.assert_allclose(ranks[key], weight, atol=1e-4, err_msg=key)


def test_only_the_first_rank_writes_and_speaks(folder: Path) -> None:
    files = {path.name for path in (folder / "both").iterdir()}
    assert files == {"config.json", "metrics.json", "model.safetensors", "panel.json", "scaler.safetensors"}
    assert not any(log_of(folder, "both")["said"][1:])


def test_a_killed_rank_ends_the_run_everywhere_with_its_reason(folder: Path) -> None:
    log = log_of(folder, "killed")
    assert log["codes"] == [2, -9]
    assert log["seconds"] < 60
    assert "another one ended" in log["said"][0]
    assert "--resume" in log["said"][0]


def test_a_run_goes_on_with_another_number_of_ranks(folder: Path) -> None:
    log, alone, resumed = log_of(folder, "resumed"), scores(folder, "alone"), scores(folder, "killed")
    assert log["codes"] == [0, 0, 0]
    assert "going on from step" in log["said"][0]
    assert resumed["test"]["mae"] == pytest.approx(alone["test"]["mae"], rel=1e-5)
    assert resumed["test"]["count"] == alone["test"]["count"]


def test_ranks_train_with_dropout(folder: Path) -> None:
    assert log_of(folder, "dropout")["codes"] == [0, 0]
    assert scores(folder, "dropout")["test"]["mae"] < 2 * scores(folder, "alone")["test"]["mae"]


def test_more_ranks_than_series_are_refused(folder: Path) -> None:
    log = log_of(folder, "too_many")
    assert log["codes"] == [2] * 4
    assert "at least one series a rank" in log["said"][0]
