"""Notes of benchmarks beside their numbers."""

from __future__ import annotations

import os
import resource
import time

import pytest
from benchmarks._common import OtherLoad, name_and_options

from benchmarks import _common


def work_in_child(seconds: float) -> None:
    if not (child := os.fork()):
        while time.process_time() < seconds:
            pass
        os._exit(0)
    os.waitpid(child, 0)


def test_own_children_do_not_count_as_other_load(monkeypatch: pytest.MonkeyPatch) -> None:
    def ours() -> float:
        both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return sum(usage.ru_utime + usage.ru_stime for usage in both)

    monkeypatch.setattr(_common, "_busy_seconds", ours)  # a machine that does nothing else
    before = ours()
    with OtherLoad() as other_load:
        work_in_child(0.3)
    assert ours() - before > 0.2
    assert other_load.cores < 0.1
    assert other_load.note() is None


def test_a_label_is_split_into_name_and_options() -> None:
    assert name_and_options("elinformer@attention=softmax") == ("elinformer", {"attention": "softmax"})
    assert name_and_options("stid") == ("stid", {})
