"""From runs to tables: means, differences, ranks, and what has to be said beside them."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import numpy as np
import pytest
from made_runs import run
from rich.console import Console

from elinformer.comparison.display import markdown, notes, rich_table, sheets
from elinformer.comparison.summary import summarise


def runs(**options: Any) -> list[dict[str, Any]]:
    errors = {"elinformer": (1.0, 1.2), "stid": (2.0, 2.4), "linear": (0.5, 0.6)}
    found = [run(model, seed, error, **options) for model, both in errors.items() for seed, error in enumerate(both)]
    return [*found, run("last_value", 0, 3.3, **options)]


def results(found: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    made = {"missing": [], "commands": ["elinformer compare metro.npz"], "quick": False, "date": "2026-01-02"}
    return {**summarise(found), **made, **changes}


def test_the_summary_has_means_and_standard_deviations_over_the_seeds() -> None:
    entry = summarise(runs())["summary"]["metro"]["elinformer"]
    assert entry["mae_mean"] == pytest.approx(11.0)
    assert entry["mae_sd"] == pytest.approx(np.std([10, 12], ddof=1))
    assert entry["rmse_mean"] == pytest.approx(22.0)
    assert entry["mape_sd"] == pytest.approx(np.std([100, 120], ddof=1))
    assert list(entry["by_horizon"]) == ["3", "6"]
    assert entry["by_horizon"]["3"]["mae_mean"] == pytest.approx(14.0)
    assert entry["train_seconds_mean"] == pytest.approx(60.5)
    assert entry["seeds"] == [0, 1]


def test_the_results_have_the_form_that_was_agreed_on_and_are_json() -> None:
    found = json.loads(json.dumps(results(runs()), allow_nan=False))
    first = found["runs"][0]
    assert (first["data"], first["model"], first["seed"]) == ("metro", "elinformer", 0)
    assert {"mae", "rmse", "mape", "by_horizon", "by_channel"} <= set(first["test"])
    assert {"train_seconds", "parameters", "best_epoch", "validation_mae", "peak_memory_bytes"} <= set(first)
    assert {"mae_mean", "mae_sd"} <= set(found["summary"]["metro"]["stid"])
    assert "scaled" in first["blocks"]
    assert not {"terms", "source", "settings"} & set(first), "what stands once for all, or is of the machine"
    assert "somewhere" not in json.dumps(found)


def test_models_are_ranked_by_their_scaled_error() -> None:
    summary = summarise(runs())["summary"]["metro"]
    assert list(summary) == ["linear", "elinformer", "stid", "last_value"]
    assert [entry["rank"] for entry in summary.values()] == [1, 2, 3, 4]


def test_differences_are_from_the_reference_and_corrected_for_their_number() -> None:
    summary = summarise(runs())["summary"]["metro"]
    assert summary["elinformer"]["against_reference"] is None
    found = summary["stid"]["against_reference"]
    assert [found["relative"], found["low"], found["high"]] == pytest.approx([1.0, 1.0, 1.0])
    assert (found["seeds"], found["blocks"]) == (2, 8)
    assert found["p_holm"] == pytest.approx(3 * found["p"])


def test_what_is_not_trained_stands_beside_every_seed() -> None:
    found = summarise(runs())["summary"]["metro"]["last_value"]["against_reference"]
    assert found["seeds"] == 2
    assert found["relative"] == pytest.approx(3.3 / 1.1 - 1)


def test_without_the_reference_there_are_no_differences() -> None:
    found = results([run for run in runs() if run["model"] != "elinformer"])
    assert all(entry["against_reference"] is None for entry in found["summary"]["metro"].values())
    assert not any("% of error" in sheet.title for sheet in sheets(found))


def test_ranks_are_averaged_over_the_data_sets_a_model_was_run_on() -> None:
    other = [run("stid", 0, 1.0, data="roads"), run("elinformer", 0, 2.0, data="roads")]
    ranks = summarise([*runs(), *other])["ranks"]
    assert ranks["elinformer"] == {"mean_rank": 2.0, "data_sets": 2}
    assert ranks["stid"] == {"mean_rank": 2.0, "data_sets": 2}
    assert ranks["linear"] == {"mean_rank": 1.0, "data_sets": 1}
    assert next(iter(ranks)) == "linear"


def test_a_score_that_could_not_be_told_is_none_and_a_dash() -> None:
    broken = run("stid", 0, 1.0)
    broken["test"]["mape"] = None
    found = results([run("elinformer", 0, 1.0), broken])
    assert found["summary"]["metro"]["stid"]["mape_mean"] is None
    assert "-" in next(row for row in next(sheets(found)).rows if row[0] == "stid")


def test_a_folder_without_runs_has_empty_results() -> None:
    found = results([])
    assert (found["runs"], found["summary"], found["ranks"]) == ([], {}, {})
    assert markdown(found).startswith("# Comparison")


def test_runs_that_failed_and_are_missing_are_named_and_nowhere_counted() -> None:
    failed = {"data": "metro", "model": "big", "seed": 0, "error": "killed by SIGKILL", "terms": {}}
    missing = [{"data": "metro", "model": "slow", "seed": 1}]
    found = results([*runs(), failed], missing=missing, quick=True)
    said = " ".join(notes(found))
    for words in ("failed: metro big seed 0: killed by SIGKILL", "metro slow seed 1", "too few epochs"):
        assert words in said
        assert words in markdown(found)
    assert "big" not in found["summary"]["metro"]


def test_a_difference_over_one_seed_is_told() -> None:
    assert not any("one seed" in note for note in notes(results(runs())))
    found = notes(results([*runs(), run("dlinear", 1, 5.0)]))
    assert found == ["one seed: intervals and p are over days alone, so they are too narrow, for metro dlinear"]


def test_runs_of_other_code_and_of_other_machines_are_told() -> None:
    other = run("dlinear", 0, 1.0, code="def", machine={"processor": "another", "cores": 8, "system": "Linux"})
    said = " ".join(notes(results([*runs(), other])))
    assert "2 states of the library's code" in said
    assert "2 machines: their times do not compare" in said


@pytest.mark.parametrize("channels", [1, 2])
def test_the_tables_fit_into_a_terminal_of_80_columns(channels: int) -> None:
    text = StringIO()
    console = Console(file=text, width=80)
    for sheet in sheets(results(runs(channels=channels))):
        console.print(rich_table(sheet))
    assert "…" not in text.getvalue()
    for words in ("metro: test MAE", "11 ± 1.4", "+100.0", "12,345", "20 of 30"):
        assert words in text.getvalue()
    assert ("speed" in text.getvalue()) == (channels == 2)


def test_the_page_has_every_score_at_every_step_with_its_deviation() -> None:
    page = markdown(results(runs()))
    assert "Made by `elinformer compare metro.npz`." in page
    assert "a processor, 2 cores, Linux." in page
    assert "| model | MAE 3 | MAE 6 | MAE all | RMSE 3 |" in page
    assert "| elinformer | 14 ± 1.4 | 17 ± 1.4 | 11 ± 1.4 | 28 ± 2.8 |" in page
