"""Panel: content, checks and views."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from elinformer.data.panel import Panel
from elinformer.errors import InputError

VALUES = np.arange(24, dtype=np.float32).reshape(4, 3, 2)


def a_panel(**changes: object) -> Panel:
    given = {"values": VALUES, "start": "2024-01-01", "freq": "1h", "steps_per_day": None} | changes
    return Panel.from_arrays(**given)  # pyright: ignore[reportArgumentType]


def test_a_panel_knows_its_sizes_names_and_times() -> None:
    panel = a_panel(series=["a", "b", "c"], channels=["flow", "speed"], locations=[[1, 2], [3, 4], [5, 6]])
    assert (panel.n_steps, panel.n_series, panel.n_channels) == (4, 3, 2)
    assert panel.series == ("a", "b", "c")
    assert panel.channels == ("flow", "speed")
    assert panel.timestamps[-1] == np.datetime64("2024-01-01T03:00")
    assert panel.locations is not None
    assert panel.locations.shape == (3, 2)
    assert panel.has_time
    assert panel.observed_share == 1


def test_names_are_numbers_by_default_and_one_channel_is_the_value() -> None:
    assert a_panel().series == ("0", "1", "2")
    assert a_panel().channels == ("0", "1")
    assert a_panel(values=VALUES[..., 0]).channels == ("value",)


def test_a_panel_without_a_start_counts_its_steps() -> None:
    panel = Panel.from_arrays(VALUES)
    np.testing.assert_array_equal(panel.timestamps, np.arange(4))
    assert panel.freq is None
    assert not panel.has_time
    np.testing.assert_array_equal(panel.future_timestamps(2), [4, 5])


@pytest.mark.parametrize("dtype", [np.uint16, np.int64, np.float64, np.float16, np.bool_])
def test_numbers_of_every_type_become_float32(dtype: type) -> None:
    panel = a_panel(values=np.eye(4, 3, dtype=dtype))
    assert panel.values.dtype == np.float32
    np.testing.assert_array_equal(panel.values[..., 0], np.eye(4, 3))


@settings(deadline=None)
@given(
    values=hnp.arrays(
        np.float32,
        (5, 3),
        elements=st.floats(-1e6, 1e6, width=32) | st.just(np.float32(np.nan)) | st.just(np.float32(0)),
    ),
    mask=hnp.arrays(np.bool_, (5, 3)),
    null_value=st.sampled_from([None, 0.0, float("nan")]),
)
def test_values_are_nan_exactly_where_the_mask_is_false(
    values: np.ndarray, mask: np.ndarray, null_value: float | None
) -> None:
    observed = mask & ~np.isnan(values) & ((values != 0) | (null_value != 0))
    if not observed.any():
        with pytest.raises(InputError, match="at least one observed value"):
            Panel.from_arrays(values, mask=mask, null_value=null_value)
        return
    panel = Panel.from_arrays(values, mask=mask, null_value=null_value)
    np.testing.assert_array_equal(panel.mask[..., 0], observed)
    np.testing.assert_array_equal(np.isnan(panel.values), ~panel.mask)
    np.testing.assert_array_equal(panel.values[panel.mask], values[observed])


def test_the_array_of_the_caller_is_not_changed() -> None:
    values = VALUES.copy()
    a_panel(values=values, null_value=3.0)
    np.testing.assert_array_equal(values, VALUES)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"values": np.zeros(4)}, r"expected values of shape \(T, N\)"),
        ({"values": np.zeros((2, 2, 2, 2))}, r"expected values of shape \(T, N\)"),
        ({"values": np.array([["a", "b"]])}, "expected numbers, got an array of <U1"),
        ({"values": np.zeros((4, 3), complex)}, "expected numbers, got an array of complex128"),
        ({"values": np.zeros((0, 3))}, "at least one step, series and channel"),
        ({"values": np.zeros((4, 0))}, "at least one step, series and channel"),
        ({"values": VALUES * np.nan}, "at least one observed value, but all 24 values are missing"),
        ({"values": np.where(VALUES == 9, np.inf, VALUES)}, "got inf at step 1, series '1', channel '1'"),
        ({"values": VALUES.astype(np.float64) * 1e300}, "expected finite values"),
        ({"mask": np.zeros(VALUES.shape, bool)}, "at least one observed value"),
        ({"mask": np.ones(VALUES.shape)}, "expected a bool mask"),
        ({"mask": np.ones((4, 3), bool)}, r"expected a mask of the shape of the values \(4, 3, 2\), got \(4, 3\)"),
        ({"mask": np.ones((3, 4, 2), bool)}, "expected a mask of the shape of the values"),
        ({"series": ["a", "b", "a"]}, "distinct names of series, got 'a' more than once"),
        ({"series": ["a", "b"]}, "expected 3 names of series, got 2"),
        ({"channels": ["a", "a"]}, "distinct names of channels"),
        ({"channels": ["a"]}, "expected 2 names of channels, got 1"),
        ({"locations": np.zeros((2, 2))}, r"expected locations of shape \(3, 2\)"),
        ({"freq": None}, "expected freq=.* beside start='2024-01-01'"),
        ({"timestamps": np.arange(4)}, "expected start or timestamps, got both"),
        ({"start": None, "timestamps": np.arange(4.0)}, "expected time stamps of datetime64 or integer"),
        ({"start": None, "timestamps": np.arange(4)}, "none with step numbers"),
        ({"start": None, "freq": None, "timestamps": np.arange(3)}, "expected 4 time stamps"),
        ({"start": None, "freq": None, "timestamps": np.array([0, 2, 1, 3])}, "time goes back at step 2"),
        (
            {"start": None, "timestamps": np.array(["2024-01-01", "NaT", "2024-01-03", "2024-01-04"], "M8[ns]")},
            "got NaT",
        ),
        (
            {"start": None, "timestamps": np.array([f"2024-01-01T0{hour}" for hour in (0, 1, 3, 4)], "M8[ns]")},
            "step 2 is .* add the missing steps",
        ),
        ({"start": None, "freq": None, "timestamps": np.arange(4) + (2**63 - 5)}, r"step numbers of at most 10\^18"),
        ({"start": 5}, "expected a time such as .* as the start, got '5'"),
        ({"freq": timedelta.max}, "expected a step such as"),
        ({"freq": np.timedelta64(1, "Y")}, "expected a step such as"),
        ({"freq": "99999999999s"}, "expected a step such as"),
        ({"values": [[1, 2], [3]]}, "expected values as an array of numbers"),
        ({"locations": [["a", "b"]] * 3}, "expected locations as an array of numbers"),
        ({"null_value": "x"}, "expected null_value as a number, got 'x'"),
        ({"null_value": 10**400}, "expected null_value as a number that a float can hold"),
        ({"series": ["a", "b", "\udcff"]}, "names of series that UTF-8 can hold"),
        ({"name": "\udcff"}, "names of panels that UTF-8 can hold"),
    ],
)
def test_arguments_that_make_no_panel_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        a_panel(**changes)
    assert "\n" not in str(caught.value)


def test_a_mask_may_leave_the_one_channel_out() -> None:
    panel = a_panel(values=VALUES[..., 0], mask=VALUES[..., 0] > 2)
    assert panel.mask.sum() == 10


def test_the_constructor_checks_a_panel() -> None:
    panel = a_panel()
    with pytest.raises(InputError, match="expected float32 or float64 values"):
        replace(panel, values=panel.values.astype(np.float16))
    with pytest.raises(InputError, match="expected a bool mask of shape"):
        replace(panel, mask=panel.mask[:2])


def test_a_panel_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        a_panel().name = "other"  # pyright: ignore[reportAttributeAccessIssue]


def test_the_future_continues_the_time_stamps() -> None:
    assert a_panel().future_timestamps(2)[1] == np.datetime64("2024-01-01T05:00")
    service = a_panel(start="2024-01-01 06:00", steps_per_day=3)
    np.testing.assert_array_equal(
        service.future_timestamps(3).astype("M8[h]"),
        np.array(["2024-01-02T07", "2024-01-02T08", "2024-01-03T06"], "M8[h]"),
    )


def test_the_last_steps_are_a_view(hourly_panel: Panel) -> None:
    last = hourly_panel.last_steps(5)
    assert np.shares_memory(last.values, hourly_panel.values)
    np.testing.assert_array_equal(last.timestamps, hourly_panel.timestamps[-5:])
    np.testing.assert_array_equal(last.mask, hourly_panel.mask[-5:])
    assert hourly_panel.last_steps(1000).n_steps == 240


@pytest.mark.parametrize(("n_steps", "expected"), [(1, 2), (2, 2), (3, 5), (9, 11), (20, 11)])
def test_the_last_steps_of_service_hours_begin_with_the_hours_of_a_day(n_steps: int, expected: int) -> None:
    panel = Panel.from_arrays(np.ones((11, 2)), start="2024-01-01T06", freq="1h", steps_per_day=3)
    last = panel.last_steps(n_steps)
    assert last.n_steps == expected
    np.testing.assert_array_equal(last.future_timestamps(4), panel.future_timestamps(4))


def test_a_panel_describes_itself() -> None:
    text = repr(a_panel(null_value=0.0, name="roads"))
    assert "roads: 4 steps x 3 series x 2 channels, 1h" in text
    assert "95.8% observed" in text
    assert "steps without a time" in repr(Panel.from_arrays(VALUES))
