"""The development sets of `benchmarks.box`: horizons, scored windows, and what a model and its rival are given."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from elinformer.data.address import load_panel
from elinformer.data.reach import Reach, window_origins
from elinformer.data.windows import SplitPanel

if TYPE_CHECKING:
    from pathlib import Path

    from elinformer.data.panel import Panel

SPLIT = (0.6, 0.2, 0.2)


@dataclass(frozen=True)
class BoxSet:
    """A development set.

    Attributes:
        name: Name of the file without its suffix, or of the catalogue.
        horizon: S.
        stride: Steps between the scored origins. It has no divisor in common with a day or a week, so that all hours
            are scored alike.
        is_small: True where the models of single series are run, too.
        embedded: True for a set of the catalogue.
        suffix: Ending of the file.
    """

    name: str
    horizon: int
    stride: int = 1
    is_small: bool = False
    embedded: bool = False
    suffix: str = ".npz"

    def address(self, folder: Path) -> str:
        """Return what `elinformer train` takes as data."""
        return self.name if self.embedded else str(folder / f"{self.name}{self.suffix}")

    def load(self, folder: Path) -> Task:
        """Read the data, and choose the windows that are scored: those of the last 20 % of the steps."""
        panel = load_panel(self.address(folder))
        split = SplitPanel.of(panel, SPLIT, Reach(1, self.horizon))
        return Task(panel, split, window_origins(split.split.test, split.reach)[:: self.stride])


class Task(NamedTuple):
    """Panel, its split, and the origins (n,) of the windows that all models are scored on."""

    panel: Panel
    split: SplitPanel
    origins: np.ndarray

    @property
    def horizon(self) -> int:
        """S."""
        return self.split.reach.horizon


SETS = {
    each.name: each
    for each in (
        BoxSet("au_tourism_quarterly", 4, is_small=True),
        BoxSet("fred_md_monthly", 12, is_small=True),
        BoxSet("birmingham_parking", 18, is_small=True),
        BoxSet("hangzhou_metro", 12),
        BoxSet("metr_la_week1", 12),
        BoxSet("etth1", 24, stride=5, is_small=True),
        BoxSet("nyc_taxi_od", 12),
        BoxSet("m4_hourly", 48),
        BoxSet("nyc-airports", 12, stride=5, embedded=True),
        BoxSet("bay_bikes", 24, stride=5),
        BoxSet("irish_weather", 12, stride=5),
        BoxSet("pjm_load", 24, stride=5, is_small=True),
    )
}
"""The development sets by name, the quick ones first."""

PACKAGED = {
    each.name: replace(each, suffix=".csv")
    for each in (
        BoxSet("accommodation_quarterly", 4, is_small=True),
        BoxSet("arrivals_quarterly", 4, is_small=True),
        BoxSet("visitor_nights_quarterly", 4, is_small=True),
        BoxSet("texas_housing_monthly", 12, is_small=True),
        BoxSet("us_employment_monthly", 12, is_small=True),
        BoxSet("us_indicators_monthly", 12, is_small=True),
        BoxSet("us_energy_weekly", 8, is_small=True),
        BoxSet("exchange_rates_daily", 30, is_small=True),
        BoxSet("stocks_business_daily", 30, is_small=True),
        BoxSet("wikipedia_daily", 14, is_small=True),
        BoxSet("chicago_trains_daily", 14, is_small=True),
        BoxSet("traffic_hourly", 24, stride=5),
        BoxSet("temperatures_hourly", 24, stride=5, is_small=True),
        BoxSet("solar_and_wind_hourly", 24, stride=5, is_small=True),
        BoxSet("beijing_air_hourly", 24, stride=5),
        BoxSet("household_hourly", 24, stride=5),
        BoxSet("loads_hourly", 24, stride=5),
        BoxSet("appliances_10min", 36, stride=5),
        BoxSet("generation_15min", 96, stride=29),
    )
}
"""The sets of `benchmarks.packaged_sets`, which had no part in the defaults before 2026-11-30."""
