"""Columns of a table: which one is the time, which one names the series, and which ones hold the values.

A caller may name them. Else they are found by their usual names, and what was found is said. A column that nobody
declared is never forecast in silence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Protocol

from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

ID_NAMES = ("unique_id", "item_id", "series_id", "ts_id", "id")
TIME_NAMES = ("ds", "timestamp", "datetime", "date_time", "date", "time")
TARGET_NAMES = ("y", "target", "value")
"""Usual names in long tables, in small letters: those of Nixtla, GluonTS and AutoGluon first."""
NAMES_OF_SERIES = frozenset({
    *ID_NAMES, "item", "sku", "product", "store", "shop", "branch", "site", "station", "sensor", "meter", "region",
    "country", "city", "location", "symbol", "ticker", "customer", "family", "group", "category", "key",
})  # fmt: skip
"""Names of columns that hold the names of series, and are no series."""
ROW_NAMES = re.compile(r"(unnamed: \d+|index|level_\d|row|rownames|)", re.IGNORECASE)
"""Names of columns that hold the numbers of rows, if they count."""
LEVEL_OF_ARROW = re.compile(r"__index_level_\d+__")
LONG = "a long table has a row for each series and time, in columns such as unique_id, ds, y"


class Peek(Protocol):
    """Look into the first rows of a table, as `tables.FirstRows` does."""

    def counts(self, name: str) -> bool:
        """Tell whether a column counts by one."""
        ...

    def has_times(self, name: str) -> bool:
        """Tell whether a column has times, and no numbers."""
        ...

    def is_constant(self, name: str) -> bool:
        """Tell whether a column is the same whole number everywhere."""
        ...


@dataclass(frozen=True)
class Columns:
    """Columns that a caller declares.

    Attributes:
        id_col: Name of the column with the series; None = it is found, if the table is long.
        time_col: Name of the column with the times; None = it is found.
        targets: Names of the columns with the values: the channels of a long table, the series of a wide one. Empty =
            they are found.
        covariates: Names of columns with covariates, which are read after the values; a `*` stands for any text.
    """

    id_col: str | None = None
    time_col: str | None = None
    targets: tuple[str, ...] = ()
    covariates: tuple[str, ...] = ()

    def beside(self, others: Columns) -> Columns:
        """Return these columns, completed by others."""
        found = {name: getattr(self, name) or getattr(others, name) for name in vars(self)}
        return Columns(**found)


NOTHING_DECLARED = Columns()


def declared_columns(
    id_col: str | None,
    time_col: str | None,
    target_col: str | None,
    targets: Sequence[str] | None,
    covariates: Sequence[str] = (),
) -> Columns:
    """Return the columns that a caller declares.

    Raises:
        InputError: `target_col` and `targets` are both given, or a name is no text.
    """
    if target_col is not None and targets:
        raise InputError(f"expected target_col or targets, got {target_col!r} and {targets!r}: pass one of them")
    if isinstance(targets, str):
        raise InputError(f"expected a list of columns as targets, got {targets!r}: pass target_col={targets!r}")
    values = (target_col,) if target_col is not None else tuple(targets or ())
    if wrong := [name for name in (id_col, time_col, *values) if not isinstance(name, str | None)]:
        raise InputError(f"expected names of columns as text, got {wrong[0]!r}: pass its name")
    return Columns(id_col, time_col, values, tuple(covariates))


@dataclass(frozen=True)
class Roles:
    """Columns of a table by their role.

    Attributes:
        series: Column with the names of the series, None in a wide table.
        time: Column with the times.
        values: Columns with the values.
        notes: What was guessed, in words.
    """

    series: str | None
    time: str
    values: list[str]
    notes: list[str] = field(default_factory=list)


def find_roles(names: Sequence[str], declared: Columns, peek: Peek) -> Roles:
    """Return the role of every column.

    Raises:
        InputError: A declared column is missing, or a column is left whose role is not clear.
    """
    _check_declared(names, declared)
    for pattern in declared.covariates:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise InputError(
                f"expected a column {pattern!r} for the covariates, got {', '.join(map(repr, names[:20]))}: correct it"
            )
    if declared.covariates:
        taken = [name for name in names if any(fnmatchcase(name, pattern) for pattern in declared.covariates)]
        rest = [name for name in names if name not in taken]
        roles = find_roles(rest, replace(declared, covariates=()), peek)
        return replace(roles, values=[*roles.values, *taken])
    notes: list[str] = []
    names, declared = _without_levels(names, declared, peek)
    names = _without_row_numbers(names, declared, peek, notes)
    series = declared.id_col or _usual(names, ID_NAMES, but=declared.targets)
    if series is not None and declared.id_col is None and series.lower() != ID_NAMES[0]:
        others = [name for name in names if name != series]
        has_target = _usual(others, TARGET_NAMES) is not None or len(others) == 2 or bool(declared.targets)
        series = series if has_target and (declared.time_col or _usual(others, TIME_NAMES)) else None
        notes += [f"series are named in {series!r}"] if series else []
    if series is not None:
        return _long_roles(names, series, declared, notes)
    return _wide_roles(names, declared, peek, notes)


def _check_declared(names: Sequence[str], declared: Columns) -> None:
    missing = [name for name in (declared.id_col, declared.time_col, *declared.targets)
               if name is not None and name not in names]  # fmt: skip
    if missing:
        raise InputError(
            f"expected a column called {missing[0]!r}, got {', '.join(map(repr, names[:10]))}"
            f"{' and others' if len(names) > 10 else ''}: name one of these"
        )


def _usual(names: Sequence[str], usual: Sequence[str], but: Sequence[str] = ()) -> str | None:
    """Return the column with the first of the usual names, in capitals or not."""
    small = {name.lower(): name for name in reversed(names) if name not in but}
    return next((small[name] for name in usual if name in small), None)


def _without_levels(names: Sequence[str], declared: Columns, peek: Peek) -> tuple[list[str], Columns]:
    """Return the columns without an index of pandas that Arrow keeps as a column, unless it holds the only times."""
    levels = [name for name in names if LEVEL_OF_ARROW.fullmatch(name)]
    if not levels:
        return list(names), declared
    others = [name for name in names if name not in levels]
    times = [level for level in levels if peek.has_times(level)]
    if declared.time_col or _usual(others, TIME_NAMES) or not times:
        return others, declared
    return [times[0], *others], declared.beside(Columns(time_col=times[0]))


def _without_row_numbers(names: Sequence[str], declared: Columns, peek: Peek, notes: list[str]) -> list[str]:
    """Return the columns without a first one that counts the rows, as pandas writes it."""
    declared_names = {declared.id_col, declared.time_col, *declared.targets}
    if len(names) < 3 or names[0] in declared_names or ROW_NAMES.fullmatch(names[0]) is None:
        return list(names)
    time = declared.time_col or _usual(names[1:], TIME_NAMES) or (names[1] if peek.has_times(names[1]) else None)
    if time is None or (not peek.counts(names[0]) and (names[0] or peek.has_times(names[0]))):
        return list(names)
    notes.append(f"the first column, {names[0]!r}, numbers the rows and is left out")
    return list(names[1:])


def _long_roles(names: Sequence[str], series: str, declared: Columns, notes: list[str]) -> Roles:
    others = [name for name in names if name != series]
    time = declared.time_col or _usual(others, TIME_NAMES, but=declared.targets)
    if time is None:
        raise InputError(
            f"expected the columns unique_id, ds and y in a long table, got none called ds among "
            f"{', '.join(map(repr, names[:10]))}: rename them, or pass time_col=... (--time)"
        )
    if not declared.time_col and time != TIME_NAMES[0]:
        notes.append(f"times are in {time!r}")
    others = [name for name in others if name != time]
    if declared.targets:
        left_out = [name for name in others if name not in declared.targets]
        notes += [f"left out: {', '.join(left_out[:5])}{', ...' if len(left_out) > 5 else ''}"] if left_out else []
        return Roles(series, time, list(declared.targets), notes)
    target = _usual(others, TARGET_NAMES) or (others[0] if len(others) == 1 else None)
    if target is None or len(others) > 1:
        raise _undeclared(names, others, target)
    notes += [] if target == TARGET_NAMES[0] else [f"values are in {target!r}"]
    return Roles(series, time, [target], notes)


def _undeclared(names: Sequence[str], others: Sequence[str], target: str | None) -> InputError:
    if not others:
        return InputError(
            f"expected the columns unique_id, ds and y in a long table, got none called y among "
            f"{', '.join(map(repr, names[:10]))}: rename them, or pass target_col=... (--target)"
        )
    shown = ", ".join(map(repr, others[:10]))
    example = target or others[0]
    return InputError(
        f"expected one column of values in a long table, got {shown}: pass targets=[{example!r}] (--target {example}) "
        f"with all that are to be forecast, and the others are left out"
    )


def _wide_roles(names: Sequence[str], declared: Columns, peek: Peek, notes: list[str]) -> Roles:
    time = declared.time_col or _usual(names, TIME_NAMES, but=declared.targets) or next(iter(names), "")
    if declared.time_col is None and names and time != names[0]:
        notes.append(f"times are in {time!r}")
    series = list(declared.targets) or [name for name in names if name != time]
    if not series:
        raise InputError(
            f"expected a column of times and at least one series beside it, got only {time!r}: if the columns are "
            "separated otherwise than by commas, pass sep=... (--sep)"
        )
    if not declared.targets:
        _refuse_names_of_series(series, time, peek)
    return Roles(None, time, series, notes)


def _refuse_names_of_series(series: Sequence[str], time: str, peek: Peek) -> None:
    """Refuse a wide table with a column that names series, and is none."""
    suspects = [name for name in series if name.lower() in NAMES_OF_SERIES or name.lower().endswith(("_id", " id"))]
    if not suspects and 1 < len(series) <= 4 and peek.is_constant(series[0]) and not peek.is_constant(series[-1]):
        suspects = [series[0]]
    if suspects and len(series) > 1:
        value = next((name for name in series if name not in suspects), "y")
        raise InputError(
            f"expected a series in every column beside {time!r}, but {suspects[0]!r} looks like the names of series: "
            f"{LONG}; pass id_col={suspects[0]!r}, target_col={value!r} (--id, --target), or targets=[...] with all "
            "series of a wide table"
        )
