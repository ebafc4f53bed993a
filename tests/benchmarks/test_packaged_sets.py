"""Tests of the data sets of Python packages, on wheels of the same form."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from benchmarks._box_sets import PACKAGED
from benchmarks.packaged_sets import AUTOTS, SETS, SIMBENCH, _Packages

from elinformer.data.address import load_panel

if TYPE_CHECKING:
    from pathlib import Path


def zipped(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


@pytest.fixture
def packages(tmp_path: Path) -> _Packages:
    """Return two packages with a week of two series each."""
    days = pd.date_range("2024-01-01", periods=7)
    rows = pd.DataFrame({"datetime": days.repeat(2), "series_id": ["b", "a"] * 7, "value": range(14)})
    inner = zipped({"eia_weekly": rows.to_csv().encode()})
    profiles = "time;x_pload;x_qload\n01.01.2016 00:00;1;2\n01.01.2016 00:15;3;4\n01.01.2016 00:15;9;9\n"
    wheels = {
        "autots-1.0.4-py3-none-any.whl": {f"{AUTOTS}eia_weekly.zip": zipped({"eia_weekly.zip": inner})},
        "simbench-1.6.3-py3-none-any.whl": {f"{SIMBENCH}LoadProfile.csv": profiles.encode()},
    }
    for name, files in wheels.items():
        (tmp_path / name).write_bytes(zipped(files))
    return _Packages(tmp_path)


def test_a_long_table_in_nested_archives_becomes_a_column_a_series(packages: _Packages) -> None:
    table = SETS["us_energy_weekly"](packages)
    assert table.columns.tolist() == ["a", "b"]
    assert table["a"].tolist() == list(range(1, 14, 2))


def test_loads_are_means_over_hours_and_a_time_that_is_repeated_counts_once(packages: _Packages, tmp_path) -> None:
    table = SETS["loads_hourly"](packages)
    assert table.to_dict("list") == {"x_pload": [2.0]}


def test_a_written_set_is_read_by_the_box(packages: _Packages, tmp_path: Path) -> None:
    each = PACKAGED["us_energy_weekly"]
    SETS[each.name](packages).rename_axis("time").to_csv(tmp_path / f"{each.name}.csv")
    assert load_panel(each.address(tmp_path)).series == ("a", "b")


def test_every_set_has_a_horizon() -> None:
    assert set(SETS) == set(PACKAGED)
