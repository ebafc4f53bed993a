"""The results as tables, for the terminal and in Markdown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from elinformer.report.tables import add_row, number, number_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.table import Table

    from elinformer.comparison.plan import Document

MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Sheet:
    """A table: the first column is text, the others are numbers.

    Attributes:
        kind: "scores", "channels", "steps", "differences", "costs" or "ranks".
        title: What it shows.
        headings: Of the columns.
        rows: Their cells.
    """

    kind: str
    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def sheets(results: Document, *, full: bool = False) -> Iterator[Sheet]:
    """The tables of a comparison, data set by data set, then the ranks over all of them.

    Args:
        results: What `results.json` holds.
        full: With all scores at all steps, which is too wide for a terminal.
    """
    for data, entries in results["summary"].items():
        yield _accuracy(data, entries)
        if _has_channels(entries):
            yield _channels(data, entries)
        if full:
            yield _steps(data, entries)
        if any(entry["against_reference"] for entry in entries.values()):
            yield _differences(data, entries, results)
        yield _costs(data, entries)
    if len(results["summary"]) > 1:
        rows = tuple((m, f"{r['mean_rank']:.2f}", str(r["data_sets"])) for m, r in results["ranks"].items())
        yield Sheet("ranks", "mean rank over the data sets, by scaled error", ("model", "rank", "data sets"), rows)


def notes(results: Document) -> list[str]:
    """What has to be said beside the tables: what failed, what is missing, what they are no proof of."""
    said: list[str] = []
    if results["quick"]:
        said.append("--quick: too few epochs to compare models by; this shows that everything works")
    said += [f"failed: {run['data']} {run['model']} seed {run['seed']}: {run['error']}" for run in results["failed"]]
    missing = [f"{run['data']} {run['model']} seed {run['seed']}" for run in results["missing"]]
    if missing:
        said.append(f"missing, because the budget was used up or the comparison ended: {', '.join(missing)}")
    if alone := _compared_on_one_seed(results):
        said.append(f"one seed: intervals and p are over days alone, and too sure, for {', '.join(alone)}")
    if len(results["code"]) > 1:
        said.append(f"these runs come from {len(results['code'])} states of the library's code")
    if len(results["machines"]) > 1:
        said.append(f"these runs come from {len(results['machines'])} machines: their times do not compare")
    return said


def _compared_on_one_seed(results: Document) -> list[str]:
    return [
        f"{data} {model}"
        for data, entries in results["summary"].items()
        for model, entry in entries.items()
        if entry["against_reference"] and entry["against_reference"]["seeds"] == 1
    ]


def rich_table(sheet: Sheet) -> Table:
    """For the terminal."""
    table = number_table(sheet.title, *sheet.headings, no_wrap=True)
    for row in sheet.rows:
        add_row(table, *row, style="bold" if row[0] == "elinformer" else None)
    return table


def markdown(results: Document) -> str:
    """The page that `results.md` holds."""
    made = [f"Made by `{command}`." for command in results["commands"]]
    machine = [
        f"{machine['processor']}, {machine['cores']} cores, {machine['system']}." for machine in results["machines"]
    ]
    versions = [", ".join(f"{name} {version}" for name, version in found.items()) for found in results["versions"]]
    parts = ["# Comparison", "\n".join(made), "\n".join([*machine, *versions, results["date"]])]
    parts += [f"- {note}" for note in notes(results)]
    parts += [f"## {sheet.title}\n\n{markdown_table(sheet)}" for sheet in sheets(results, full=True)]
    return "\n\n".join(part for part in parts if part) + "\n"


def markdown_table(sheet: Sheet) -> str:
    """The table alone, without its title."""
    rule = ("---", *("---:" for _ in sheet.headings[1:]))
    rows = (sheet.headings, rule, *sheet.rows)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _has_channels(entries: Document) -> bool:
    return any(len(entry["by_channel"]) > 1 for entry in entries.values())


def _accuracy(data: str, entries: Document) -> Sheet:
    """Scores in 80 columns: relative errors of one channel, or scaled errors of several in different units."""
    steps = _shown_steps(entries)
    several = _has_channels(entries)
    last = "scaled_error_mean" if several else "mape_mean"
    rows = [
        (
            model,
            str(len(entry["seeds"])),
            *(number(entry["by_horizon"][step]["mae_mean"]) for step in steps),
            _with_sd(entry, "mae"),
            number(entry["rmse_mean"]),
            number(entry[last]),
        )
        for model, entry in entries.items()
    ]
    headings = ("model", "seeds", *(f"@{step}" for step in steps), "MAE", "RMSE", "scaled" if several else "MAPE %")
    return Sheet("scores", f"{data}: test MAE at some steps, then scores over all", headings, tuple(rows))


def _steps(data: str, entries: Document) -> Sheet:
    steps = _shown_steps(entries)
    cells = [(step, metric) for metric in ("mae", "rmse", "mape") for step in (*steps, "all")]
    rows = [
        (model, *(_with_sd({**entry["by_horizon"], "all": entry}[step], metric) for step, metric in cells))
        for model, entry in entries.items()
    ]
    headings = ("model", *(f"{metric.upper()} {step}" for step, metric in cells))
    return Sheet("steps", f"{data}: scores at some steps and over all, with standard deviations", headings, tuple(rows))


def _channels(data: str, entries: Document) -> Sheet:
    names = list(next(iter(entries.values()))["by_channel"])
    rows = [
        (model, *(_with_sd(entry["by_channel"][name], "mae") for name in names)) for model, entry in entries.items()
    ]
    return Sheet("channels", f"{data}: MAE by channel", ("model", *names), tuple(rows))


def _differences(data: str, entries: Document, results: Document) -> Sheet:
    blocks = results["data"][data]["blocks"]
    rows: list[tuple[str, ...]] = []
    for model, entry in entries.items():
        found = entry["against_reference"]
        if found is not None:
            interval = f"{_percent(found['low'])} to {_percent(found['high'])}"
            p_values = f"{found['p']:.4f}", f"{found['p_holm']:.4f}"
            rows.append((model, _percent(found["relative"]), interval, *p_values, str(found["seeds"])))
    title = f"{data}: % of error above {results['reference']}'s; {blocks['number']} blocks of time ({blocks['kind']})"
    return Sheet("differences", title, ("model", "difference", "95 % interval", "p", "p (Holm)", "seeds"), tuple(rows))


def _costs(data: str, entries: Document) -> Sheet:
    rows = [
        (
            model,
            f"{entry['parameters']:,}",
            number(entry["train_seconds_mean"]),
            f"{entry['best_epoch_mean']:.0f} of {entry['epochs']}" if entry["epochs"] else "-",
            number(entry["seconds_per_1000_forecasts_mean"]),
            _mebibytes(entry["peak_memory_bytes"]),
            _mebibytes(entry["import_memory_bytes"]),
        )
        for model, entry in entries.items()
    ]
    headings = ("model", "parameters", "train s", "best epoch", "s/1,000", "peak MiB", "start MiB")
    return Sheet(
        "costs", f"{data}: what it takes; seconds are per 1,000 forecasts of all series", headings, tuple(rows)
    )


def _shown_steps(entries: Document) -> list[str]:
    return list(next(iter(entries.values()))["by_horizon"])


def _with_sd(entry: Document, name: str) -> str:
    mean, deviation = entry[f"{name}_mean"], entry[f"{name}_sd"]
    return number(mean) if deviation is None else f"{number(mean)} ± {deviation:.2g}"


def _percent(value: float) -> str:
    return f"{100 * value:+.1f}"


def _mebibytes(value: Any) -> str:
    return "-" if value is None else f"{value / MEBIBYTE:,.0f}"
