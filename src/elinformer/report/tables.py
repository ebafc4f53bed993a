"""Tables for the terminal: names stand in them as they are, brackets are no markup."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd
    from rich.console import Console, ConsoleOptions, RenderResult

    from elinformer.data.catalog import Dataset

Document = dict[str, Any]


def number(value: float | None) -> str:
    """Return four significant digits, or a dash for a score that could not be computed."""
    return "-" if value is None else f"{value:.4g}"


class NumberTable(Table):
    """Table of numbers. On a narrow terminal it leaves columns out, rather than cut numbers.

    Args:
        title: Line above the table.
        first: Heading of the first column, which is text.
        numbers: Headings of the others.
        no_wrap: Whether a cell stays in one line.
        least: Headings of columns that can be left out, the first of them first.
    """

    def __init__(self, title: str, first: str, *numbers: str, no_wrap: bool = False, least: Sequence[str] = ()) -> None:
        super().__init__(
            box=SIMPLE_HEAD, title=Text(title), title_justify="left", collapse_padding=True, pad_edge=False
        )
        self._no_wrap, self._least = no_wrap, list(least)
        self.add_column(Text(first), no_wrap=True)
        for heading in numbers:
            self.add_column(Text(heading), justify="right", no_wrap=no_wrap)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the table, or the one without the next column where it is too wide."""
        if not self._least or self._natural_width() <= options.max_width:
            yield from super().__rich_console__(console, options)
            return
        dropped, *least = self._least
        kept = [column for column in self.columns if str(column.header) != dropped]
        first, *numbers = (str(column.header) for column in kept)
        narrower = NumberTable(str(self.title), first, *numbers, no_wrap=self._no_wrap, least=least)
        for row, cells in zip(self.rows, zip(*(column.cells for column in kept), strict=True), strict=True):
            narrower.add_row(*cells, style=row.style)
        yield narrower

    def _natural_width(self) -> int:
        """Return the width of the table if nothing is cut and no heading wraps."""
        widths = (max(cell_len(str(text)) for text in (column.header, *column.cells)) for column in self.columns)
        return sum(2 + width for width in widths)


def add_row(table: Table, *cells: str, style: str | None = None) -> None:
    """Add a row of plain text."""
    table.add_row(*map(Text, cells), style=style)


def score_table(title: str, document: Document) -> Table:
    """Return the errors at some horizon steps and over all, a row a forecast, beside those of naive forecasts.

    Errors are in the units of the data if all series have one unit, else they are MASE.
    """
    rows, verdict = {"elinformer": document["test"], **document["naive"]}, document["verdict"]
    steps, scaled = _shown_steps(document["test"]), verdict["scaled"]
    in_units = not verdict["units_differ"]
    kind, overall = ("MAE", ("MAE", "RMSE", "MAPE %")) if in_units else ("MASE", ("MASE", "RMSSE"))
    at_steps = [f"step {step}" for step in steps]
    least = ["MAPE %", *at_steps, "RMSE", "RMSSE"]
    title = f"{title}: {kind} at some steps, then over all"
    table = NumberTable(title, "forecast", *at_steps, *overall, "ratio", least=least)
    for name, report in rows.items():
        if in_units:
            errors = [report["by_horizon"][step]["mae"] for step in steps]
            errors += [report["mae"], report["rmse"], report["mape"]]
        else:
            errors = [scaled[name]["mase_by_horizon"][step] for step in steps]
            errors += [scaled[name]["mase"], scaled[name]["rmsse"]]
        cells = *map(number, errors), _hundredths(scaled[name]["ratio"])
        add_row(table, name, *cells, style="bold" if name == "elinformer" else None)
    return table


def interval_text(document: Document) -> str:
    """Return a sentence on the coverage and the mean width of the intervals of 80 and 95 %, and their score.

    Widths and the score have the unit of the data, and are left out where units differ.
    """
    intervals, in_units = document["test"]["intervals"], not document["verdict"]["units_differ"]
    parts = []
    for level in ("80", "95"):
        width = f", at a mean width of {number(intervals['width'][level])}" if in_units else ""
        parts.append(f"the {level} % interval covers {_percent(intervals['coverage'][level])} % of the values{width}")
    return "; ".join([*parts, *([f"weighted interval score {number(intervals['wis'])}"] if in_units else [])])


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def channel_table(document: Document) -> Table:
    """Return the MAE of every channel, a row a channel, beside that of the best naive forecast."""
    best = document["verdict"]["best_naive"]
    table = NumberTable("MAE by channel", "channel", "elinformer", best)
    for channel, scores in document["test"]["by_channel"].items():
        other = document["naive"][best]["by_channel"][channel]
        add_row(table, channel, number(scores["mae"]), number(other["mae"]))
    return table


def verdict_text(verdict: Document) -> str:
    """Return in sentences how the forecasts stand beside the best naive one, and what to try if they are behind."""
    best, ratio, n_series = (verdict[name] for name in ("best_naive", "ratio", "n_series"))
    if ratio is None:
        return f"Best naive forecast: {best}. There is no ratio to it, because no series has two errors above zero."
    behind, clearly = (f"{verdict[name]:.0%}" for name in ("series_behind", "series_clearly_behind"))
    standing = (
        f"Best naive forecast: {best}. The MAE is {_hundredths(ratio)} of its (ratio, geometric mean over {n_series} "
        f"series), and larger on {behind} of the series (on {clearly} by more than 2 %)."
    )
    sentences = [standing]
    if verdict["advice"] is not None:
        sentences.append(f"This is worse than naive: {verdict['advice']}.")
    if (sparse := verdict["sparse"]) is not None and sparse["bias_percent"] is not None:
        sentences.append(
            f"{sparse['n_series']} series are zero more than half of the time; over them the total of the forecasts is "
            f"{_difference(sparse['bias_percent'])} that of the targets ({best}: "
            f"{_difference(sparse['best_naive_bias_percent'])}). For totals, take the mean of scenarios."
        )
    return "\n".join(sentences)


def _difference(percent: float) -> str:
    return f"{abs(percent):.0f} % {'above' if percent > 0 else 'below'}"


def score_ratio_table(document: Document) -> Table:
    """Return scaled errors, a row a group of series, the smallest of each row in bold; below 1 beats seasonal naive.

    The last column is the coverage of the 80 % interval.
    """
    forecasts = list(next(iter(document["groups"].values())))
    horizon = list(next(iter(document["groups"].values()))[forecasts[0]]["by_horizon"])
    steps = [step for step in ("1", "6", "12") if step in horizon]
    title = f"scaled error: MAE over that of {document['divided_by']} (@{steps[-1]}: at step {steps[-1]})"
    at_steps, names = [f"@{step}" for step in steps], [_short(name) for name in forecasts]
    least = [*at_steps[:-1], "80 % covers", at_steps[-1], *names[:0:-1]]
    table = NumberTable(title, "series", *at_steps, *names, "80 % covers", least=least)
    for name, scores in document["groups"].items():
        errors = [_hundredths(scores["elinformer"]["by_horizon"][step]) for step in steps]
        overall = [scores[forecast]["overall"] for forecast in forecasts]
        best = min((value for value in overall if value is not None), default=None)
        cells = [Text(_hundredths(v), style="bold green" if v == best else "") for v in overall]
        table.add_row(Text(name), *errors, *cells, f"{_percent(document['coverage'][name])} %")
    return table


def _short(forecast: str) -> str:
    return forecast.removeprefix("same time ")


def _hundredths(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def errors_by_cutoff(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the MAE of every window of a cross-validation and of all, a row a cutoff, a column a channel."""
    observed = [name for name in frame.columns if name == "y" or name.startswith("y_")]
    forecasts = frame.columns[3 + len(observed) :][: len(observed)]
    errors = frame[["cutoff"]].assign(
        **{
            _channel_heading(y): (frame[y] - frame[forecast]).abs()
            for y, forecast in zip(observed, forecasts, strict=True)
        }
    )
    by_cutoff = errors.groupby("cutoff").mean().reset_index()
    by_cutoff["cutoff"] = by_cutoff["cutoff"].map(str)
    by_cutoff.loc[len(by_cutoff)] = ["all", *errors.drop(columns="cutoff").mean()]
    return by_cutoff


def cutoff_table(errors: pd.DataFrame) -> Table:
    """Return the errors of `errors_by_cutoff`, a row a cutoff, a column a channel."""
    table = NumberTable("MAE by cutoff", *errors.columns)
    for cutoff, *row in errors.itertuples(index=False):
        cells = (number(None if np.isnan(value) else value) for value in row)
        add_row(table, str(cutoff), *cells, style="bold" if cutoff == "all" else None)
    return table


def _channel_heading(column: str) -> str:
    return "MAE" if column == "y" else column.removeprefix("y_")


def added_table(added: Document) -> Table:
    """Return the errors to expect of series that were added: MAE on the last fifth of their history."""
    table = NumberTable("MAE on the last fifth of the history", "forecast", "MAE")
    add_row(table, "added series, embeddings from before", number(added["mae"]), style="bold")
    scored = "series of training, left out in turn" if added["mae"] is None else "added series"
    for name, error in added["naive"].items():
        add_row(table, f"{scored}, {name}", number(error))
    add_row(table, "series of training", number(added["trained"]))
    add_row(table, "series of training, left out in turn", number(added["left_out"]))
    return table


def finetuning_table(document: Document) -> Table:
    """Return the errors before and after a training went on, on the old test steps and on the newest steps."""
    table = NumberTable("error, in deviations of each series", "steps", "before", "after")
    add_row(table, "old, of the test part", number(document["old_before"]), number(document["old_after"]))
    add_row(table, "new, the last fifth", number(document["new_before"]), number(document["new_after"]))
    table.caption = f"{document['share']:.0%} of the change of the weights was kept"
    if document["new_series"]:
        table.caption += f"; {len(document['new_series'])} new series"
    return table


def anomaly_table(frame: pd.DataFrame, n_found: int) -> Table:
    """Return unusual readings, a row each; `n_found` is their number, of which `frame` has the farthest."""
    table = NumberTable(f"{n_found} unusual readings", "series", "time", "value", "expected", "usual", "distance")
    columns = [name for name in frame.columns if name != "channel" or len(frame[name].unique()) > 1]
    for row in frame[columns].itertuples(index=False):
        series, time, *channel, value, expected, low, high, distance = row
        name = f"{series} {channel[0]}" if channel else str(series)
        usual = f"{low:.4g} to {high:.4g}"
        add_row(table, name, str(time), f"{value:.4g}", f"{expected:.4g}", usual, f"{distance:.2g}")
    return table


def trial_table(trials: pd.DataFrame, options: Sequence[str]) -> Table:
    """Return the trials of a search, the best first, the others in the order of their loss."""
    table = NumberTable("trials by validation loss", "trial", "loss", *options, "state")
    for place, row in enumerate(trials.sort_values("loss").to_dict("records")):
        values = (_shown_option(row[name]) for name in options)
        cells = (number(None if np.isnan(row["loss"]) else row["loss"]), *values, row["state"])
        add_row(table, str(row["trial"]), *cells, style="bold" if not place else "")
    return table


def _shown_option(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


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
    """Return steps 3, 6 and 12 as far as there are such, and the last one."""
    steps = list(report["by_horizon"])
    return [step for step in steps if step in {"3", "6", "12", steps[-1]}]
