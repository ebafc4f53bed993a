"""The page of a report: one HTML file with its data, styles and scripts inside.

The template engine is Jinja2, which PyTorch needs too, so that it costs nothing. The charts are drawn by uPlot, because
it is small (50 kB; Plotly has 4.5 MB, ECharts 1.1 MB), made for time series with bands, maintained, and free (MIT).
Everything that is no line over time is a table or an SVG, which print, zoom and screen readers understand.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elinformer.report.charts import charts_of, map_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jinja2 import Environment

Document = dict[str, Any]

PAGE = Path(__file__).parent / "page"
UPLOT = "uPlot-1.6.32"


def report_page(document: Mapping[str, Any]) -> str:
    """Return the HTML of a report from the content of `report.json`."""
    sections = [
        ("good", "How good?"),
        ("sure", "How sure?"),
        ("fails", "Where does it fail?"),
        ("moves", "Who moves whom?"),
    ]
    sections += [("attention", "Attention")] if document["attention"] else []
    sections += [("trained", "Training"), ("card", "Model card")]
    pictured = [(f"picture-{i}", {**one, "note": _note(one)}) for i, one in enumerate(document["pictures"]["series"])]
    return render(
        "report.html.jinja",
        document,
        charts_of(document),
        sections,
        title=f"Report of {document['run']}: {document['data']['name']}",
        pictured=pictured,
        map=map_of(document["influence"]),
        card={"weak": _weak_points(document)},
    )


def render(
    template: str,
    document: Mapping[str, Any],
    charts: Mapping[str, Document],
    sections: Sequence[tuple[str, str]],
    **values: Any,
) -> str:
    """Return the HTML of a template, with styles, scripts and the data of the charts inside."""
    return (
        _environment()
        .get_template(template)
        .render(
            document=document,
            chart_data=charts,
            charts=embedded_json(charts),
            sections=sections,
            style=_read("style.css"),
            script=_read("page.js"),
            plot_style=_read(f"{UPLOT}.min.css"),
            plot_script=_read(f"{UPLOT}.iife.min.js"),
            **values,
        )
    )


def embedded_json(content: Any) -> str:
    """Return JSON that can stand in a script element: no text in it can end the element."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _note(one: Mapping[str, Any]) -> str:
    return f"{percent(one['skill'])} skill, MAE {number(one['mae'])}"


def _weak_points(document: Mapping[str, Any]) -> str:
    """Return in a sentence how many series are worse than the best naive forecast, and the worst time."""
    worse = document["quality"]["worse_than_naive"] or 0
    share = f"{percent(worse)} of the series have" if worse else "No series has"
    words = f"{share} larger errors than the best naive forecast."
    by_time = document["by_time"]
    cells = (
        [
            (value, row, column)
            for row, values in zip(by_time["rows"], by_time["relative"], strict=True)
            for column, value in zip(by_time["columns"], values, strict=True)
            if value is not None
        ]
        if by_time
        else []
    )
    if not cells:
        return words
    value, row, column = max(cells)
    when = f"on {row} at {column}:00" if column.isdigit() else f"in {column}" if row == "all years" else f"on {column}"
    return f"{words} Errors are largest {when}: {value:.1f} times the mean."


@functools.cache
def _read(name: str) -> str:
    return (PAGE / name).read_text(encoding="utf-8")


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(PAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    filters: dict[str, Any] = environment.filters
    filters |= {"number": number, "percent": percent, "duration": duration, "time": _time, "part": _part, "heat": _heat}
    return environment


def number(value: float | None) -> str:
    """Return four significant digits, or a dash for None."""
    if value is None:
        return "–"
    size = abs(value)
    return ("−" if value < 0 else "") + (f"{size:,.0f}" if size >= 10_000 else f"{size:.4g}")


def percent(share: float | None) -> str:
    """Return a share as a percentage, or a dash for None."""
    if share is None:
        return "–"
    return f"{100 * share:.1f} %".replace("-", "−")


def _time(value: str | int) -> str:
    return value[:16].replace("T", " ") if isinstance(value, str) else f"step {value}"


def duration(seconds: float) -> str:
    """Return a time in seconds, minutes or hours."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _part(part: Mapping[str, Any]) -> str:
    return f"{_time(part['first'])} to {_time(part['last'])} ({part['steps']:,} steps)"


def _heat(value: float | None) -> float:
    """Return the strength of a colour, 0 to 1, of an error relative to the mean: none at 0.75, all at 2."""
    return 0.0 if value is None else round(min(1.0, max(0.0, (value - 0.75) / 1.25)), 2)
