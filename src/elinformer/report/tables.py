"""Tables for the terminal: names stand in them as they are, brackets are no markup."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from elinformer.data.catalog import Dataset

Document = dict[str, Any]


def number(value: float | None) -> str:
    """Return four significant digits, or a dash for a score that could not be computed."""
    return "-" if value is None else f"{value:.4g}"


def number_table(title: str, first: str, *numbers: str, no_wrap: bool = False) -> Table:
    """Return an empty table: the first column is text, the others are numbers, in one line each with `no_wrap`."""
    table = Table(box=SIMPLE_HEAD, title=Text(title), title_justify="left", collapse_padding=True, pad_edge=False)
    table.add_column(Text(first), no_wrap=True)
    for heading in numbers:
        table.add_column(Text(heading), justify="right", no_wrap=no_wrap)
    return table


def add_row(table: Table, *cells: str, style: str | None = None) -> None:
    """Add a row of plain text."""
    table.add_row(*map(Text, cells), style=style)


def score_table(title: str, test: Document, naive: Mapping[str, Document]) -> Table:
    """Return MAE at some horizon steps, and all scores over all steps, a row a forecast."""
    rows = {"elinformer": test, **naive}
    steps = _shown_steps(test)
    headings = (*(f"step {step}" for step in steps), "MAE", "RMSE", "MAPE %")
    table = number_table(f"{title}: MAE at some steps, then over all", "forecast", *headings)
    for name, report in rows.items():
        at_steps = [report["by_horizon"][step]["mae"] for step in steps]
        cells = [number(value) for value in (*at_steps, report["mae"], report["rmse"], report["mape"])]
        add_row(table, name, *cells, style="bold" if name == "elinformer" else None)
    return table


def interval_line(intervals: Document) -> str:
    """Return a sentence on the coverage and the mean width of the intervals of 80 and 95 %, and their score."""
    coverage, width = intervals["coverage"], intervals["width"]
    parts = [
        f"the {level} % interval covers {_percent(coverage[level])} % of the values, at a mean width of "
        f"{number(width[level])}"
        for level in ("80", "95")
    ]
    return f"{'; '.join(parts)}; weighted interval score {number(intervals['wis'])}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def channel_table(test: Document, naive: Mapping[str, Document]) -> Table:
    """Return the MAE of every channel, a row a channel, a column a forecast."""
    table = number_table("MAE by channel", "channel", "elinformer", *(_short(name) for name in naive))
    for channel, scores in test["by_channel"].items():
        others = [report["by_channel"][channel]["mae"] for report in naive.values()]
        add_row(table, channel, *(number(value) for value in (scores["mae"], *others)))
    return table


def score_ratio_table(document: Document) -> Table:
    """Return scaled errors, a row a group of series, the smallest of each row in bold; below 1 beats seasonal naive."""
    forecasts = list(next(iter(document["groups"].values())))
    horizon = list(next(iter(document["groups"].values()))[forecasts[0]]["by_horizon"])
    steps = [step for step in ("1", "6", "12") if step in horizon]
    title = f"scaled error: MAE over that of {document['divided_by']} (@6: at step 6)"
    table = number_table(title, "series", *(f"@{step}" for step in steps), *(_short(name) for name in forecasts))
    for name, scores in document["groups"].items():
        at_steps = [_hundredths(scores["elinformer"]["by_horizon"][step]) for step in steps]
        overall = [scores[forecast]["overall"] for forecast in forecasts]
        best = min((value for value in overall if value is not None), default=None)
        cells = [Text(_hundredths(v), style="bold green" if v == best else "") for v in overall]
        table.add_row(Text(name), *at_steps, *cells)
    return table


def _short(forecast: str) -> str:
    return forecast.removeprefix("same time ")


def _hundredths(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def added_table(added: Document) -> Table:
    """Return the errors to expect of series that were added: MAE on the last fifth of their history."""
    table = number_table("MAE on the last fifth of the history", "forecast", "MAE")
    add_row(table, "added series, embeddings from before", number(added["mae"]), style="bold")
    for name, error in added["naive"].items():
        add_row(table, f"added series, {name}", number(error))
    add_row(table, "series of training", number(added["trained"]))
    add_row(table, "series of training, left out in turn", number(added["left_out"]))
    return table


def dataset_table(datasets: Iterable[Dataset]) -> Table:
    """Return the catalogue, a row a data set."""
    table = Table(box=SIMPLE_HEAD, title="data sets", title_justify="left")
    for heading in ("name", "content", "steps x series x channels", "step", "null", "licence"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "name")
    for dataset in datasets:
        null = "-" if dataset.null_value is None else f"{dataset.null_value:g}"
        shape = " x ".join(str(size) for size in dataset.shape)
        add_row(table, dataset.name, dataset.title, shape, dataset.freq, null, dataset.licence)
    return table


def _shown_steps(report: Document) -> list[str]:
    steps = [str(step) for step in (3, 6, 12) if str(step) in report["by_horizon"]]
    return steps or list(report["by_horizon"])[:1]
