"""Tasks and jobs: what is asked for, in which order, and what makes two runs comparable."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elinformer.comparison.plan import Contender, Job, make_jobs, make_tasks
from elinformer.errors import InputError

SMALL = {"window": 6, "horizon": 3}
MakeJob = Callable[..., Job]


def test_the_catalogue_is_weaker_than_settings_for_all_and_those_than_its_own(folder: Path) -> None:
    (task,) = make_tasks(["d.npz@window=5"], [{"window": 6, "horizon": 3}, {"horizon": 2}])
    assert (task.settings.window, task.settings.horizon) == (5, 2)
    (task,) = make_tasks(["NYC-airports"])
    assert (task.label, task.settings.window, task.training(0).loss_scale) == ("nyc-airports", 24, "seasonal")
    (task,) = make_tasks(["nyc-airports@window=12"], [{"training": {"epochs": 2}}])
    assert (task.settings.window, task.training(0).epochs, task.training(0).loss_scale) == (12, 2, "seasonal")


@pytest.mark.parametrize(
    ("data", "changes", "words"),
    [
        ([], {}, "at least one data set, got none"),
        (["nowhere.npz"], {}, "no such file"),
        (["d.npz", "./d.npz"], {}, "'d' twice: add @name=..."),
        (["d.npz@name=a b"], {}, "a data set's name of letters"),
        (["d.npz"], {"model": {"n_layers": 2}}, r"\[models.NAME\]"),
        (["d.npz"], {"training": {"epoch": 2}}, "training options out of epochs"),
        (["d.npz"], {"training": {"epochs": 0}}, "epochs of at least 1"),
        (["d.npz"], {"window": 500}, "shorten them"),
        (["d.npz"], {"split": [0.8, 0.2, 0.0]}, "a test part of d"),
    ],
)
def test_data_and_settings_that_cannot_be_used_are_refused_before_anything_is_trained(
    folder: Path, data: list[str], changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        make_tasks(data, [SMALL, changes])


def test_two_files_of_one_name_can_be_told_apart(folder: Path) -> None:
    tasks = make_tasks(["d.npz", "d.npz@name=again"], [SMALL])
    assert [task.label for task in tasks] == ["d", "again"]
    assert tasks[0].fingerprint == tasks[1].fingerprint


def test_the_terms_of_a_run_are_its_data_and_settings_and_not_where_it_runs(make_job: MakeJob, folder: Path) -> None:
    terms = make_job("stid").task.terms
    assert make_job("stid", training={"device": "cpu", "logger": "csv"}).task.terms == terms
    assert make_job("stid", training={"epochs": 3}).task.terms != terms
    np.savez("e.npz", data=np.ones((240, 4)), timestamps_start="2024-01-01", freq="1h")
    assert make_job("stid", data="e.npz").task.terms["fingerprint"] != terms["fingerprint"]


def test_a_job_is_the_same_after_a_way_through_json(make_job: MakeJob) -> None:
    job = make_job("elinformer", label="wide", seed=3, options={"window_width": 96}, lags=[24])
    again = Job.from_document(json.loads(json.dumps(job.to_document())))
    assert again == job
    assert again.key == job.key


@pytest.mark.parametrize("change", [{"seed": 1}, {"options": {"n_layers": 2}}, {"window": 5}])
def test_other_jobs_have_other_checkpoints(make_job: MakeJob, change: dict[str, Any]) -> None:
    assert make_job("elinformer", **change).key != make_job("elinformer").key


def test_jobs_go_seed_by_seed_and_naive_forecasts_have_one(make_job: MakeJob) -> None:
    task = make_job("stid").task
    contenders = [Contender("stid", "stid", {}), Contender("last_value", "last_value", {})]
    places = [job.place[1:] for job in make_jobs([task], contenders, [4, 5])]
    assert places == [("stid", 4), ("last_value", 4), ("stid", 5)]
