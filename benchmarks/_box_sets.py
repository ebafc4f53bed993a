"""The development sets of `benchmarks.box`: horizons, scored windows, and what a model and its rival are given."""

from __future__ import annotations

from dataclasses import dataclass
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
    """

    name: str
    horizon: int
    stride: int = 1
    is_small: bool = False
    embedded: bool = False

    def address(self, folder: Path) -> str:
        """Return what `elinformer train` takes as data."""
        return self.name if self.embedded else str(folder / f"{self.name}.npz")

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
"""The sets by name, the quick ones first."""
