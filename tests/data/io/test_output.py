"""What came in goes out: forecasts have the kind of frame, the names and the times of the data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from elinformer.data.form import PLAIN, Form
from elinformer.data.io.folder import open_panel, write_panel
from elinformer.data.io.frames import as_panel, long_frame, panel_from_frame
from elinformer.data.io.output import in_form
from elinformer.data.panel import Panel
from elinformer.errors import InputError


def long(times: pd.DatetimeIndex, ids: tuple[Any, ...] = ("a", "b")) -> pd.DataFrame:
    parts = [pd.DataFrame({"unique_id": name, "ds": times, "y": np.arange(len(times)) + 1.0}) for name in ids]
    return pd.concat(parts, ignore_index=True)


def forecast(panel: Panel, n_steps: int = 3) -> Any:
    values = np.arange(n_steps * panel.n_series, dtype=float).reshape(n_steps, panel.n_series, 1)
    frame = long_frame({"": values}, panel.future_timestamps(n_steps), panel.series, panel.channels)
    return in_form(frame, panel.form, panel.freq)


def as_arrow(frame: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(frame, preserve_index=False)


def hours(start: str, zone: str | None = None) -> pd.DatetimeIndex:
    return pd.date_range(start, periods=8, freq="h", tz=zone)


@pytest.mark.parametrize("ids", [("a", "b"), (101, 102)])
@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_forecasts_join_with_the_rows_that_come_later(library: str, zone: str | None, ids: tuple[Any, ...]) -> None:
    rows = long(hours("2024-01-01", zone), ids)
    known, later = rows[rows["ds"] < rows["ds"].iloc[5]], rows[rows["ds"] >= rows["ds"].iloc[5]]
    convert: Any = {"pandas": pd.DataFrame, "polars": pl.from_pandas, "pyarrow": as_arrow}[library]
    found = forecast(panel_from_frame(convert(known)))
    assert type(found) is type(convert(known))
    if library == "pandas":
        assert len(later.merge(found, on=["unique_id", "ds"])) == 6
    else:
        assert len(pl.from_pandas(later).join(pl.DataFrame(found), on=["unique_id", "ds"])) == 6


def test_an_hour_that_the_clock_skips_is_not_forecast() -> None:
    found = forecast(panel_from_frame(long(hours("2024-03-30 18:00", "Europe/Berlin"))), 3)
    assert [f"{time:%H%z}" for time in found["ds"][:2]] == ["03+0200", "04+0200"]
    assert found["elinformer"].tolist() == [2, 4, 3, 5]


def test_an_hour_that_the_clock_repeats_is_forecast_twice() -> None:
    found = forecast(panel_from_frame(long(hours("2024-10-26 18:00", "Europe/Berlin"))), 2)
    assert [f"{time:%H%z}" for time in found["ds"][:3]] == ["02+0200", "02+0100", "03+0100"]
    assert found["elinformer"].tolist() == [0, 0, 2, 1, 1, 3]


def test_days_begin_at_local_midnight() -> None:
    days = pd.date_range("2024-10-20", periods=7, tz="Europe/Berlin")
    assert forecast(panel_from_frame(long(days)))["ds"][:2].tolist() == list(
        pd.date_range("2024-10-27", periods=2, tz="Europe/Berlin")
    )


def test_dates_and_small_whole_numbers_of_polars_stay_so() -> None:
    frame = pl.from_pandas(long(pd.date_range("2024-01-01", periods=8), (1, 2)))
    found = forecast(
        panel_from_frame(frame.with_columns(pl.col("ds").cast(pl.Date), pl.col("unique_id").cast(pl.Int16)))
    )
    assert found.schema["ds"] == pl.Date
    assert found.schema["unique_id"] == pl.Int16


def test_columns_keep_their_names_and_wide_names_their_type() -> None:
    renamed = long(hours("2024-01-01")).rename(columns={"unique_id": "store", "ds": "hour"})
    assert list(forecast(panel_from_frame(renamed, id_col="store", time_col="hour"))) == [
        "store", "hour", "elinformer",
    ]  # fmt: skip
    wide = pd.DataFrame({7: np.arange(8.0), 9: 1.0}, index=hours("2024-01-01"))
    assert forecast(panel_from_frame(wide))["unique_id"].tolist() == [7, 7, 7, 9, 9, 9]


def test_a_folder_keeps_the_form(tmp_path: Any) -> None:
    panel = panel_from_frame(long(hours("2024-01-01", "Europe/Berlin"), (1, 2)), null_value=3.0)
    assert write_panel(panel, tmp_path / "panel").form == open_panel(tmp_path / "panel").form == panel.form
    assert panel.form.zone == "Europe/Berlin"
    assert panel.form.null_value == 3.0
    assert Form.from_document(panel.form.to_document()) == panel.form
    assert Form.from_document(None) == PLAIN


def test_a_panel_of_days_without_weekends_is_put_on_weekdays() -> None:
    weekdays = pd.date_range("2024-01-01", periods=40, freq="B").delete(12)
    daily = panel_from_frame(long(weekdays), freq="1D")
    panel = as_panel(daily, freq="B")
    assert (panel.freq, panel.n_steps, int((~panel.mask).sum())) == ("B", 40, 2)
    assert as_panel(daily, freq="24h") is daily


@pytest.mark.parametrize(
    ("times", "freq"),
    [
        (pd.date_range("2024-01-01", periods=40), "1h"),
        (pd.date_range("2010-01-01", periods=40, freq="MS"), "1D"),
        (pd.date_range("2024-01-01", periods=40, freq="10min"), "5min"),
    ],
)
def test_data_of_a_longer_step_are_refused(times: pd.DatetimeIndex, freq: str) -> None:
    with pytest.raises(InputError, match=f"steps of {freq}.* apart"):
        panel_from_frame(long(times), freq=freq)


def test_series_dated_by_the_first_and_by_the_last_day_of_the_month_are_refused() -> None:
    first, last = (pd.date_range("2010-01-01", periods=40, freq=freq) for freq in ("MS", "ME"))
    with pytest.raises(InputError, match="apart"):
        panel_from_frame(pd.concat([long(first, ("first",)), long(last, ("last",))]))


def test_data_of_a_shorter_step_are_refused() -> None:
    hourly = panel_from_frame(long(hours("2024-01-01")))
    with pytest.raises(InputError, match="step of 1h instead of 1D"):
        as_panel(hourly, freq="1D")
