"""Roles of columns: which columns of a file or a frame are covariates, and of which kind."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np

from elinformer.data.covariates import Covariates
from elinformer.data.pieces import row_blocks
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from elinformer.data.panel import Panel


@dataclass(frozen=True, eq=False)
class Roles:
    """Columns that are covariates.

    Attributes:
        future: Names of columns that are known over the horizon too. A `*` stands for any text: `temperature/*`.
        past: Names of columns that are known up to the present.
        static: Returns the static covariates of the series with the given names; None = there are none.
        null_value: Number that stands for a missing value of a series. Covariates keep it.
    """

    future: tuple[str, ...] = ()
    past: tuple[str, ...] = ()
    static: Callable[[Sequence[str]], Covariates] | None = None
    null_value: float | None = None

    def __bool__(self) -> bool:
        return bool(self.future or self.past or self.static)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all columns with covariates."""
        return (*self.future, *self.past)

    def assign(self, panel: Panel) -> Panel:
        """Return a panel whose columns have these roles.

        A column of a long table is a covariate of every series. A column of a wide table is one that all series share.
        With future covariates, the panel ends with its last observed value, and what follows is known ahead.

        Raises:
            InputError: There is no such column, a column has two roles, or no series is left.
        """
        if self.future or self.past:
            panel = self._split(panel)
        if self.null_value is not None:
            _mask_null(panel, self.null_value)
        if self.future:
            panel = _end_with_values(panel)
        return panel if self.static is None else replace(panel, static=self.static(panel.series), checked=True)

    def _split(self, panel: Panel) -> Panel:
        """Take the columns of covariates out of the values. No array is copied if the others stand side by side."""
        of_channels = panel.n_channels > 1
        names = panel.channels if of_channels else panel.series
        places = {role: _places(getattr(self, role), names, role) for role in ("past", "future")}
        taken = {*places["past"], *places["future"]}
        left = [i for i in range(len(names)) if i not in taken]
        if not left:
            raise InputError(f"expected a column to forecast beside the covariates {', '.join(names)}, got none")
        blocks = {
            role: tuple(Covariates((names[i],), _column(panel.values, i, of_channels=of_channels)) for i in found)
            for role, found in places.items()
        }
        others = _side_by_side(left)
        changes: dict[str, Any] = {"channels": tuple(names[i] for i in left)}
        if not of_channels:
            changes = {"series": changes["channels"]}
            changes["locations"] = None if panel.locations is None else panel.locations[left]
        index = (slice(None), slice(None), others) if of_channels else (slice(None), others)
        return replace(
            panel,
            values=panel.values[index],
            mask=panel.mask[index],
            past=(*panel.past, *blocks["past"]),
            future=(*panel.future, *blocks["future"]),
            **changes,
            checked=True,
        )


def _places(patterns: Sequence[str], names: Sequence[str], role: str) -> list[int]:
    """Return the places of the columns that match some patterns, in the order of the patterns.

    Raises:
        InputError: A pattern matches no column, or two match the same.
    """
    places: list[int] = []
    for pattern in patterns:
        found = [i for i, name in enumerate(names) if name == pattern or fnmatchcase(name, pattern)]
        if not found:
            shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
            raise InputError(f"expected a column {pattern!r} for the {role} covariates, got {shown}: correct the name")
        places += found
    if len(set(places)) < len(places):
        twice = next(names[i] for i in places if places.count(i) > 1)
        raise InputError(f"expected distinct {role} covariates, got {twice!r} more than once: name it once")
    return places


def _column(values: np.ndarray, place: int, *, of_channels: bool) -> np.ndarray:
    column = values[..., place : place + 1] if of_channels else values[:, place : place + 1]
    return column if column.dtype == np.float32 else column.astype(np.float32)


def _side_by_side(places: list[int]) -> slice | list[int]:
    """Return places as a slice if they follow each other, so that NumPy makes a view."""
    return slice(places[0], places[-1] + 1) if places[-1] - places[0] + 1 == len(places) else places


def _mask_null(panel: Panel, null_value: float) -> None:
    """Mark the values of a panel that was just read as missing, in place, where they are `null_value`."""
    for rows in row_blocks(panel.values.shape):
        missing = panel.values[rows] == np.float32(null_value)
        panel.values[rows][missing] = np.nan
        panel.mask[rows][missing] = False


def _end_with_values(panel: Panel) -> Panel:
    """Cut the steps after the last observed value; the future covariates keep them."""
    stop = panel.n_steps
    while stop > 0 and not panel.mask[stop - 1].any():
        stop -= 1
    if stop in {0, panel.n_steps}:
        return panel
    return replace(panel.select(steps=slice(stop)), name=panel.name, checked=True)
