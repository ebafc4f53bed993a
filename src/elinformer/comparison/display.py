"""What a comparison shows while it is at work: a line for every run that ended, and a table of those that run."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.live import Live
from rich.table import Table

from elinformer.comparison.store import is_done
from elinformer.report.tables import add_row, number

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from rich.console import Console

    from elinformer.comparison.plan import Document, Job
    from elinformer.comparison.pool import Worker


class Display:
    """Draws on `console` while it is a terminal, and writes plain lines where it is none.

    Args:
        console: Where.
        total: How many jobs there are to do.
    """

    def __init__(self, console: Console, total: int) -> None:
        self.console, self.total = console, total
        self.done = self.failed = self._told = 0
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
            self._say("interrupted: the same command goes on from here")

    def started(self, job: Job) -> None:
        """A line, where no table shows it."""
        if self._live is None:
            self._say(f"{job}: begun")

    def ended(self, job: Job, run: Document, seconds: float) -> None:
        """A line with the scores, or with what went wrong."""
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

    def look(self, running: Sequence[Worker], left: float | None) -> None:
        """Draw the table of what runs; without a terminal, a line whenever something has ended."""
        if self._live is None:
            if left is not None and self.done != self._told:
                self._told = self.done
                self._say(self._title(left))
            return
        table = Table(box=SIMPLE_HEAD, title=self._title(left), title_justify="left", pad_edge=False)
        for heading in ("data", "model", "seed", "epoch", "validation MAE", "time"):
            table.add_column(heading, justify="left" if heading in {"data", "model"} else "right")
        for worker in running:
            data, model, seed = worker.job.place
            said = worker.progress
            epoch = f"{said['epoch']} of {said['epochs']}" if said.get("epoch") else "-"
            cells = data, model, str(seed), epoch, number(said.get("validation_mae")), _time(worker.seconds)
            add_row(table, *cells)
        self._live.update(table)

    def _title(self, left: float | None) -> str:
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{self.done} of {self.total} done{failed}, {'-' if left is None else _time(left)} left"

    def _say(self, line: str, style: str | None = None) -> None:
        self.console.print(line, style=style, highlight=False, markup=False, soft_wrap=True)


def _time(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
