"""Draw the entropies of trained attention, and its errors when it is made flatter or sharper.

    python -m research.pictures

The pictures go to research/images.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from benchmarks.pictures.__main__ import source_of
from benchmarks.pictures._style import (
    INK,
    OURS,
    SOFTMAX,
    Label,
    Margins,
    foot_note,
    label_ends,
    label_points,
    panels,
    save,
    style,
)
from benchmarks.pictures._tables import data_order, data_set

from research import RESULTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

IMAGES = Path(__file__).parent / "images"
FAMILY = {
    "uniform": "uniform",
    "c = 4 max(1, m)": "4 x",
    "c = 2 max(1, m)": "2 x",
    "c = max(1, m)": "EALA",
}
SHARPER = {"c = max(1, m)": "", "c = m / 2, not certified": "m / 2", "c = m / 4, not certified": "m / 4"}
TEMPERATURE = "softmax, temperature "
AS_TRAINED = {"eala": "c = max(1, m)", "softmax": f"{TEMPERATURE}1"}
TITLES = {"eala": "trained with EALA", "softmax": "trained with softmax"}
TICKS = (1.0, 0.99, 0.95, 0.9, 0.8, 0.6, 0.4, 0.2)


def draw_sharpness(documents: Sequence[Mapping[str, Any]]) -> Figure:
    """Error against entropy as the weights of a trained model are forced from uniform to sharp."""
    shown = _sorted(documents)
    columns = min(2, len(shown))
    figure, axes = panels([2.5] * len(shown), Margins(0.62, 0.25, 0.38, 0.5), columns=columns, foot=0.4)
    for axis, document in zip(axes, shown, strict=True):
        _draw_errors(axis, document)
    foot_note(
        figure,
        "Blue: the family of EALA, w = (1 + t / c) / n, where c is max(1, m), or 4 or 2 times that; dotted: half or a "
        "quarter of m, where some\nweights are negative. Orange: softmax of the same scores at temperatures T. Circle: "
        "as trained.",
    )
    return figure


def _draw_errors(axis: Axes, document: Mapping[str, Any]) -> None:
    rows = {row["attention"]: row for row in document["rows"]}
    first = rows["as trained"]["mae"]
    points = {
        name: (unevenness(_share(row)), 100 * (row["mae"] / first - 1)) for name, row in rows.items() if row["layers"]
    }
    softmax = {name: f"T = {name.removeprefix(TEMPERATURE)}" for name in points if name.startswith(TEMPERATURE)}
    beside = (SHARPER, OURS, "x:") if document["trained_with"] == "eala" else ({"uniform": ""} | softmax, SOFTMAX, "o-")
    lines = (beside, (FAMILY, OURS, "o-"))
    for names, colour, drawn in lines:
        axis.plot(*zip(*(points[name] for name in names), strict=True), drawn, color=colour)
    shown = [points[name] for names, *_ in lines for name in names]
    axis.plot(*points[AS_TRAINED[document["trained_with"]]], "o", color=INK, markerfacecolor="none", markersize=10)
    axis.set_ylim(*_widened(axis.get_ylim()))
    axis.set_xticks([unevenness(tick) for tick in TICKS], [f"{tick:g}" for tick in TICKS])
    axis.set_xlim(-0.02, 1.12 * max(x for x, _ in shown) + 0.02)
    axis.set_title(f"{data_set(document['data']).title}, {TITLES[document['trained_with']]}")
    axis.set_xlabel("mean entropy of the weights / log n  (flat to sharp)")
    axis.set_ylabel("error against as trained (%)")
    label_points(
        axis,
        [
            Label(text, *points[name], colour)
            for names, colour, _ in lines[::-1]
            for name, text in names.items()
            if text
        ],
    )


def unevenness(share: float) -> float:
    """Root of the distance to uniform: a scale that separates flat weights and sharp ones."""
    return math.sqrt(max(0.0, 1 - share))


def _widened(limits: tuple[float, float]) -> tuple[float, float]:
    """Widen the limits, for labels above and below."""
    room = 0.05 * (limits[1] - limits[0])
    return limits[0] - room, limits[1] + room


def _share(row: Mapping[str, Any]) -> float:
    """Mean over layers and heads of entropy / log n."""
    return float(np.mean([layer["share_of_log_n"] for layer in row["layers"]]))


def draw_entropies(documents: Sequence[Mapping[str, Any]]) -> Figure:
    """Entropy of every head as trained, by layer, EALA beside softmax."""
    by_data: dict[str, dict[str, Mapping[str, Any]]] = {}
    for document in _sorted(documents):
        by_data.setdefault(document["data"], {})[document["trained_with"]] = document
    groups = {data: _groups(models) for data, models in by_data.items()}
    columns = min(2, len(by_data))
    figure, axes = panels([2.2] * len(by_data), Margins(0.62, 1.05, 0.38, 0.5), columns=columns, foot=0.25)
    sharpest = min(np.min(heads) for found in groups.values() for group in found for heads in group.heads)
    for axis, (data, found) in zip(axes, groups.items(), strict=True):
        axis.set_ylim(unevenness(sharpest) + 0.04, -0.02)
        _draw_heads(axis, found)
        axis.set_title(data_set(data).title)
    foot_note(figure, "Dot: a head, mean over queries and test windows. Bar: the mean of a layer. 1 is uniform.")
    return figure


class Group(NamedTuple):
    """An attention, and entropy / log n of each head of each layer."""

    text: str
    colour: str
    heads: list[list[float]]


def _groups(models: Mapping[str, Mapping[str, Any]]) -> list[Group]:
    """EALA and softmax, if they were measured."""
    wanted = (
        ("EALA", OURS, "eala", AS_TRAINED["eala"]),
        ("softmax", SOFTMAX, "softmax", AS_TRAINED["softmax"]),
    )
    return [
        Group(text, colour, _heads(models[model], attention))
        for text, colour, model, attention in wanted
        if model in models
    ]


def _heads(document: Mapping[str, Any], attention: str) -> list[list[float]]:
    row = next(row for row in document["rows"] if row["attention"] == attention)
    return [layer["share_of_log_n"] for layer in row["layers"]]


def _draw_heads(axis: Axes, groups: list[Group]) -> None:
    for number, group in enumerate(groups):
        for layer, shares in enumerate(group.heads, 1):
            x = layer + 0.26 * (number - (len(groups) - 1) / 2)
            places = x + np.linspace(-0.07, 0.07, len(shares))
            axis.plot(places, [unevenness(s) for s in shares], "o", color=group.colour, alpha=0.55, markeredgewidth=0)
            axis.plot([x - 0.1, x + 0.1], [unevenness(float(np.mean(shares)))] * 2, color=group.colour, linewidth=2)
    n_layers = max(len(group.heads) for group in groups)
    axis.set_xlim(0.5, n_layers + 0.5)
    axis.set_xticks(range(1, n_layers + 1))
    axis.set_yticks([unevenness(tick) for tick in TICKS if unevenness(tick) <= axis.get_ylim()[0]])
    axis.set_yticklabels([f"{tick:g}" for tick in TICKS if unevenness(tick) <= axis.get_ylim()[0]])
    axis.grid(visible=False, axis="x")
    axis.set_xlabel("layer")
    axis.set_ylabel("entropy / log n")
    last = [(group, unevenness(float(np.mean(group.heads[-1])))) for group in groups]
    label_ends(axis, [Label(group.text, n_layers, y, group.colour) for group, y in last])


def _sorted(documents: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return sorted(documents, key=lambda document: (data_order(document["data"]), document["trained_with"]))


PICTURES = {"sharpness": draw_sharpness, "entropies": draw_entropies}


def main() -> None:
    """Draw both pictures from research/results."""
    files = sorted(RESULTS.glob("sharpness-*.json"))
    documents = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    for name, draw in PICTURES.items():
        with style():
            figure = draw(documents)
        save(figure, IMAGES / f"{name}.svg", source_of(files))
        print(IMAGES / f"{name}.svg")


if __name__ == "__main__":
    main()
