"""What is shown while a comparison is at work, on a terminal and elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console

from elinformer.comparison.display import Display
from elinformer.comparison.plan import Job
from elinformer.comparison.pool import Worker

MakeJob = Callable[..., Job]
RUN: dict[str, Any] = {"test": {"mae": 19.314}, "validation_mae": 18.9, "best_epoch": 27, "epochs": 30}


def display(*, terminal: bool, total: int = 2) -> Display:
    return Display(Console(file=StringIO(), force_terminal=terminal, width=100), total)


def shown(on: Display) -> str:
    return cast("StringIO", on.console.file).getvalue()


def test_elsewhere_than_on_a_terminal_there_is_a_line_when_a_job_begins_and_when_it_ends(make_job: MakeJob) -> None:
    job = make_job("stid", seed=1)
    with display(terminal=False) as lines:
        lines.started(job)
        lines.show([], None)
        lines.ended(job, RUN, 235.2)
        lines.show([], 60.0)
        lines.show([], 59.0)
        lines.ended(job, {"error": "killed by [SIGKILL]"}, 3.0)
    assert shown(lines).splitlines() == [
        "d stid seed 1: started",
        "[1 of 2] d stid seed 1: test MAE 19.31, validation MAE 18.9, epoch 27 of 30, 235 s",
        "1 of 2 done, 0:01:00 left",
        "[2 of 2] d stid seed 1: failed, killed by [SIGKILL]",
    ]


def test_a_naive_forecast_has_no_epochs(make_job: MakeJob) -> None:
    with display(terminal=False) as lines:
        lines.ended(make_job("last_value"), {**RUN, "epochs": 0, "best_epoch": 0}, 9.0)
    assert shown(lines) == "[1 of 2] d last_value seed 0: test MAE 19.31, validation MAE 18.9, 9 s\n"


def test_a_terminal_shows_what_runs_how_far_it_is_and_the_time_left(make_job: MakeJob) -> None:
    progress = {"epoch": 3, "epochs": 30, "validation_mae": 20.5}
    running = [
        SimpleNamespace(job=make_job("stid", seed=1), progress=progress, seconds=61.0),
        SimpleNamespace(job=make_job("last_value"), progress={}, seconds=2.0),
    ]
    with display(terminal=True) as table:
        table.show(cast("list[Worker]", running), 3723.0)
    for words in ("0 of 2 done, 1:02:03 left", "3 of 30", "20.5", "0:01:01", "last_value"):
        assert words in shown(table)


def test_an_interrupt_says_how_to_go_on() -> None:
    lines = display(terminal=False)
    with pytest.raises(KeyboardInterrupt), lines:
        raise KeyboardInterrupt
    assert shown(lines) == "interrupted: the same command resumes from here\n"
