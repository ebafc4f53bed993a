"""Defaults on data that nobody tuned for: ELinFormer beside naive forecasts, AutoETS, AutoTheta and LightGBM.

    python -m benchmarks.box ../shared/data
    python -m benchmarks.packaged_sets FOLDER && python -m benchmarks.box FOLDER --packaged

Every model forecasts the same windows of the last 20 % of the steps, after training on the first 60 % and choosing on
the next 20 %. ELinFormer is trained as `elinformer train DATA --horizon H` does, without another option; only the refit
on all data is left out, which changes no score. A model on a set is a process of its own; its result is a file in the
folder of results, and a second call goes on after it.

The table has the geometric mean over series of the error (MAE) over that of the best naive forecast of the set. The
best is chosen in hindsight, by the geometric mean of the errors on the same windows: no rule that chooses earlier does
better, so the ratio never flatters a model. Every channel counts as a series of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._box_models import ELINFORMER, NAIVE, SINGLE, run_model
from benchmarks._box_sets import PACKAGED, SETS
from benchmarks._common import environment, environment_text, write_results
from elinformer.evaluation import best_of, ratio_to

LIGHTGBM = "lightgbm"
ALL_SETS = SETS | PACKAGED
MODELS = (NAIVE, LIGHTGBM, ELINFORMER, *SINGLE)
ROOT = Path(__file__).parents[1]

Results = dict[str, dict[str, dict[str, Any]]]
"""Documents of the models by set and model."""


def main() -> None:
    """Run what is not there yet, print the table and write it."""
    options = _options()
    if options.job:
        name, model = options.job
        document = run_model(model, ALL_SETS[name], options.data)
        _path(options.folder, name, model).write_text(json.dumps({**document, "about": environment("cpu", 1)}))
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 3600 * options.hours
    for model in options.models:
        for name in options.sets:
            if not _is_left_out(name, model) and not _path(options.folder, name, model).exists():
                _run(options, name, model, end - time.monotonic())
    results = read_results(options.folder, options.sets, options.models)
    text = "\n\n".join(
        ["# Defaults, beside what people use", environment_text(environment("cpu", 1)), *tables(results)]
    )
    print(text)
    if options.out:
        write_results(options.out, {"about": environment("cpu", 1), "results": results}, text)


def _is_left_out(name: str, model: str) -> bool:
    return model in SINGLE and not ALL_SETS[name].is_small


def _path(folder: Path, name: str, model: str) -> Path:
    return folder / f"{name}--{model}.json"


def _run(options: argparse.Namespace, name: str, model: str, seconds: float) -> None:
    """Run a model on a set in a process of its own; one that fails costs no other."""
    if seconds <= 0:
        print(f"no time left for {model} on {name}", flush=True)
        return
    print(f"{time.strftime('%H:%M:%S')} {model} on {name}", flush=True)
    command = [sys.executable, "-m", "benchmarks.box", str(options.data), "--folder", str(options.folder)]
    try:
        subprocess.run([*command, "--job", name, model], cwd=ROOT, check=True, timeout=seconds, env=_one_thread())
    except subprocess.SubprocessError as error:
        print(f"failed: {error}", flush=True)


def _one_thread() -> dict[str, str]:
    names = "OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"
    return {**dict.fromkeys(names, "1"), **os.environ}


def read_results(folder: Path, sets: list[str], models: list[str]) -> Results:
    """Read the results that are there."""
    found: Results = {}
    for name in sets:
        paths = {model: _path(folder, name, model) for model in models}
        found[name] = {model: json.loads(path.read_text()) for model, path in paths.items() if path.exists()}
    return {name: documents for name, documents in found.items() if NAIVE in documents}


def tables(results: Results) -> list[str]:
    """Return the table of ratios, the table of times, and the table of the naive forecasts, in Markdown."""
    models = [m for m in MODELS if m != NAIVE and any(m in documents for documents in results.values())]
    ratios = _Ratios(results)
    about = (
        "Error over that of the best naive forecast, geometric mean over the series; in brackets the share of series "
        "with a larger error, and with one that is larger by more than 2 %."
    )
    return [
        about,
        _markdown(["set", "series", "windows", "best naive", *models], ratios.rows(models)),
        "Seconds of training on the wall, and of the processor.",
        _markdown(["set", *models], _times(results, models)),
        "Naive forecasts: error over that of the best of them.",
        *(_markdown(["naive", name], ratios.naive_rows(name)) for name in results),
    ]


class _Ratios:
    """Errors by series of every model on every set, and the best naive forecast of each set."""

    def __init__(self, results: Results) -> None:
        self._results = results
        self._errors = {
            name: {
                forecast: np.array(errors["mae"], float)
                for document in documents.values()
                for forecast, errors in document["forecasts"].items()
            }
            for name, documents in results.items()
        }
        self._best = {
            name: best_of({naive: self._errors[name][naive] for naive in documents[NAIVE]["forecasts"]})
            for name, documents in results.items()
        }

    def rows(self, models: list[str]) -> list[list[str]]:
        """Return a row for every set, and one of means over the sets."""
        rows, means = [], {model: [] for model in models}
        for name, documents in self._results.items():
            errors, best = self._errors[name], self._best[name]
            cells = [name, str(np.isfinite(errors[best]).sum()), str(documents[NAIVE]["windows"]), best]
            for model in models:
                if model not in errors:
                    cells.append("")
                    continue
                ratio = ratio_to(errors[model], errors[best])
                means[model].append(ratio.mean)
                cells.append(f"{ratio.mean:.3f} ({ratio.behind:.0%}, {ratio.clearly_behind:.0%})")
            rows.append(cells)
        mean = [f"{np.exp(np.log(found).mean()):.3f} of {len(found)}" if found else "" for found in means.values()]
        return [*rows, ["geometric mean", "", "", "", *mean]]

    def naive_rows(self, name: str) -> list[list[str]]:
        """Return a row for every naive forecast of a set."""
        errors, naives = self._errors[name], self._results[name][NAIVE]["forecasts"]
        return [[naive, f"{ratio_to(errors[naive], errors[self._best[name]]).mean:.3f}"] for naive in naives]


def _times(results: Results, models: list[str]) -> list[list[str]]:
    return [
        [name, *(f"{d['seconds']:.0f}, {d['cpu_seconds']:.0f}" if (d := found.get(m)) else "" for m in models)]
        for name, found in results.items()
    ]


def _markdown(headings: list[str], rows: list[list[str]]) -> str:
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of the sets")
    parser.add_argument("--packaged", action="store_true", help="the sets of benchmarks.packaged_sets")
    parser.add_argument("--sets", type=_names(list(ALL_SETS)), help=",".join(ALL_SETS))
    parser.add_argument("--models", type=_names(MODELS), default=list(MODELS), help=",".join(MODELS))
    parser.add_argument("--folder", type=Path, default=Path("box_results"), help="folder of the results")
    parser.add_argument("--hours", type=float, default=2.0, help="no model starts after them")
    parser.add_argument("--out", help="name of the files in benchmarks/results")
    parser.add_argument("--job", nargs=2, metavar=("SET", "MODEL"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.sets = options.sets or list(PACKAGED if options.packaged else SETS)
    options.data, options.folder = options.data.resolve(), options.folder.resolve()
    return options


def _names(known: Any) -> Any:
    def parse(text: str) -> list[str]:
        names = text.split(",")
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"expected some of {','.join(known)}, got {unknown[0]}")
        return names

    return parse


if __name__ == "__main__":
    main()
