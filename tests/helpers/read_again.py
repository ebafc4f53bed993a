"""Content of data files by csv, pandas, NumPy and h5py alone, to compare a panel with."""

from __future__ import annotations

import csv
import math
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pa_parquet

from elinformer import Panel

MISSING = {
    "",
    "nan",
    "na",
    "n/a",
    "#n/a",
    "<na>",
    "null",
    "none",
    "#n/a n/a",
    "#na",
    "-1.#ind",
    "-1.#qnan",
    "-nan",
    "1.#ind",
    "1.#qnan",
}
FLAGS = {"true": 1.0, "false": 0.0}


def assert_as_in_file(panel: Panel, path: Path) -> None:
    """Check that the panel of a file has every cell that the file has, and no other."""
    if path.suffix in {".csv", ".parquet"}:
        header, rows = _csv(path, panel) if path.suffix == ".csv" else _parquet(path)
        _assert_cells(panel, header, rows)
        return
    expected = _array(path)
    expected = np.where(np.isnan(expected), np.nan, expected)
    assert panel.values.shape == expected.shape
    np.testing.assert_array_equal(panel.values, expected.astype(panel.values.dtype))


def _assert_cells(panel: Panel, header: list[str], rows: list[list[Any]]) -> None:
    long = panel.form.id_column if panel.form.id_column in header else None
    if long is None:
        columns, series = {name: i for i, name in enumerate(header)}, {*panel.series}
        time = _column_of_times([i for i, name in enumerate(header) if name not in series], rows, panel)
        wanted = [(columns[name], place) for place, name in enumerate(panel.series)]
    else:
        time, value, named = header.index(panel.form.time_column), header.index(panel.channels[0]), header.index(long)
    clock = _times([row[time] for row in rows], panel)
    n_observed, places = 0, {name: place for place, name in enumerate(panel.series)}
    for step, row in zip(np.searchsorted(panel.timestamps, clock), rows, strict=True):
        cells = wanted if long is None else [(value, _place(str(row[named]), places))]
        for cell, series in cells:
            number, got = _number(row[cell]), float(panel.values[step, series, 0])
            same = math.isnan(got) if math.isnan(number) else got == panel.values.dtype.type(number)
            assert same, (row, header[cell], got)
            n_observed += not math.isnan(number)
    assert panel.mask.sum() == n_observed
    assert set(clock) <= set(panel.timestamps)


def _place(name: str, places: dict[str, int]) -> int:
    """Return the place of a series; spaces around the cells of CSV are no part of a name."""
    return places[name if name in places else name.strip()]


def _column_of_times(candidates: list[int], rows: list[list[Any]], panel: Panel) -> int:
    """Return the last column whose cells are the times of the panel; another one may number the rows."""
    for column in reversed(candidates):
        with suppress(ValueError):
            if set(_times([row[column] for row in rows], panel)) <= set(panel.timestamps):
                return column
    raise AssertionError(f"none of the columns {candidates} has the times of the panel")


def _csv(path: Path, panel: Panel) -> tuple[list[str], list[list[Any]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:  # a line break as it is, and no other character is one
        lines = file.readlines()
    while lines[0].startswith("#") or re.fullmatch(r"sep=(.)\s*", lines[0]):
        lines.pop(0)
    for sep in ",;\t|":
        header, *rows = [row for row in csv.reader(lines, delimiter=sep) if row]
        header = [name.strip() for name in header]
        if {*panel.series} < {*header} or panel.form.id_column in header:
            return header, rows
    raise AssertionError(f"none of the separators gives {panel.series}")


def _parquet(path: Path) -> tuple[list[str], list[list[Any]]]:
    columns: dict[str, list[Any]] = {}
    for name in pa_parquet.read_schema(path).names:
        with suppress(OSError):  # a damaged column, which the panel then does not have
            cells = pa_parquet.ParquetFile(path).read(columns=[name]).column(0).to_pylist()
            # A spoilt type makes bytes of text.
            columns[name] = [cell.decode(errors="replace") if isinstance(cell, bytes) else cell for cell in cells]
    return [*columns], [list(row) for row in zip(*columns.values(), strict=True)]


def _array(path: Path) -> np.ndarray:
    if path.suffix == ".npz":
        with np.load(path) as archive:
            array = archive["data"]
    elif path.is_dir():
        array = np.concatenate([np.load(path / f"{part}_data.npy") for part in ("train", "val", "test")])
    else:
        import h5py

        with h5py.File(path) as file:
            (group,) = (file[name] for name in file if {"axis0", "axis1", "block0_values"} <= {*file[name]})
            array = np.full((len(group["axis1"]), len(group["axis0"])), np.nan)
            names = [*group["axis0"][:]]
            for block in (name for name in group if re.fullmatch(r"block\d+_values", name)):
                items = [names.index(name) for name in group[block.replace("values", "items")][:]]
                array[:, items] = group[block][:]
    with np.errstate(over="ignore", invalid="ignore"):
        return array.astype(np.float64).reshape(*array.shape[:2], -1)


def _times(cells: list[Any], panel: Panel) -> np.ndarray:
    if panel.timestamps.dtype.kind != "M":
        return np.array([int(str(cell)) for cell in cells])
    times = pd.to_datetime([str(cell).strip() for cell in cells], format="ISO8601")
    return (times if times.tz is None else times.tz_localize(None)).to_numpy("M8[ns]")


def _number(cell: Any) -> float:
    if cell is None or isinstance(cell, bool) or not isinstance(cell, str):
        return math.nan if cell is None else float(cell)
    text = cell.strip().lower()
    if text in MISSING:
        return math.nan
    return FLAGS[text] if text in FLAGS else float(text.replace(",", "."))
