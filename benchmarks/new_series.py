"""Compare series that were added by their history with the same series in training.

    python -m benchmarks.new_series ../shared/data --runs RUNS

A fifth of the series of each set is held out, drawn with a fixed seed. One model is trained on the others, and one on
all. The first gets the history of all series up to the test part. Trained models are kept in RUNS: a finished one is
not trained again, and an interrupted one resumes.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from benchmarks._common import OtherLoad, environment, environment_text, load_warning, write_results
from elinformer import Forecaster, Panel, read_panel
from elinformer.evaluation import naives_for, score_naives
from elinformer.training import TrainingConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

EPOCHS = {"hangzhou_metro": 30, "metr_la_week1": 10}
SHARE, SEED = 0.2, 0
HEAD = (
    "set",
    "series held out",
    "days of history",
    "trained on",
    "added",
    "over trained on",
    "mean embedding",
    "best naive",
    "said before",
    "others before",
    "others after",
)


class Case(NamedTuple):
    """A data set and the series that are held out."""

    panel: Panel
    held: np.ndarray
    forecaster: Forecaster

    @property
    def test(self) -> int:
        """Begin of the test part."""
        return self.forecaster.split_panel(self.panel).split.test[0]


def main() -> None:
    """Train, add, score, print and write."""
    options = _options()
    torch.set_num_threads(options.threads)
    notes = [note for note in [load_warning()] if note]
    rows: list[dict[str, Any]] = []
    with OtherLoad() as other_load:
        for name in options.sets:
            rows += _rows(name, read_panel(options.data / f"{name}.npz"), options.runs, options.days)
    notes += [note for note in [other_load.note()] if note]
    about = environment("cpu", options.threads)
    text = "\n\n".join(["# Series held out of training", environment_text(about), *notes, table(rows)])
    print(text)
    if options.out:
        write_results(options.out, {"about": about, "notes": notes, "rows": rows}, text)


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Make a table with a line for each set and length of history."""
    lines = [f"| {' | '.join(HEAD)} |", "| --- |" + " ---: |" * (len(HEAD) - 1)]
    for row in rows:
        over = None if row["trained_on"] is None else f"{row['added'] / row['trained_on'] - 1:+.1%}"
        names = ("trained_on", "added", "", "mean_embedding", "naive", "estimate", "others_before", "others_after")
        numbers = [over if not name else _number(row[name]) for name in names]
        lines.append("| " + " | ".join([row["set"], str(row["held"]), f"{row['days']:g}", *map(str, numbers)]) + " |")
    return "\n".join(lines)


def _number(error: float | None) -> str:
    return "-" if error is None else f"{error:.4g}"


def _rows(name: str, panel: Panel, runs: Path, days: Sequence[float]) -> list[dict[str, Any]]:
    held = np.sort(np.random.default_rng(SEED).permutation(panel.n_series)[: round(SHARE * panel.n_series)])
    others = np.setdiff1d(np.arange(panel.n_series), held)
    forecaster = _trained(panel.select(others), runs / f"{name}-held", EPOCHS[name])
    case = Case(panel, held, forecaster)
    whole = _trained(panel, runs / f"{name}-all", EPOCHS[name])
    shared = {
        "set": name,
        "held": len(held),
        "trained_on": _mae(whole, panel, held),
        "naive": min(_naives(case).values()),
        "others_before": forecaster.backtest(panel.select(others)).scores().mae,
    }
    steps = [case.test, *(round(count * (panel.steps_of_day or 1)) for count in days)]
    return [{**shared, **_added(case, min(n, case.test))} for n in dict.fromkeys(steps)]


def _added(case: Case, n_steps: int) -> dict[str, Any]:
    """Scores if the last `n_steps` before the test part of the held-out series are known."""
    mask = case.panel.mask[: case.test].copy()
    mask[: case.test - n_steps, case.held] = False
    history = case.panel.select(steps=slice(case.test))
    began = time.perf_counter()
    grown = case.forecaster.add_series(replace(history, mask=mask, checked=True))
    seconds = time.perf_counter() - began
    others = np.setdiff1d(np.arange(case.panel.n_series), case.held)
    found = {
        "days": n_steps / (case.panel.steps_of_day or 1),
        "seconds": round(seconds, 1),
        "added": _mae(grown, case.panel, case.held),
        "others_after": _mae(grown, case.panel, others),
        "estimate": (grown.added or {})["mae"],
        "report": grown.added,
    }
    _forget(grown, len(others))
    return {**found, "mean_embedding": _mae(grown, case.panel, case.held)}


def _forget(grown: Forecaster, n_known: int) -> None:
    """Give the series that were added the mean embedding of the others."""
    model: Any = grown.trained.model
    with torch.no_grad():
        for name in model.per_series:
            rows = model.get_parameter(name)
            rows[n_known:] = rows[:n_known].mean(0)


def _naives(case: Case) -> dict[str, float]:
    panel = case.panel.select(case.held)
    split, horizon = case.forecaster.split_panel(panel), case.forecaster.reach.horizon
    origins, mean = split.origins("test"), split.moments.mean
    naives = naives_for(panel, split.split.train[1])
    return {name: s.scores().mae for name, s in score_naives(naives, panel, origins, horizon, mean).items()}


def _mae(forecaster: Forecaster, panel: Panel, which: np.ndarray) -> float:
    """Test MAE of some series of the panel."""
    place = {name: i for i, name in enumerate(forecaster.info.series)}
    return forecaster.backtest(panel).scores(series=[place[panel.series[i]] for i in which]).mae


def _trained(panel: Panel, run: Path, epochs: int) -> Forecaster:
    if (run / "model.safetensors").is_file():
        return Forecaster.load(run)
    if (run / "config.json").is_file():
        forecaster = Forecaster.resume(run, panel)
    else:
        forecaster = Forecaster(12, 12, training=TrainingConfig(epochs=epochs, device="cpu")).fit(panel, run=run)
    forecaster.save(run)
    return forecaster


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Hold series out of training, and add them.")
    parser.add_argument("data", type=Path, help="folder of hangzhou_metro.npz and metr_la_week1.npz")
    parser.add_argument("--runs", type=Path, required=True, help="folder of the trained models")
    parser.add_argument("--sets", nargs="+", choices=list(EPOCHS), default=list(EPOCHS))
    parser.add_argument("--days", nargs="*", type=float, default=[], help="shorter histories to try as well")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", help="name of the files in benchmarks/results; none are written without it")
    return parser.parse_args()


if __name__ == "__main__":
    main()
