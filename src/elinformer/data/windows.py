"""Windows of a panel: the chronological split, and batches, each one gather from the arrays of the panel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, SequentialSampler

from elinformer.batch import Batch
from elinformer.data.scaling import Moments, Scaler, error_scale, measure
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from elinformer.data.calendar import Calendar
    from elinformer.data.panel import Panel
    from elinformer.data.scaling import LossScale, ScalePer

PartName = Literal["train", "validation", "test"]


class Split(NamedTuple):
    """Steps [start, stop) of training, validation and test."""

    train: tuple[int, int]
    validation: tuple[int, int]
    test: tuple[int, int]


def chronological_split(n_steps: int, fractions: Sequence[float]) -> Split:
    """Cut `n_steps` into training, validation and test, the oldest first.

    Raises:
        InputError: `fractions` are not three numbers from 0 to 1 that add up to 1.
    """
    numbers = [f for f in fractions if isinstance(f, int | float) and f >= 0]
    if len(fractions) != 3 or len(numbers) != 3 or not fractions[0] or abs(sum(fractions) - 1) > 1e-6:
        raise InputError(
            "expected a split of three fractions (training, validation, test) that add up to 1, such as "
            f"0.6,0.2,0.2, got {','.join(str(f) for f in fractions)}"
        )
    first, second = round(n_steps * fractions[0]), round(n_steps * (fractions[0] + fractions[1]))
    return Split((0, first), (first, second), (second, n_steps))


@dataclass(frozen=True)
class Reach:
    """Steps that a window reads and forecasts, relative to its origin, the first target step.

    Attributes:
        window: Steps that are read, directly before the origin.
        horizon: Steps that are forecast, from the origin on.
        lags: Seasons, in steps. With a lag of 168 hours, the `horizon` steps one week before the targets are read too.
            A lag is at least `horizon`, so that these steps are known at the origin.

    Raises:
        InputError: A number of steps is below 1, or a lag is shorter than the horizon.
    """

    window: int
    horizon: int
    lags: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name, steps in (("window", self.window), ("horizon", self.horizon)):
            if steps < 1:
                raise InputError(f"expected a {name} of at least 1 step, got {steps}")
        if self.lags and min(self.lags) < self.horizon:
            raise InputError(f"expected lags of at least horizon={self.horizon} steps, got {min(self.lags)}")

    @property
    def inputs(self) -> np.ndarray:
        """Steps that are read (T,), negative, lags first: T = window + lags x horizon."""
        seasons = [np.arange(self.horizon) - lag for lag in sorted(self.lags, reverse=True)]
        return np.concatenate([*seasons, np.arange(-self.window, 0)])

    @property
    def history(self) -> int:
        """Number of steps before the origin that the window needs."""
        return max(self.window, *self.lags, 0)


def window_origins(part: tuple[int, int], reach: Reach) -> np.ndarray:
    """Return the origins (n,) of all windows of a part, the steps [start, stop).

    All targets of a window lie in its part. Its history may begin before the part, since it is known at forecast time.
    """
    start, stop = part
    return np.arange(max(start, reach.history), stop - reach.horizon + 1)


def part_origins(n_steps: int, fractions: Sequence[float], part: str | None, reach: Reach) -> np.ndarray:
    """Return the origins (n,) of all windows of a part of `n_steps`; of all steps if `part` is None.

    Raises:
        InputError: There is no such part, or it is too short for a window.
    """
    if part is not None and part not in Split._fields:
        raise InputError(f"expected a split out of {', '.join(Split._fields)} or None for all windows, got {part!r}")
    steps = (0, n_steps) if part is None else getattr(chronological_split(n_steps, fractions), part)
    origins = window_origins(steps, reach)
    if not len(origins):
        raise InputError(
            f"expected a part of at least {reach.horizon} steps to score, but the {part or 'panel'} has "
            f"{steps[1] - steps[0]}: choose another split"
        )
    return origins


def split_panel(panel: Panel, fractions: Sequence[float], reach: Reach) -> Split:
    """Split a panel into training, validation and test.

    Raises:
        InputError: Training or validation has no window, or no observed value.
    """
    parts = chronological_split(panel.n_steps, fractions)
    for name, part in zip(Split._fields[:2], parts[:2], strict=True):
        if not len(window_origins(part, reach)):
            lags = f", lags={list(reach.lags)}" if reach.lags else ""
            raise InputError(
                f"expected enough steps for window={reach.window}{lags} and horizon={reach.horizon}, but the {name} "
                f"part of {panel.name} has {part[1] - part[0]} of its {panel.n_steps} steps: shorten them or change "
                "the split"
            )
        if not panel.mask[slice(*part)].any():
            raise InputError(
                f"expected observed values in the {name} part of {panel.name}, but all of steps {part[0]} to "
                f"{part[1] - 1} are missing: change the split"
            )
    return parts


@dataclass(frozen=True, eq=False)
class SplitPanel:
    """Panel with its split and the moments of its training steps, each computed once.

    Attributes:
        panel: Panel that is split.
        reach: Steps that a window reads and forecasts.
        split: Steps of training, validation and test.
    """

    panel: Panel
    reach: Reach
    split: Split

    @classmethod
    def of(cls, panel: Panel, fractions: Sequence[float], reach: Reach) -> SplitPanel:
        """Split a panel.

        Raises:
            InputError: Training or validation has no window, or no observed value.
        """
        return cls(panel, reach, split_panel(panel, fractions, reach))

    @cached_property
    def moments(self) -> Moments:
        """Moments of the observed values of the training steps."""
        end = self.split.train[1]
        return measure(self.panel.values[:end], self.panel.mask[:end])

    def scaler(self, per: ScalePer) -> Scaler:
        """Return the scaler of the training steps."""
        return Scaler.of(self.moments, per=per, dtype=self.panel.values.dtype)

    def error_scale(self, kind: LossScale) -> np.ndarray:
        """Return the unit of errors in the loss, (N, C): see `elinformer.data.scaling.error_scale`."""
        return error_scale(self.panel, self.split.train[1], kind, moments=self.moments)

    def origins(self, part: PartName) -> np.ndarray:
        """Return the origins (n,) of all windows of a part."""
        return window_origins(getattr(self.split, part), self.reach)

    def windows(self, part: PartName, calendar: Calendar | None) -> WindowDataset:
        """Return all windows of a part."""
        return WindowDataset(self.panel, calendar, self.origins(part), self.reach)


class WindowDataset(Dataset[Batch]):
    """Windows with the origins `origins` (n,). An index, a list of B numbers, returns a `Batch`.

    The arrays of the panel are used in place, in memory or mapped from a file: a window is read when a batch needs it.
    Without targets, an origin may be the step after the last one.
    """

    def __init__(
        self, panel: Panel, calendar: Calendar | None, origins: np.ndarray, reach: Reach, *, with_targets: bool = True
    ) -> None:
        self.values, self.mask = panel.values, panel.mask  # arrays, since a tensor cannot be read-only
        self.calendar = None if calendar is None else _encode_steps(panel, calendar, reach.horizon)
        self.origins = torch.from_numpy(np.ascontiguousarray(origins))
        self.horizon, self.n_inputs = reach.horizon, len(reach.inputs)
        self.steps = np.concatenate([reach.inputs, np.arange(reach.horizon)])  # (T + S,)
        self.with_targets = with_targets

    def __len__(self) -> int:
        return len(self.origins)

    def __getitem__(self, indices: Sequence[int]) -> Batch:
        steps = self.origins[torch.as_tensor(indices)].numpy()[:, None] + self.steps  # (B, T + S)
        calendar = None if self.calendar is None else self.calendar[steps]
        rows = steps if self.with_targets else steps[:, : self.n_inputs]
        values, mask = (torch.from_numpy(array[rows]) for array in (self.values, self.mask))  # (B, T + S, N, C)
        past, future = slice(None, self.n_inputs), slice(self.n_inputs, None)
        if not self.with_targets:
            return Batch(values, mask, calendar)
        return Batch(values[:, past], mask[:, past], calendar, values[:, future], mask[:, future])


def _encode_steps(panel: Panel, calendar: Calendar, horizon: int) -> Tensor:
    """Return slot and weekday of all T' steps of a panel and of the horizon after it, (T' + S, 2)."""
    times = np.concatenate([panel.timestamps, panel.future_timestamps(horizon)])
    return torch.from_numpy(calendar.encode(times))


def window_loader(dataset: WindowDataset, batch_size: int) -> DataLoader[Batch]:
    """Return a loader of batches of windows in the order of time."""
    batches = BatchSampler(SequentialSampler(dataset), batch_size, drop_last=False)
    return DataLoader(dataset, sampler=batches, batch_size=None)
