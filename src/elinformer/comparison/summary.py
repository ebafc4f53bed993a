"""Summary of the runs of a folder: means, paired differences, ranks."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from elinformer.comparison.plan import NAIVES
from elinformer.comparison.results import FORMAT, SCHEMA, is_done, kept, task_of
from elinformer.comparison.statistics import Errors, holm, mean_and_sd, paired_difference, ranks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from elinformer.comparison.plan import Document

REFERENCE = "elinformer"
STEPS = ("3", "6", "12")
METRICS = ("mae", "rmse", "mape")


def summarise(runs: Iterable[Document]) -> Document:
    """Return the document of `results.json`, apart from commands and date."""
    runs = list(runs)
    done = [run for run in runs if is_done(run)]
    by_data = {data: [run for run in done if run["data"] == data] for data in _distinct(done, "data")}
    summary = {data: _summary(found) for data, found in by_data.items()}
    tasks = {data: task_of(found[0]) for data, found in by_data.items()}
    return {
        "format": FORMAT,
        "schema": SCHEMA,
        "reference": REFERENCE,
        "data": tasks,
        "runs": [kept(run, tasks[run["data"]]) for run in done],
        "failed": [
            {name: run[name] for name in ("data", "model", "seed", "error")} for run in runs if not is_done(run)
        ],
        "summary": summary,
        "ranks": _mean_ranks(summary),
        "machines": _distinct(done, "machine"),
        "versions": _distinct(done, "versions"),
        "code": _distinct(done, "code"),
    }


def _distinct(runs: Sequence[Document], name: str) -> list[Any]:
    found: list[Any] = []
    for run in runs:
        if run[name] not in found:
            found.append(run[name])
    return found


def _summary(runs: Sequence[Document]) -> Document:
    """Return an entry for each model, in the order of the scaled error."""
    by_model = {model: [run for run in runs if run["model"] == model] for model in _distinct(runs, "model")}
    entries = {model: _entry(found) for model, found in by_model.items()}
    entries = dict(sorted(entries.items(), key=lambda item: item[1]["scaled_error_mean"]))
    for model, rank in ranks({model: entry["scaled_error_mean"] for model, entry in entries.items()}).items():
        entries[model]["rank"] = rank
    for model, difference in _differences(by_model).items():
        entries[model]["against_reference"] = difference
    return entries


def _entry(runs: Sequence[Document]) -> Document:
    tests = [run["test"] for run in runs]
    steps = [step for step in STEPS if step in tests[0]["by_horizon"]]
    memory = [run["peak_memory_bytes"] for run in runs if run["peak_memory_bytes"] is not None]
    return {
        "seeds": [run["seed"] for run in runs],
        **_means(tests),
        **_mean("scaled_error", [run["scaled_error"] for run in runs]),
        **_mean("validation_mae", [run["validation_mae"] for run in runs]),
        **_mean("validation_scaled_error", [run["validation_scaled_error"] for run in runs]),
        "by_horizon": {step: _means([test["by_horizon"][step] for test in tests]) for step in steps},
        "by_channel": {name: _means([test["by_channel"][name] for test in tests]) for name in tests[0]["by_channel"]},
        "parameters": runs[0]["parameters"],
        **_mean("train_seconds", [run["train_seconds"] for run in runs]),
        **_mean("best_epoch", [run["best_epoch"] for run in runs]),
        "epochs": runs[0]["epochs"],
        **_mean("seconds_per_1000_forecasts", [run["seconds_per_1000_forecasts"] for run in runs]),
        "peak_memory_bytes": max(memory, default=None),
        "import_memory_bytes": runs[0]["import_memory_bytes"],
        "against_reference": None,
    }


def _means(reports: Sequence[Document]) -> Document:
    return {name: value for metric in METRICS for name, value in _mean(metric, [r[metric] for r in reports]).items()}


def _mean(name: str, values: Sequence[float | None]) -> Document:
    """Return mean and standard deviation over the seeds; None where a seed has no value."""
    known = [value for value in values if value is not None]
    mean, deviation = mean_and_sd(known) if known and len(known) == len(values) else (None, None)
    return {f"{name}_mean": mean, f"{name}_sd": deviation}


def _differences(by_model: dict[str, list[Document]]) -> dict[str, Document]:
    """Return paired differences from the reference, with p values corrected for their number."""
    if REFERENCE not in by_model:
        return {}
    reference = _errors(by_model[REFERENCE])
    found = {
        model: paired_difference(_matched(_errors(runs), runs[0], reference), reference)
        for model, runs in by_model.items()
        if model != REFERENCE
    }
    adjusted = holm({model: difference.p for model, difference in found.items()})
    return {model: {**asdict(difference), "p_holm": adjusted[model]} for model, difference in found.items()}


def _errors(runs: Sequence[Document]) -> Errors:
    sums = np.array([run["blocks"]["scaled"] for run in runs])
    return Errors(tuple(run["seed"] for run in runs), sums, np.array(runs[0]["blocks"]["count"]))


def _matched(errors: Errors, run: Document, reference: Errors) -> Errors:
    """Repeat the run of a forecast without training for each seed of the reference."""
    if run["name"] not in NAIVES:
        return errors
    return replace(errors, seeds=reference.seeds, sums=np.repeat(errors.sums[:1], len(reference.seeds), axis=0))


def _mean_ranks(summary: Document) -> Document:
    """Return the mean rank of every model over its data sets, the best first."""
    found: dict[str, list[float]] = {}
    for entries in summary.values():
        for model, entry in entries.items():
            found.setdefault(model, []).append(entry["rank"])
    means = {model: {"mean_rank": float(np.mean(values)), "data_sets": len(values)} for model, values in found.items()}
    return dict(sorted(means.items(), key=lambda item: item[1]["mean_rank"]))
