"""Scores of the models in the documents of `elinformer compare`, as the pictures need them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from benchmarks.pictures._style import DARK, GREEN, GREY, OURS, PURPLE, SOFTMAX
from elinformer.comparison.plan import NAIVES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

REFERENCE = "elinformer"


class DataSet(NamedTuple):
    """Words for a data set in pictures."""

    title: str
    unit: str
    step: str


DATA_SETS = {
    "hangzhou_metro": DataSet("Hangzhou metro", "persons", "10 minutes"),
    "metr_la_week1": DataSet("A week of METR-LA", "mph", "5 minutes"),
    "irish_weather": DataSet("Irish weather", "six units mixed", "1 hour"),
    "nyc_taxi_od": DataSet("New York taxi trips", "trips", "1 hour"),
    "nyc_airports": DataSet("New York airports", "units mixed", "1 hour"),
}
ATTENTION = f"{REFERENCE}@attention="
"""Label of an ELinFormer with another attention than its own, less the name of the attention."""

NAMES = {
    f"{ATTENTION}none": "no attention",
    "stid": "STID",
    "stid-tuned": "STID, tuned",
    "dlinear": "DLinear",
    "staeformer": "STAEformer",
    "last_value": "last value",
    "seasonal_naive": "seasonal naive",
}
COLOURS = {
    REFERENCE: OURS,
    f"{ATTENTION}softmax": SOFTMAX,
    f"{ATTENTION}elu": PURPLE,
    f"{ATTENTION}none": DARK,
    "stid": GREEN,
    "stid-tuned": GREEN,
}


class Model(NamedTuple):
    """The scores of one model on one data set."""

    name: str
    is_naive: bool
    errors: list[float]  # of each seed
    by_step: np.ndarray  # (seeds, S)

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return float(np.mean(self.errors))

    @property
    def shown(self) -> str:
        """Name in pictures; an attention stands for the ELinFormer that has it."""
        return NAMES.get(self.name, self.name.removeprefix("nf:").removeprefix(ATTENTION))

    @property
    def colour(self) -> str:
        """Colour, the same in every picture."""
        return COLOURS.get(self.name, GREY)


class Table(NamedTuple):
    """One data set of one document; the best model comes first."""

    data: DataSet
    models: list[Model]

    @property
    def trained(self) -> list[Model]:
        """Models without the naive forecasts."""
        return [model for model in self.models if not model.is_naive]

    @property
    def naive(self) -> list[Model]:
        """Naive forecasts, which need no training."""
        return [model for model in self.models if model.is_naive]


def data_set(name: str) -> DataSet:
    """Words for a data set; an unknown one keeps its own name."""
    return DATA_SETS.get(name.replace("-", "_"), DataSet(name, "units of the data", ""))


def data_order(name: str) -> tuple[int, str]:
    """Key that sorts known data sets as `DATA_SETS` has them, and the others after them."""
    known = list(DATA_SETS)
    key = name.replace("-", "_")
    return (known.index(key) if key in known else len(known), name)


def tables(documents: Iterable[Mapping[str, Any]]) -> list[Table]:
    """Read a table for each data set of each document."""
    pairs = [(name, document) for document in documents for name in document["data"]]
    return [_table(name, document["runs"]) for name, document in sorted(pairs, key=lambda pair: data_order(pair[0]))]


def _table(data: str, runs: list[dict[str, Any]]) -> Table:
    grouped: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        if run["data"] == data:
            grouped.setdefault(run["model"], []).append(run)
    models = [_model(name, found) for name, found in grouped.items()]
    return Table(data_set(data), sorted(models, key=lambda model: model.mean))


def _model(name: str, runs: list[dict[str, Any]]) -> Model:
    tests = [run["test"] for run in sorted(runs, key=lambda run: run["seed"])]
    steps = [[scores["mae"] for _, scores in sorted(t["by_horizon"].items(), key=lambda s: int(s[0]))] for t in tests]
    return Model(name, name in NAIVES, [test["mae"] for test in tests], np.array(steps))
