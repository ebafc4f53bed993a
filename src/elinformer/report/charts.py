"""Data of the charts of a page, as its script reads them."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Document = dict[str, Any]

NAIVE_COLORS = ("naive", "other", "third")
"""Colours of the naive forecasts with the lowest errors; others are left out of the chart, not of the table."""
MAP_WIDTH = 800
MARGIN = 40


def charts_of(document: Mapping[str, Any]) -> dict[str, Document]:
    """Return the charts of a report by name."""
    pictures = document["pictures"]
    charts = {f"picture-{i}": _picture(pictures, one) for i, one in enumerate(pictures["series"])}
    charts["horizon"] = _horizon(document["quality"])
    if document["intervals"]:
        charts |= _coverage(document["intervals"])
    if document["training"]["history"]:
        charts["training"] = _training(document["training"]["history"])
    return charts


def line(label: str, values: Sequence[float | None], color: str, **more: Any) -> Document:
    """Return a line of a chart; `color` is a name in style.css."""
    return {"label": label, "values": list(values), "color": color, **more}


def _horizon(quality: Mapping[str, Any]) -> Document:
    errors = {row["name"]: row["mae"] for row in quality["forecasts"][1:] if row["mae"] is not None}
    best = sorted(errors, key=lambda name: (name != quality["best_naive"], errors[name]))
    lines = [line("elinformer", quality["by_horizon"]["elinformer"], "model")]
    lines += [line(name, quality["by_horizon"][name], c) for name, c in zip(best, NAIVE_COLORS, strict=False)]
    steps = list(range(1, len(lines[0]["values"]) + 1))
    return {"x": steps, "xlabel": "step", "series": lines, "points": True, "from_zero": True, "height": 260}


def _coverage(intervals: Mapping[str, Any]) -> dict[str, Document]:
    """Return the charts of coverage by level and by step, in per cent."""
    levels = [row["level"] for row in intervals["levels"]]
    covered = [round(100 * row["coverage"], 2) for row in intervals["levels"]]
    by_step = [None if share is None else round(100 * share, 2) for share in intervals["by_step"]]
    steps, wanted = list(range(1, len(by_step) + 1)), [intervals["shown_level"]] * len(by_step)
    common = {"points": True, "height": 240}
    perfect: Document = {"color": "naive", "dash": [4, 4]}
    return {
        "reliability": {
            "x": levels,
            "xlabel": "level",
            "series": [line("covered", covered, "model"), line("perfect", levels, **perfect)],
            **common,
        },
        "coverage": {
            "x": steps,
            "xlabel": "step",
            "series": [line("covered", by_step, "model"), line("level", wanted, **perfect)],
            **common,
        },
    }


def _training(history: Sequence[Mapping[str, Any]]) -> Document:
    lines = [line("training", [epoch["loss"] for epoch in history], "observed", gaps=True)]
    lines.append(line("validation", [epoch["validation_loss"] for epoch in history], "model", gaps=True))
    epochs = [epoch["epoch"] for epoch in history]
    return {"x": epochs, "xlabel": "epoch", "series": lines, "points": True, "height": 260}


def _picture(pictures: Mapping[str, Any], one: Mapping[str, Any]) -> Document:
    """Return observed values, forecasts and, where there are some, the intervals of a series."""
    lines = [line("observed", one["observed"], "observed"), line("forecast", one["forecast"], "model")]
    if one.get("low"):
        band = {"label": f"{pictures['level']:g} % interval", "low": one["low"], "high": one["high"], "color": "band"}
        lines.insert(0, band)
    times = pictures["times"]
    has_time = isinstance(times[0], str)
    x = [_seconds(time) for time in times] if has_time else times
    return {"x": x, "time": has_time, "xlabel": "step", "series": lines, "marks": pictures["origins"], "height": 190}


def _seconds(time: str) -> int:
    return int(datetime.fromisoformat(time).replace(tzinfo=UTC).timestamp())


def map_of(influence: Mapping[str, Any] | None) -> Document | None:
    """Return places and arrows of a map in its own units, or None without locations."""
    if not influence or not influence["places"]:
        return None
    places = influence["places"]
    stretch = math.cos(math.radians(sum(place["latitude"] for place in places) / len(places)))
    flat = {place["series"]: (place["longitude"] * stretch, -place["latitude"]) for place in places}
    lows, highs = ([f(point[axis] for point in flat.values()) for axis in (0, 1)] for f in (min, max))
    unit = (MAP_WIDTH - 2 * MARGIN) / max(highs[0] - lows[0], 0.6 * (highs[1] - lows[1]), 1e-9)

    def at(series: str) -> list[float]:
        return [round(MARGIN + (value - low) * unit, 1) for value, low in zip(flat[series], lows, strict=True)]

    pairs = influence["pairs"]
    named = {name for pair in pairs for name in (pair["from"], pair["to"])}
    dots = [{"series": name, **_xy(at(name)), "named": name in named} for name in flat]
    lines = [_arrow(pair, at(pair["from"]), at(pair["to"]), pairs[0]["change"]) for pair in pairs]
    height = round((highs[1] - lows[1]) * unit + 2 * MARGIN)
    width = round((highs[0] - lows[0]) * unit + 2 * MARGIN)
    return {"width": max(width, 300), "height": max(height, 160), "places": dots, "lines": lines}


def _xy(point: Sequence[float], number: str = "") -> Document:
    return {f"x{number}": point[0], f"y{number}": point[1]}


def _arrow(pair: Mapping[str, Any], start: Sequence[float], end: Sequence[float], largest: float) -> Document:
    title = f"{pair['from']} moves {pair['to']} by {pair['change']:.3g}"
    return {**_xy(start, "1"), **_xy(end, "2"), "width": round(0.8 + 2 * pair["change"] / largest, 2), "title": title}
