"""Fingerprint of a panel: dependence on values, times and names, and on nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from elinformer.data import pieces
from elinformer.data.panel import Panel, fingerprint

VALUES = np.random.default_rng(0).normal(size=(30, 4, 2)).astype(np.float32)
VALUES[3, 1] = np.nan


def a_panel(values: np.ndarray = VALUES, **changes: object) -> Panel:
    given = {"start": "2024-01-01", "freq": "1h", "locations": np.zeros((4, 2))} | changes
    return Panel.from_arrays(values, **given)  # pyright: ignore[reportArgumentType]


def test_the_name_of_a_panel_does_not_change_its_fingerprint() -> None:
    assert fingerprint(a_panel()) == fingerprint(a_panel(VALUES.copy(), name="other"))


def test_the_fingerprint_names_its_method_and_never_changes() -> None:
    panel = Panel.from_arrays(np.arange(6.0).reshape(3, 2), start="2024-01-01", freq="1h")
    assert fingerprint(panel) == "sha256:d458c8bca5549c07eeffcfcc82d6d43b04cfe03668943f81aad8aa0d61e12341"


def test_missing_values_do_not_change_the_fingerprint() -> None:
    panel = a_panel()
    others = np.where(panel.mask, panel.values, np.float32(7))
    assert fingerprint(replace(panel, values=others)) == fingerprint(panel)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("rows", [1, 7])
def test_memory_order_and_block_size_do_not_change_the_fingerprint(
    order: str, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, panel = fingerprint(a_panel()), a_panel()
    monkeypatch.setattr(pieces, "VALUES_AT_A_TIME", rows * VALUES[0].size)
    assert fingerprint(replace(panel, values=np.array(panel.values, order=order))) == expected  # pyright: ignore[reportArgumentType, reportCallIssue]


@pytest.mark.parametrize(
    "other",
    [
        a_panel(np.where(VALUES[9, 2, 1] == VALUES, 1, VALUES)),
        a_panel(np.nan_to_num(VALUES)),
        a_panel(VALUES[:-1]),
        a_panel(VALUES.reshape(30, 2, 4), locations=None),
        a_panel(locations=None),
        a_panel(locations=np.eye(4, 2)),
        a_panel(start="2024-01-02"),
        a_panel(freq="2h"),
        a_panel(start=None, freq=None),
        a_panel(steps_per_day=24),
        a_panel(series=["a", "b", "c", "d"]),
        a_panel(series=["0", "1", "3", "2"]),
        a_panel(channels=["flow", "speed"]),
    ],
)
def test_any_other_difference_changes_the_fingerprint(other: Panel) -> None:
    assert fingerprint(other) != fingerprint(a_panel())
