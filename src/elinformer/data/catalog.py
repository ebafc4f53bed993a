"""The catalogue: public data sets by name, what each is, and how to get it as a panel."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from elinformer.errors import InputError

if TYPE_CHECKING:
    from elinformer.data.panel import Panel

EMBEDDED = Path(__file__).parent / "embedded"


@dataclass(frozen=True)
class Dataset:
    """What is known about a data set before it is read."""

    name: str
    title: str
    shape: tuple[int, int, int]
    freq: str
    window: int
    horizon: int
    homogeneous: bool


CATALOG = {
    "nyc-airports": Dataset(
        name="nyc-airports",
        title="New York airports, 2013: departures, delays, weather",
        shape=(8760, 42, 1),
        freq="1h",
        window=24,
        horizon=12,
        homogeneous=False,
    )
}


def find_dataset(name: str) -> Dataset:
    """The entry called `name`.

    Raises:
        InputError: There is none, with the names that are near.
    """
    if name in CATALOG:
        return CATALOG[name]
    near = get_close_matches(name.lower(), CATALOG, n=3)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise InputError(f"expected a data set of the catalogue, got {name!r}: {hint}there are {', '.join(CATALOG)}")


def load_dataset(name: str, *, cache_dir: str | Path | None = None) -> Panel:
    """The data set called `name` as a panel.

    Raises:
        InputError: No such data set.
    """
    import pandas as pd

    from elinformer.data.panel import Panel

    dataset = find_dataset(name)
    table = pd.read_parquet(EMBEDDED / f"{dataset.name}.parquet")
    return Panel.from_arrays(
        table.iloc[:, 1:].to_numpy(),
        timestamps=table["time"].to_numpy(),
        freq=dataset.freq,
        series=tuple(table.columns[1:]),
        name=dataset.name,
    )
