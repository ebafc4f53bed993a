"""A job: trained and scored as the forecaster does it, with all that a run says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from small_models import mean_before

from elinformer._files import write_json
from elinformer.comparison.job import Work, run_job
from elinformer.comparison.plan import Job
from elinformer.data.io.read import read_panel
from elinformer.data.reach import Reach, window_origins
from elinformer.data.windows import split_panel
from elinformer.errors import InputError
from elinformer.evaluation import Naive, score_naive
from elinformer.forecaster import Forecaster
from elinformer.training import TrainingConfig
from elinformer.workflows import open_run

MakeJob = Callable[..., Job]
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(make_job: MakeJob, folder: Path) -> Run:
    """Do a job here, and read what it writes."""

    def do(name: str, **options: Any) -> dict[str, Any]:
        job = make_job(name, **options)
        work = Work(job, "cpu", folder / f"checkpoints-{job.key}", folder / "trained", Console(stderr=True))
        write_json("run.json", run_job(work))
        return json.loads(Path("run.json").read_text())

    return do


def test_a_model_scores_as_the_forecaster_says(run: Run, narrow: dict[str, int]) -> None:
    found = run("elinformer", seed=1, options=narrow)
    panel = read_panel("d.npz")
    forecaster = Forecaster(6, 3, model=narrow, training=TrainingConfig(epochs=2, seed=1, device="cpu"))
    forecaster.fit(panel)
    expected: Any = forecaster.backtest().report(panel.channels)
    for scores, others in ((found["test"], expected), (found["test"]["by_horizon"]["3"], expected["by_horizon"]["3"])):
        assert [scores[name] for name in ("mae", "rmse", "mape", "count")] == pytest.approx(
            [others[name] for name in ("mae", "rmse", "mape", "count")], rel=1e-5
        )
    assert found["validation_mae"] == pytest.approx(forecaster.backtest(split="validation").scores().mae)
    assert found["parameters"] == forecaster.n_parameters
    assert (found["epochs"], found["best_epoch"]) == (2, forecaster.fit_result.best_epoch)


def test_the_trained_model_is_kept_and_knows_its_data(run: Run, narrow: dict[str, int]) -> None:
    found = run("elinformer", options=narrow)
    forecaster, panel = open_run("trained")
    kept: Any = forecaster.backtest(panel).report(panel.channels)
    assert kept["mae"] == pytest.approx(found["test"]["mae"])


def test_the_document_of_a_run_has_its_settings_and_costs(run: Run, narrow: dict[str, int]) -> None:
    found = run("elinformer", label="soft", options={**narrow, "attention": "softmax"}, seed=2)
    assert (found["data"], found["model"], found["name"], found["seed"]) == ("d", "soft", "elinformer", 2)
    assert found["options"] == {**narrow, "attention": "softmax"}
    assert found["terms"]["training"]["epochs"] == 2
    assert found["train_seconds"] > 0
    assert found["seconds_per_1000_forecasts"] > 0
    assert found["peak_memory_bytes"] >= found["import_memory_bytes"] > 1 << 24
    assert found["threads"] == torch.get_num_threads()
    assert found["device"] == "cpu"
    assert found["versions"]["torch"] == torch.__version__


def test_the_errors_by_block_add_up_to_the_scores(run: Run) -> None:
    found = run("contestants:Flat")
    blocks = found["blocks"]
    assert blocks["kind"] == "quarter of a day"
    assert np.sum(blocks["count"]) == found["test"]["count"]
    assert np.sum(blocks["absolute"]) / np.sum(blocks["count"]) == pytest.approx(found["test"]["mae"])
    assert np.sum(blocks["scaled"]) / np.sum(blocks["count"]) == pytest.approx(found["scaled_error"])


def test_the_scaled_error_is_in_the_scale_of_the_loss(run: Run) -> None:
    panel = read_panel("d.npz")
    deviation = np.nanstd(panel.values[:144])
    found = run("last_value")
    assert found["scaled_error"] == pytest.approx(found["test"]["mae"] / deviation, rel=1e-4)
    seasonal = run("last_value", training={"loss_scale": "seasonal"})
    assert seasonal["test"] == found["test"]
    assert seasonal["scaled_error"] != pytest.approx(found["scaled_error"], rel=0.1)


def naive_mae(period: int, part: str) -> float:
    panel, reach = read_panel("d.npz"), Reach(6, 3)
    parts = split_panel(panel, (0.6, 0.2, 0.2), reach)
    origins = window_origins(getattr(parts, part), reach)
    return score_naive(Naive("n", period), panel, origins, 3, mean_before(panel, parts.train[1])).scores().mae


def test_the_last_value_is_scored_without_training(run: Run) -> None:
    found = run("last_value")
    assert found["test"]["mae"] == naive_mae(1, "test")
    assert found["forecast"] == "last value"
    assert (found["parameters"], found["train_seconds"], found["epochs"]) == (0, 0.0, 0)


def test_the_season_is_the_one_that_errs_less_in_validation(run: Run, folder: Path) -> None:
    found = run("seasonal_naive")
    assert found["forecast"] == "same time yesterday"  # six days of training: a week does not fit
    weekly = np.tile(np.random.default_rng(0).normal(size=(168, 4)), (5, 1))
    np.savez("weekly.npz", data=weekly, timestamps_start="2024-01-01", freq="1h")
    found = run("seasonal_naive", data="weekly.npz")
    assert found["forecast"] == "same time last week"
    assert found["test"]["mae"] == 0.0


def test_seasonal_naive_needs_days(run: Run, folder: Path) -> None:
    np.savez("steps.npz", data=np.random.default_rng(0).normal(size=(240, 4)))
    with pytest.raises(InputError, match="time stamps, and a season of its steps"):
        run("seasonal_naive", data="steps.npz")


def test_lags_and_the_scale_of_the_loss_reach_the_model(run: Run, narrow: dict[str, int]) -> None:
    plain = run("elinformer", options=narrow, lags=[24])
    assert run("elinformer", options=narrow, lags=[24, 48])["parameters"] > plain["parameters"]
    assert run("elinformer", options=narrow, lags=[24], training={"loss_scale": "series"})["test"] != plain["test"]


def test_a_model_of_ones_own_that_fails_keeps_its_error(run: Run) -> None:
    with pytest.raises(RuntimeError, match="this model"):
        run("contestants:Broken")
