"""Forecasts with what is known ahead, beside forecasts without it, and with covariates in a wrong order of time.

    python -m benchmarks.covariates ../shared/data

The sets: delays of the New York airports given the weather of the hours ahead; load of ten zones of PJM given public
holidays; temperature at Irish stations given the pressure of the day ahead. The covariates are those that were
observed, so the numbers are those of a perfect forecast of the weather. Each row of the table has the mean absolute
error on the test part, the last 20 % of the steps, and its change against a training without covariates. "shuffled" is
the model that was trained with covariates, which now come in a random order of time: it loses what they are worth.
"trained so" was trained on covariates in this order: it is to learn that they say nothing.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from benchmarks._common import environment, environment_text, write_results
from elinformer import Forecaster, load_dataset, read_panel
from elinformer.data.calendar import Calendar
from elinformer.data.covariates import Covariates

if TYPE_CHECKING:
    from elinformer import Panel

WEATHER = ("temperature", "dew_point", "humidity", "wind_speed", "pressure", "visibility")


class Task(NamedTuple):
    """Data with covariates, and the options of a forecaster.

    Attributes:
        panel: Series, with their future covariates.
        horizon: Steps to forecast.
        options: Further options, for the forecaster with covariates alone.
    """

    panel: Panel
    horizon: int
    options: dict[str, Any]


def airports(_: Path) -> Task:
    """Return the delays of carriers, with the weather of their airport."""
    panel = load_dataset("nyc-airports")
    delays = [i for i, name in enumerate(panel.series) if name.startswith("delay")]
    places = [panel.series[i].split("/")[1][:3] for i in delays]
    weather = tuple(
        Covariates((kind,), panel.values[:, [panel.series.index(f"{kind}/{place}") for place in places]])
        for kind in WEATHER
    )
    return Task(replace(panel.select(delays), future=weather), 12, {})


def pjm(folder: Path) -> Task:
    """Return the load of zones, whose covariates are holidays."""
    return Task(read_panel(folder / "pjm_load.npz"), 24, {"holidays": "US"})


def irish(folder: Path) -> Task:
    """Return the temperature of stations, with the pressure at each of them."""
    panel = read_panel(folder / "irish_weather.npz")
    temperature, pressure = (panel.channels.index(name) for name in ("temp", "msl"))
    part = slice(temperature, temperature + 1)
    values, mask = panel.values[..., part], panel.mask[..., part]
    known = Covariates(("msl",), panel.values[..., pressure : pressure + 1])
    return Task(replace(panel, values=values, mask=mask, channels=("temp",), future=(known,)), 24, {})


class ShuffledHolidays(Calendar):
    """Calendar whose holidays are in a random order of time."""

    def holiday_features(self, timestamps: np.ndarray) -> np.ndarray | None:
        """Return the holidays (n, F) of other steps."""
        found = super().holiday_features(timestamps)
        return None if found is None else np.random.default_rng(0).permutation(found)


TASKS = {"airports": airports, "pjm": pjm, "irish": irish}


def errors(task: Task, seed: int, preset: str) -> dict[str, float]:
    """Return the error without covariates, with them, and with them in a random order of time; trained so as well."""
    training: dict[str, Any] = {"preset": preset, "seed": seed, "refit": False}
    train = partial(Forecaster, horizon=task.horizon, training=training)
    bare = train().fit(replace(task.panel, future=(), checked=True))
    forecaster = train(**task.options).fit(task.panel)
    found = {
        "without": bare.backtest().scores().mae,
        "with": forecaster.backtest().scores().mae,
        "shuffled": _shuffled_error(forecaster, task.panel, seed),
    }
    if task.panel.future:
        found["trained so"] = train(**task.options).fit(_shuffled(task.panel, seed)).backtest().scores().mae
    return found


def _shuffled(panel: Panel, seed: int) -> Panel:
    order = np.random.default_rng(seed).permutation(panel.n_steps)
    future = tuple(Covariates(block.names, block.values[order]) for block in panel.future)
    return replace(panel, future=future, checked=True)


def _shuffled_error(forecaster: Forecaster, panel: Panel, seed: int) -> float:
    if panel.future:  # the others are holidays
        return forecaster.backtest(_shuffled(panel, seed)).scores().mae
    calendar = forecaster.info.calendar
    if calendar is None:
        raise AssertionError("holidays need times")
    wrong = replace(forecaster.info, calendar=ShuffledHolidays(**vars(calendar)))
    shuffled = forecaster.trained.replaced(info=wrong)
    return shuffled.scores(panel, forecaster.split_panel(panel).origins("test")).scores().mae


def main() -> None:
    """Train, print the table and write it."""
    parser = argparse.ArgumentParser(description="Errors with covariates and without.")
    parser.add_argument("data", type=Path, help="folder of the data sets")
    parser.add_argument("--tasks", nargs="*", default=list(TASKS), choices=TASKS)
    parser.add_argument("--seeds", type=int, default=1, help="number of seeds, whose mean is shown")
    parser.add_argument("--preset", default="fast", choices=("fast", "base"))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = ["| data | without | with | change | shuffled | trained so |", "| --- |" + " ---: |" * 5]
    results: dict[str, list[dict[str, float]]] = {}
    for name in options.tasks:
        task = TASKS[name](options.data)
        results[name] = [errors(task, seed, options.preset) for seed in range(options.seeds)]
        mean = {key: float(np.mean([found[key] for found in results[name]])) for key in results[name][0]}
        change = mean["with"] / mean["without"] - 1
        trained = f"{mean['trained so']:.4g}" if "trained so" in mean else ""
        cells = f"{mean['without']:.4g}", f"{mean['with']:.4g}", f"{change:+.1%}", f"{mean['shuffled']:.4g}", trained
        rows.append(f"| {name} | {' | '.join(cells)} |")
        print(rows[-1], flush=True)
    about = environment("cpu", 1)
    text = "\n".join(["# Known ahead", "", environment_text(about), "", *rows])
    print(text)
    if options.out:
        write_results(options.out, {"about": about, "results": results}, text)


if __name__ == "__main__":
    main()
