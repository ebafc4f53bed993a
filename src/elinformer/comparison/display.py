"""Output of a comparison: progress while it runs, and the results as tables for the terminal and in Markdown."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.live import Live
from rich.table import Table

from elinformer.comparison.results import is_done
from elinformer.report.tables import NumberTable, add_row, number

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from rich.console import Console

    from elinformer.comparison.plan import Document, Job
    from elinformer.comparison.pool import Worker

MEBIBYTE = 1 << 20


class Display:
    """Progress of a comparison: a live table on a terminal, plain lines elsewhere.

    Args:
        console: Console of both.
        total: Number of jobs.
    """

    def __init__(self, console: Console, total: int) -> None:
        self.console, self.total = console, total
        self.done = self.failed = self._last_done = 0
        self._live = Live(console=console, transient=True, refresh_per_second=2) if console.is_terminal else None

    def __enter__(self) -> Display:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
        if kind is KeyboardInterrupt:
            self._say("interrupted: the same command resumes from here")

    def started(self, job: Job) -> None:
        """Write a line, where there is no live table."""
        if self._live is None:
            self._say(f"{job}: started")

    def ended(self, job: Job, run: Document, seconds: float) -> None:
        """Write a line with the scores, or with the error."""
        self.done += 1
        place = f"[{self.done} of {self.total}]"
        if not is_done(run):
            self.failed += 1
            self._say(f"{place} {job}: failed, {run['error']}", style="red")
            return
        training = f", epoch {run['best_epoch']} of {run['epochs']}" if run["epochs"] else ""
        self._say(
            f"{place} {job}: test MAE {number(run['test']['mae'])}, validation MAE {number(run['validation_mae'])}"
            f"{training}, {seconds:.0f} s"
        )

    def show(self, running: Sequence[Worker], left: float | None) -> None:
        """Draw the table of running jobs; without a terminal, write a line after a job has ended."""
        if self._live is None:
            if left is not None and self.done != self._last_done:
                self._last_done = self.done
                self._say(self._title(left))
            return
        table = Table(box=SIMPLE_HEAD, title=self._title(left), title_justify="left", pad_edge=False)
        for heading in ("data", "model", "seed", "epoch", "validation MAE", "time"):
            table.add_column(heading, justify="left" if heading in {"data", "model"} else "right")
        for worker in running:
            data, model, seed = worker.job.place
            progress = worker.progress
            epoch = f"{progress['epoch']} of {progress['epochs']}" if progress.get("epoch") else "-"
            cells = data, model, str(seed), epoch, number(progress.get("validation_mae")), _time(worker.seconds)
            add_row(table, *cells)
        self._live.update(table)

    def _title(self, left: float | None) -> str:
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{self.done} of {self.total} done{failed}, {'-' if left is None else _time(left)} left"

    def _say(self, line: str, style: str | None = None) -> None:
        self.console.print(line, style=style, highlight=False, markup=False, soft_wrap=True)


def _time(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


@dataclass(frozen=True)
class Sheet:
    """A table whose first column is text and whose others are numbers.

    Attributes:
        kind: "scores", "channels", "steps", "differences", "costs" or "ranks".
        title: Title.
        headings: Headings of the columns.
        rows: Cells.
    """

    kind: str
    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def sheets(results: Document, *, full: bool = False) -> Iterator[Sheet]:
    """Return the tables of a comparison, data set by data set, then the ranks over all of them.

    Args:
        results: Document of `results.json`.
        full: Whether to include all scores at all steps, which are too wide for a terminal.
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
    """Return sentences beside the tables: failed and missing runs, and limits of the comparison."""
    found: list[str] = []
    if results["quick"]:
        found.append("--quick: too few epochs to compare models; this run only shows that everything works")
    found += [f"failed: {run['data']} {run['model']} seed {run['seed']}: {run['error']}" for run in results["failed"]]
    missing = [f"{run['data']} {run['model']} seed {run['seed']}" for run in results["missing"]]
    if missing:
        found.append(f"missing, because the budget was used up or the comparison was ended: {', '.join(missing)}")
    if alone := _compared_on_one_seed(results):
        found.append(f"one seed: intervals and p are over days alone, so they are too narrow, for {', '.join(alone)}")
    if len(results["code"]) > 1:
        found.append(f"these runs come from {len(results['code'])} states of the library's code")
    if len(results["machines"]) > 1:
        found.append(f"these runs come from {len(results['machines'])} machines: their times do not compare")
    return found


def _compared_on_one_seed(results: Document) -> list[str]:
    return [
        f"{data} {model}"
        for data, entries in results["summary"].items()
        for model, entry in entries.items()
        if entry["against_reference"] and entry["against_reference"]["seeds"] == 1
    ]


def rich_table(sheet: Sheet) -> Table:
    """Return the table for the terminal."""
    table = NumberTable(sheet.title, *sheet.headings, no_wrap=True)
    for row in sheet.rows:
        add_row(table, *row, style="bold" if row[0] == "elinformer" else None)
    return table


def markdown(results: Document) -> str:
    """Return the page `results.md`."""
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
    """Return the table in Markdown, without its title."""
    rule = ("---", *("---:" for _ in sheet.headings[1:]))
    rows = (sheet.headings, rule, *sheet.rows)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _has_channels(entries: Document) -> bool:
    return any(len(entry["by_channel"]) > 1 for entry in entries.values())


def _accuracy(data: str, entries: Document) -> Sheet:
    """Return scores in 80 columns: relative errors of one channel, or scaled errors of several in different units."""
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
    return Sheet("costs", f"{data}: costs; s/1,000 = seconds of 1,000 forecasts of all series", headings, tuple(rows))


def _shown_steps(entries: Document) -> list[str]:
    return list(next(iter(entries.values()))["by_horizon"])


def _with_sd(entry: Document, name: str) -> str:
    mean, deviation = entry[f"{name}_mean"], entry[f"{name}_sd"]
    return number(mean) if deviation is None else f"{number(mean)} ± {deviation:.2g}"


def _percent(value: float) -> str:
    return f"{100 * value:+.1f}"


def _mebibytes(value: Any) -> str:
    return "-" if value is None else f"{value / MEBIBYTE:,.0f}"
