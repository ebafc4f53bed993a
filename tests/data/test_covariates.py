"""Covariates in panels, windows and panel folders."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from elinformer.data.covariates import Covariates, Scales, names_of
from elinformer.data.io.folder import open_panel, write_panel
from elinformer.data.panel import Panel, fingerprint
from elinformer.data.series_info import SeriesInfo
from elinformer.data.windows import Reach, WindowDataset
from elinformer.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

N_STEPS, N_SERIES, HORIZON = 20, 3, 4


@pytest.fixture(scope="module")
def panel() -> Panel:
    """Return a panel with shared and own covariates, which are known for the horizon after its end."""
    return make_panel()


def make_panel(**changes: Any) -> Panel:
    steps, series = np.arange(N_STEPS), np.arange(N_SERIES)
    later = np.arange(N_STEPS + HORIZON)
    arguments: dict[str, Any] = {
        "past": {"sold": 100 * steps[:, None] + series},
        "future": {"temp": later[:, None] + 1000 * series, "price": -later},
        "static": {"height": [1.0, 2.0, 4.0], "kind": ["a", "b", "a"]},
    }
    values = steps[:, None] + 0.1 * series
    return Panel.from_arrays(values, start="2024-01-01", freq="1h", series=["x", "y", "z"], **(arguments | changes))


def test_windows_hold_covariates_of_their_steps(panel: Panel) -> None:
    batch = WindowDataset(panel, None, np.array([5, N_STEPS]), Reach(3, HORIZON), with_targets=False)[[0, 1]]
    assert batch.past is not None
    assert batch.future is not None
    np.testing.assert_array_equal(batch.past[0, :, 1, 0], [201, 301, 401])  # nothing of the horizon
    np.testing.assert_array_equal(batch.future[0, :, 2, 0], np.arange(2, 9) + 2000)
    np.testing.assert_array_equal(batch.future[1, :, 1, 1], -np.arange(17.0, 24))
    np.testing.assert_array_equal(batch.static, [[1, 1, 0], [2, 0, 1], [4, 1, 0]])
    assert names_of(panel.future) == ("temp", "price")


def test_covariates_that_all_series_share_are_stored_once() -> None:
    shared = make_panel(past=None, static=None, future={"price": np.arange(N_STEPS)})
    batch = WindowDataset(shared, None, np.array([5]), Reach(3, HORIZON))[[0]]
    assert batch.future is not None
    assert batch.future.shape == (1, 7, 1, 1)
    assert batch.select_series(np.array([2, 0])).future is batch.future


def test_lagged_steps_have_their_own_covariates(panel: Panel) -> None:
    batch = WindowDataset(panel, None, np.array([10]), Reach(2, 2, lags=(6,)))[[0]]
    assert batch.past is not None
    np.testing.assert_array_equal(batch.past[0, 4:, 0, 0], [400, 500, 800, 900])  # after the means of the season


def test_selected_series_and_steps_keep_their_covariates(panel: Panel) -> None:
    part = panel.select([2, 0], slice(4, 10))
    np.testing.assert_array_equal(part.past[0].values[:, 0, 0], 100 * np.arange(4, 10) + 2)
    np.testing.assert_array_equal(part.future[1].values[:, 0, 0], -np.arange(4, N_STEPS + HORIZON))
    assert part.static is not None
    np.testing.assert_array_equal(part.static.values[:, 0], [4, 1])


def test_rows_of_a_shard_are_those_of_its_series(panel: Panel) -> None:
    windows = WindowDataset(panel, None, np.array([5]), Reach(3, HORIZON))
    whole, shard = windows[[0]], windows.select_series(slice(1, 3))[[0]]
    for name in ("values", "past", "future"):
        np.testing.assert_array_equal(getattr(shard, name), getattr(whole, name)[:, :, 1:3])
    assert whole.static is not None
    np.testing.assert_array_equal(shard.static, whole.static[1:])


def test_horizon_without_its_covariates_is_refused_by_name_and_time(panel: Panel) -> None:
    with pytest.raises(InputError, match=r"'temp'.*2024-01-02T00"):
        WindowDataset(panel, None, np.array([N_STEPS]), Reach(3, HORIZON + 1), with_targets=False)


@pytest.mark.parametrize(
    "wrong",
    [
        {"past": {"sold": np.ones(N_STEPS + 1)}},
        {"future": {"temp": np.ones(N_STEPS - 1)}},
        {"future": {"temp": np.ones((N_STEPS, N_SERIES + 1))}},
        {"future": {"temp": np.full(N_STEPS, np.inf)}},
        {"future": {"temp": ["warm"] * N_STEPS}},
        {"future": {"sold": np.ones(N_STEPS)}},
        {"static": {"height": [1.0, 2.0]}},
        {"static": {"height": [1.0, np.nan, 2.0]}},
        {"static": {"a=b": [1.0, 2.0, 3.0]}},
    ],
)
def test_covariates_that_do_not_fit_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        make_panel(**wrong)


def test_folder_holds_all_covariates_mapped(panel: Panel, tmp_path: Path) -> None:
    back = write_panel(panel, tmp_path / "panel")
    assert isinstance(back.future[0].values.base, np.memmap)
    assert fingerprint(back) == fingerprint(panel)
    assert open_panel(tmp_path / "panel").static is not None


def test_fingerprint_depends_on_covariates_and_their_names(panel: Panel) -> None:
    others = [
        make_panel(static=None),
        make_panel(past={"sold": np.ones(N_STEPS)}),
        replace(panel, past=(Covariates(("bought",), panel.past[0].values),)),
    ]
    assert len({fingerprint(each) for each in (panel, *others)}) == 4


def test_scale_is_that_of_the_observed_training_steps() -> None:
    numbers = np.random.default_rng(0).normal(1e4, 2, size=(50, N_SERIES)).astype(np.float32)
    numbers[3, 1] = np.nan
    scales = Scales.of([Covariates(("x", "k=a"), np.stack([numbers, numbers > 1e4], -1).astype(np.float32))])
    np.testing.assert_allclose(scales.mean, [np.nanmean(numbers.astype(float)), 0], rtol=1e-6)
    np.testing.assert_allclose(scales.std, [np.nanstd(numbers.astype(float)), 1], rtol=1e-4)
    constant = Scales.of([Covariates(("x",), np.full((9, 1, 1), 7, np.float32))])
    assert (constant.mean, constant.std) == ((7.0,), (1.0,))


def test_run_knows_its_covariates_after_json(panel: Panel) -> None:
    info = SeriesInfo.of(panel, np.arange(2, 15))
    assert SeriesInfo.from_document(info.to_document()) == info


def test_new_data_get_the_order_of_training_and_its_static_features(panel: Panel) -> None:
    info = SeriesInfo.of(panel, np.arange(2, 15))
    history = replace(panel.select([1, 0]), static=None)
    history = replace(history, future=tuple(reversed(history.future)))
    aligned = info.align(history)
    assert names_of(aligned.future) == ("temp", "price")
    assert aligned.static is not None
    assert panel.static is not None
    np.testing.assert_array_equal(aligned.static.values, panel.static.values)
    np.testing.assert_array_equal(aligned.past[0].values[:, :2], panel.past[0].values[:, :2])


def test_category_that_training_never_saw_is_unknown(panel: Panel) -> None:
    info = SeriesInfo.of(panel, np.arange(2, 15))
    other = make_panel(static={"height": [1.0, 2.0, 3.0], "kind": ["a", "new", "b"]})
    aligned = info.align(other)
    assert aligned.static is not None
    np.testing.assert_array_equal(aligned.static.values, [[1, 1, 0], [2, 0, 0], [3, 0, 1]])


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"future": {"price": np.ones(N_STEPS)}}, "temp"),
        ({"past": {"sold": np.ones(N_STEPS), "bought": np.ones(N_STEPS)}}, "bought"),
        ({"static": {"height": [1.0, 2.0, 3.0]}}, "kind"),
    ],
)
def test_other_covariates_than_those_of_training_are_refused_by_name(
    panel: Panel, changes: dict[str, Any], name: str
) -> None:
    with pytest.raises(InputError, match=name):
        SeriesInfo.of(panel, np.arange(2, 15)).align(make_panel(**changes))
