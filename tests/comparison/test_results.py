"""The folder of a comparison: what is done stays, and nothing is mixed or lost in silence."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_runs import run

from elinformer._files import write_json
from elinformer.comparison.plan import Job
from elinformer.comparison.results import FORMAT, SCHEMA, ResultsFolder, is_done
from elinformer.comparison.summary import summarise
from elinformer.data.io.read import read_panel
from elinformer.data.panel import Panel
from elinformer.errors import InputError

MakeJob = Callable[..., Job]


@pytest.fixture
def store(folder: Path) -> ResultsFolder:
    return ResultsFolder(folder / "out")


def finish(store: ResultsFolder, job: Job) -> None:
    write_json(store.path(job), {**job.to_document(), "test": {}})


def test_what_is_done_is_not_to_do(store: ResultsFolder, make_job: MakeJob) -> None:
    jobs = [make_job("stid", seed=seed) for seed in range(3)]
    finish(store, jobs[1])
    assert store.todo(jobs) == [jobs[0], jobs[2]]
    assert store.path(jobs[1]) == store.folder / "runs" / "d" / "stid" / "seed-1.json"


def test_what_failed_is_to_do_again(store: ResultsFolder, make_job: MakeJob) -> None:
    job = make_job("stid")
    store.write_failure(job, "out of luck", 3.0)
    assert not is_done(store.read(job))
    assert store.todo([job]) == [job]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"training": {"epochs": 5}}, "training.epochs 5 in place of 2"),
        ({"window": 5}, "window 5 in place of 6"),
        ({"options": {"n_layers": 1}}, "model ['stid', {'n_layers': 1}] in place of ['stid', {}]"),
        ({"window": 5, "horizon": 2}, "horizon 2 in place of 3; window 5 in place of 6"),
    ],
)
def test_a_run_under_other_settings_differs(
    store: ResultsFolder, make_job: MakeJob, changes: dict[str, Any], words: str
) -> None:
    finish(store, make_job("stid"))
    (found,) = store.differing([make_job("stid", **changes)])
    assert (found.path, found.run, found.what) == (store.path(make_job("stid")), "d stid seed 0", words)


def test_a_run_of_another_model_on_the_same_data_differs_by_its_settings_and_not_by_its_options(
    store: ResultsFolder, make_job: MakeJob
) -> None:
    finish(store, make_job("stid", options={"n_layers": 1}))
    assert store.differing([make_job("dlinear")]) == []
    assert [found.what for found in store.differing([make_job("dlinear", horizon=2)])] == ["horizon 2 in place of 3"]


def test_more_models_seeds_and_data_may_be_added(store: ResultsFolder, make_job: MakeJob) -> None:
    finish(store, make_job("stid"))
    more = [make_job("dlinear"), make_job("stid", seed=1), make_job("stid", data="d.npz@name=e,window=5")]
    assert store.differing(more) == []
    assert store.todo(more) == more


def test_runs_of_a_model_with_other_defaults_are_not_mixed_with_those_of_now(
    store: ResultsFolder, make_job: MakeJob
) -> None:
    job = make_job("elinformer")
    document = {**job.to_document(), "test": {}}
    write_json(store.path(job), document)
    assert store.differing([job]) == []
    document["defaults"]["n_heads"] = 4
    write_json(store.path(job), document)
    (found,) = store.differing([job])
    assert found.what == "defaults.n_heads 8 in place of 4"


def test_what_a_killed_comparison_left_is_taken_away_where_the_run_is_done(
    store: ResultsFolder, make_job: MakeJob
) -> None:
    job = make_job("stid")
    finish(store, job)
    store.job_file(job).write_text("{}")
    store.log(job).write_text("")
    store.checkpoints(job).mkdir()
    store.todo([job])
    assert [path.name for path in store.path(job).parent.iterdir()] == ["seed-0.json"]


def test_names_that_are_no_file_names_have_a_folder(store: ResultsFolder, make_job: MakeJob) -> None:
    assert store.path(make_job("contestants:Flat")).parent.name == "contestants-Flat"


def test_a_folder_of_something_else_is_refused(folder: Path) -> None:
    (folder / "other").mkdir()
    (folder / "other" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"expected an empty folder or a comparison, but .* holds other files"):
        ResultsFolder(folder / "other")
    with pytest.raises(InputError, match="expected a folder to write to, got the file"):
        ResultsFolder(folder / "d.npz")


@pytest.mark.parametrize("document", [{"a": 1}, {"format": FORMAT, "schema": SCHEMA + 1}])
def test_results_of_something_else_or_of_a_newer_version_are_refused(folder: Path, document: dict[str, Any]) -> None:
    write_json(folder / "out" / "results.json", document)
    with pytest.raises(InputError, match="expected a comparison of this version"):
        ResultsFolder(folder / "out")


def whole_run(job: Job, error: float = 1.0) -> dict[str, Any]:
    """The file of a run that results are made of."""
    return run(job.contender.label, job.seed, error) | job.to_document()


def test_results_alone_are_enough_to_go_on_from(folder: Path, store: ResultsFolder, make_job: MakeJob) -> None:
    jobs = [make_job("elinformer", seed=seed) for seed in range(2)] + [make_job("stid", data="d.npz@name=e,window=5")]
    for number, job in enumerate(jobs):
        write_json(store.path(job), whole_run(job, 1.0 + number / 3))
    results = summarise(store.runs())
    write_json(folder / "copy" / "results.json", results)
    copy = ResultsFolder(folder / "copy")
    assert copy.restore() == 3
    assert summarise(copy.runs()) == results
    assert copy.todo([*jobs, make_job("stid")]) == [make_job("stid")]
    assert copy.differing(jobs) == []
    (found,) = copy.differing([make_job("stid", data="d.npz@name=e,window=4")])
    assert found.what == "window 4 in place of 5"


def test_what_is_removed_from_a_folder_is_not_brought_back(store: ResultsFolder, make_job: MakeJob) -> None:
    jobs = [make_job("stid", seed=seed) for seed in range(2)]
    for job in jobs:
        write_json(store.path(job), whole_run(job))
    write_json(store.folder / "results.json", summarise(store.runs()))
    store.path(jobs[0]).unlink()
    assert store.restore() == 0
    assert store.todo(jobs) == jobs[:1]


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": "0/../../../evil"},
        {"seed": -1},
        {"model": "../evil"},
        {"data": "other"},
        {"model": 3},
        {"blocks": None},
    ],
    ids=str,
)
def test_runs_that_name_no_place_in_the_folder_are_refused(
    folder: Path, make_job: MakeJob, changes: dict[str, Any]
) -> None:
    results = summarise([whole_run(make_job("stid"))])
    results["runs"][0] = {name: x for name, x in (results["runs"][0] | changes).items() if x is not None}
    write_json(folder / "copy" / "results.json", results)
    with pytest.raises(InputError, match=r"expected runs of a data set of this results\.json"):
        ResultsFolder(folder / "copy").restore()
    assert [path.name for path in (folder / "copy").iterdir()] == ["results.json"]


def test_results_whose_runs_were_lost_are_restored_too(store: ResultsFolder, make_job: MakeJob) -> None:
    job = make_job("stid")
    write_json(store.folder / "results.json", summarise([whole_run(job)]))
    (store.folder / "runs" / "d").mkdir(parents=True)
    assert store.restore() == 1
    assert store.todo([job]) == []


def test_runs_of_other_terms_than_the_first_keep_theirs(folder: Path, make_job: MakeJob) -> None:
    runs = [whole_run(make_job("stid", seed=seed)) for seed in range(2)]
    del runs[1]["terms"]["training"]["precision"]  # of an older version
    write_json(folder / "copy" / "results.json", summarise(runs))
    copy = ResultsFolder(folder / "copy")
    copy.restore()
    assert [run["terms"] for run in copy.runs()] == [run["terms"] for run in runs]


def test_where_the_data_lay_is_not_kept_of_a_run(store: ResultsFolder, make_job: MakeJob) -> None:
    assert str(store.folder.parent) not in str(summarise([whole_run(make_job("stid"))]))


def test_a_second_comparison_in_the_same_folder_is_refused_until_the_first_is_gone(store: ResultsFolder) -> None:
    code = f"""
from elinformer.comparison.results import ResultsFolder
with ResultsFolder({str(store.folder)!r}).locked():
    print("in", flush=True)
    input()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True) as other:
        assert other.stdin
        assert other.stdout
        assert other.stdout.readline() == "in\n"
        with pytest.raises(InputError, match="expected no other comparison to run"), store.locked():
            pass
        other.kill()
    with store.locked():
        pass


def test_a_panel_is_kept_for_the_workers_and_written_once(store: ResultsFolder, hourly_panel: Panel) -> None:
    path = store.keep(hourly_panel)
    written = {file: file.stat().st_mtime_ns for file in path.iterdir()}
    assert store.keep(hourly_panel) == path
    assert {file: file.stat().st_mtime_ns for file in path.iterdir()} == written
    assert read_panel(path).series == hourly_panel.series
    ResultsFolder(store.folder)  # is no folder of something else
