"""Wide CSV files of many columns, which are read row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from elinformer.data.io import rows, streams
from elinformer.data.io.read import read_panel
from elinformer.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

TIMES = [f"2024-01-01 0{hour}:00" for hour in range(4)]
CELLS = {
    "plain": ["1.5", "-2", "3e5", "0.1"],
    "empty": ["1", "", "", "4"],
    "words": ["NA", "nan", "1", "null"],
    "spaces": [" 1.5", "2 ", " 3 ", "4"],
    "quotes": ['"1.5"', "2", '"3"', '""'],
    "last": ["1", "2", "3", ""],
}


@pytest.fixture
def by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every table have many columns."""
    monkeypatch.setattr(streams, "MANY_COLUMNS", 1)


def write(path: Path, columns: dict[str, list[str]], *, end: str = "\n", sep: str = ",") -> Path:
    lines = [sep.join(columns), *(sep.join(row) for row in zip(*columns.values(), strict=True))]
    path.write_bytes((end.join(lines) + end).encode())
    return path


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["unix", "windows", "mac"])
@pytest.mark.parametrize("at_once", [1, 1 << 20])
def test_rows_are_read_as_pandas_reads_them(
    tmp_path: Path, by_row: None, monkeypatch: pytest.MonkeyPatch, end: str, at_once: int
) -> None:
    monkeypatch.setattr(rows, "CELLS_AT_ONCE", at_once)
    path = write(tmp_path / "a.csv", {"ds": TIMES, **CELLS}, end=end)
    panel = read_panel(path)
    expected = pd.read_csv(path, skipinitialspace=True).drop(columns="ds").to_numpy(np.float32)
    np.testing.assert_array_equal(panel.values[..., 0], expected)


def test_columns_that_are_left_out_may_hold_text_and_the_time_may_stand_anywhere(tmp_path: Path, by_row: None) -> None:
    path = write(tmp_path / "a.csv", {"b": CELLS["plain"], "note": [*"wxyz"], "ds": TIMES, "a": CELLS["empty"]})
    panel = read_panel(path, targets=["a", "b"], time_col="ds")
    assert panel.series == ("a", "b")
    np.testing.assert_array_equal(
        panel.values[:, :, 0], np.array([[1, 1.5], [np.nan, -2], [np.nan, 3e5], [4, 0.1]], "f4")
    )


def test_decimal_commas_are_read(tmp_path: Path, by_row: None) -> None:
    path = write(tmp_path / "a.csv", {"ds": TIMES, "a": ["1,5", "2", "3", "4"], "b": ["0,25", "", "1", "1"]}, sep=";")
    np.testing.assert_array_equal(read_panel(path).values[:2, :, 0], [[1.5, 0.25], [2, np.nan]])


def test_a_cell_that_is_no_number_and_a_short_row_are_named(tmp_path: Path, by_row: None) -> None:
    path = write(tmp_path / "a.csv", {"ds": TIMES, "a": ["1", "2", "x3", "4"], "b": CELLS["plain"]})
    with pytest.raises(InputError, match=r"column 'a'.*'x3' in row 3"):
        read_panel(path)
    path.write_text("ds,a,b\n2024-01-01,1,2\n2024-01-02,1\n", encoding="utf-8")
    with pytest.raises(InputError, match="2"):
        read_panel(path)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_header_of_more_than_a_mebibyte_is_read(tmp_path: Path, suffix: str) -> None:
    names = [f"sensor_with_a_long_name_{'of_a_road_' * 10}{i}" for i in range(9000)]
    values = np.random.default_rng(0).normal(50, 5, (3, len(names))).round(2)
    frame = pd.DataFrame(values, columns=names)
    frame.insert(0, "ds", pd.date_range("2024-01-01", periods=3, freq="h"))
    path = tmp_path / f"a{suffix}"
    frame.to_csv(path, index=False) if suffix == ".csv" else frame.to_parquet(path, index=False)
    panel = read_panel(path)
    assert panel.series == tuple(names)
    np.testing.assert_array_equal(panel.values[..., 0], values.astype(np.float32))
