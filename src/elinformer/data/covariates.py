"""Covariates of a panel: numbers beside its values that help to forecast them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from elinformer.data.pieces import row_blocks
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

LEVEL = "="
"""Sign between the name of a category and its level in the name of a static covariate: `kind=school` is 0 or 1."""


@dataclass(frozen=True, eq=False)
class Covariates:
    """Block of F covariates.

    Attributes:
        names: F names.
        values: float32, NaN where a value is missing. Past and future covariates: (T', N, F), or (T', 1, F) where all
            series share them. Static covariates: (N, F). The array can be mapped from a file.
    """

    names: tuple[str, ...]
    values: np.ndarray

    @classmethod
    def over_time(cls, name: str, values: Any, n_series: int) -> Covariates:
        """Make a block of one covariate from numbers (T',), which all series share, or (T', N).

        Raises:
            InputError: The array has another shape, or its cells are no numbers.
        """
        array = np.asarray(values)
        shapes = {1: (array.shape[0] if array.ndim else 0, 1, 1), 2: (*array.shape, 1)}
        if array.ndim not in shapes or array.dtype.kind not in "fiub" or array.shape[1:] not in {(), (n_series,)}:
            raise InputError(
                f"expected the covariate {name!r} as numbers of shape (steps,) or (steps, {n_series} series), got "
                f"{array.dtype} of {array.shape}"
            )
        with np.errstate(over="ignore"):  # infinite ones are refused by the panel
            return cls((name,), array.reshape(shapes[array.ndim]).astype(np.float32))

    @classmethod
    def of_series(cls, columns: Mapping[str, Any], n_series: int) -> Covariates:
        """Make static covariates from columns of numbers (N,), or of text (N,), which are categories.

        A category becomes one covariate of 0 and 1 for each of its levels. A number that is missing is NaN. A text that
        is empty belongs to no level.

        Raises:
            InputError: A column has another length, or its name has an equals sign.
        """
        names: list[str] = []
        found: list[np.ndarray] = []
        for name, cells in columns.items():
            column = np.asarray(cells)
            if LEVEL in name or column.shape != (n_series,):
                raise InputError(
                    f"expected a static covariate with a name without {LEVEL!r} and {n_series} cells, got {name!r} of "
                    f"shape {column.shape}: rename it, or give one cell a series"
                )
            if column.dtype.kind in "fiub":
                names.append(name)
                with np.errstate(over="ignore"):  # infinite ones are refused by the panel
                    found.append(column.astype(np.float32))
                continue
            empty = [cell is None or cell != cell for cell in column.tolist()]  # noqa: PLR0124  NaN
            texts = np.array(["" if void else str(cell) for void, cell in zip(empty, column.tolist(), strict=True)])
            levels = [level for level in np.unique(texts).tolist() if level]
            names += [f"{name}{LEVEL}{level}" for level in levels]
            found += [(texts == level).astype(np.float32) for level in levels]
        return cls(tuple(names), np.stack(found, -1) if found else np.zeros((n_series, 0), np.float32))

    def select_series(self, series: Any) -> Covariates:
        """Return the covariates of some series, which stand in the axis before the last one."""
        if self.values.ndim == 3 and self.values.shape[1] == 1:
            return self
        return Covariates(self.names, self.values[..., series, :])

    def from_step(self, start: int, stop: int | None = None) -> Covariates:
        """Return the steps [start, stop), without a copy."""
        return Covariates(self.names, self.values[start:stop])


def names_of(blocks: Iterable[Covariates]) -> tuple[str, ...]:
    """Return the names of all covariates of some blocks, in their order."""
    return tuple(name for block in blocks for name in block.names)


def select_blocks(blocks: Sequence[Covariates], names: Sequence[str]) -> tuple[Covariates, ...]:
    """Return blocks with the covariates `names` in this order. Nothing is copied."""
    if names_of(blocks) == tuple(names):
        return tuple(blocks)
    places = {name: (block, i) for block in blocks for i, name in enumerate(block.names)}
    found = ((name, *places[name]) for name in names)
    return tuple(Covariates((name,), block.values[..., i : i + 1]) for name, block, i in found)


@dataclass(frozen=True)
class Scales:
    """Mean and standard deviation of covariates in training, of each over all series.

    Attributes:
        names: F names.
        mean: F means.
        std: F standard deviations; 1 where a covariate is constant.
    """

    names: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    @classmethod
    def of(cls, blocks: Iterable[Covariates]) -> Scales:
        """Measure blocks. Levels of categories keep their 0 and 1."""
        rows = [
            (name, *((0.0, 1.0) if LEVEL in name else _mean_and_std(block.values[..., i])))
            for block in blocks
            for i, name in enumerate(block.names)
        ]
        return cls(*(tuple(column) for column in zip(*rows, strict=True))) if rows else cls()

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Scales:
        """Return the scales that JSON gives back."""
        return cls(*(tuple(document[name]) for name in ("names", "mean", "std")))


def _mean_and_std(values: np.ndarray) -> tuple[float, float]:
    """Return mean and standard deviation of the numbers that are not NaN, as 0 and 1 where there are none."""
    count, total, squares, origin = 0, 0.0, 0.0, None
    for rows in row_blocks(values.shape):
        seen = values[rows][~np.isnan(values[rows])].astype(np.float64)
        if not len(seen):
            continue
        origin = seen[0] if origin is None else origin  # sums of differences from a typical value keep their digits
        count, total = count + len(seen), total + float((seen - origin).sum())
        squares += float(((seen - origin) ** 2).sum())
    if origin is None:
        return 0.0, 1.0
    std = float(np.sqrt(max(0.0, squares / count - (total / count) ** 2)))
    mean = float(origin) + total / count
    return mean, std if std > 1e-6 * abs(mean) else 1.0


@dataclass(frozen=True)
class CovariateInfo:
    """Covariates of training: names, scales, and the static ones of every series.

    Attributes:
        past: Scales of the past covariates.
        future: Scales of the future covariates.
        static: Scales of the static covariates.
        static_values: N rows of static covariates.
    """

    past: Scales = Scales()
    future: Scales = Scales()
    static: Scales = Scales()
    static_values: tuple[tuple[float, ...], ...] = ()

    @property
    def moments(self) -> dict[str, tuple[tuple[float, ...], tuple[float, ...]]]:
        """Mean and standard deviation of the covariates by their field in `Batch`."""
        scales = {"past": self.past, "future": self.future, "static": self.static}
        return {role: (scale.mean, scale.std) for role, scale in scales.items() if scale.names}

    @classmethod
    def from_document(cls, document: Mapping[str, Any] | None) -> CovariateInfo:
        """Return the information that JSON gives back."""
        if document is None:
            return cls()
        past, future, static = (Scales.from_document(document[role]) for role in ("past", "future", "static"))
        return cls(past, future, static, tuple(tuple(row) for row in document["static_values"]))
