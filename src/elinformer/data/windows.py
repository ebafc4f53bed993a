"""Windows of a panel: batches, each one gather from the arrays of the panel, and the panel with its split."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, SequentialSampler

from elinformer.batch import Batch
from elinformer.data.reach import PartName, Reach, Split, chronological_split, window_origins
from elinformer.data.scaling import Moments, Scaler, error_scale, measure, window_deviation
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from elinformer.data.calendar import Calendar
    from elinformer.data.panel import Panel
    from elinformer.data.scaling import LossScale, ScalePer


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

    def scaler(self, per: ScalePer, *, by_window: bool = False) -> Scaler:
        """Return the scaler of the training steps; `by_window` uses the typical deviation of a window."""
        scaler = Scaler.of(self.moments, per=per, dtype=self.panel.values.dtype)
        if not by_window:
            return scaler
        values, mask, origins = self.panel.values, self.panel.mask, self.origins("train")
        return scaler.by_window(window_deviation(values, mask, origins, self.reach.inputs), per=per)

    def error_scale(self, kind: LossScale) -> np.ndarray:
        """Return the unit of errors in the loss, (N, C): see `elinformer.data.scaling.error_scale`."""
        return error_scale(self.panel, self.split.train[1], kind, moments=self.moments)

    def origins(self, part: PartName) -> np.ndarray:
        """Return the origins (n,) of all windows of a part."""
        return window_origins(getattr(self.split, part), self.reach)

    def windows(self, part: PartName, calendar: Calendar | None) -> WindowDataset:
        """Return all windows of a part."""
        return WindowDataset(self.panel, calendar, self.origins(part), self.reach)

    def all_windows(self, calendar: Calendar | None) -> WindowDataset:
        """Return the windows of all steps, also those whose targets lie in two parts."""
        return WindowDataset(self.panel, calendar, window_origins((0, self.panel.n_steps), self.reach), self.reach)


MAX_SEASONS_BACK = 3
"""Periods of the longest lag that are searched for a value, where that of the lag is missing."""


class WindowDataset(Dataset[Batch]):
    """Windows with the origins `origins` (n,). An index, a list of B numbers, returns a `Batch`.

    The arrays of the panel are used in place, in memory or mapped from a file: a window is read when a batch needs it.
    Steps before the first one are missing. Holidays of the calendar are further future covariates. A missing value of
    the longest lag is replaced by that of the same time one, two or three of its periods before, so that a sensor that
    has been silent for as long as all lags is forecast by what it was before.
    Without targets, an origin may be the step after the last one.
    """

    def __init__(
        self, panel: Panel, calendar: Calendar | None, origins: np.ndarray, reach: Reach, *, with_targets: bool = True
    ) -> None:
        self.values, self.mask = panel.values, panel.mask  # arrays, since a tensor cannot be read-only
        self.past, self.future = (tuple(block.values for block in blocks) for blocks in (panel.past, panel.future))
        self.static = None if panel.static is None else panel.static.values
        _check_future(panel, int(origins.max(initial=0)) + reach.horizon)
        self.calendar = None
        if calendar is not None:
            times = np.concatenate([panel.timestamps, panel.future_timestamps(reach.horizon)])
            self.calendar = torch.from_numpy(calendar.encode(times))  # (T' + S, 3)
            if (holidays := calendar.holiday_features(times)) is not None:
                self.future += (holidays[:, None],)
        self.origins = torch.from_numpy(np.ascontiguousarray(origins))
        self.horizon, self.n_inputs = reach.horizon, len(reach.inputs)
        self.longest_lag = max(reach.lags, default=0)
        self.steps = np.concatenate([reach.inputs, np.arange(reach.horizon)])  # (T + S,)
        self.with_targets = with_targets

    def __len__(self) -> int:
        return len(self.origins)

    def first(self, n: int) -> WindowDataset:
        """Return the first n windows."""
        selected = copy.copy(self)
        selected.origins = self.origins[:n]
        return selected

    def select_series(self, series: slice) -> WindowDataset:
        """Return the windows of some series. The arrays are views, so that only these series are read."""
        selected = copy.copy(self)
        selected.values, selected.mask = self.values[:, series], self.mask[:, series]
        selected.past, selected.future = (
            tuple(x if x.shape[1] == 1 else x[:, series] for x in arrays) for arrays in (self.past, self.future)
        )
        selected.static = None if self.static is None else self.static[series]
        return selected

    def __getitem__(self, indices: Sequence[int]) -> Batch:
        steps = self.origins[torch.as_tensor(indices)].numpy()[:, None] + self.steps  # (B, T + S)
        rows = np.maximum(steps if self.with_targets else steps[:, : self.n_inputs], 0)
        calendar = None if self.calendar is None else self.calendar[np.maximum(steps, 0)]
        values, mask = (torch.from_numpy(array[rows]) for array in (self.values, self.mask))  # (B, T + S, N, C)
        if (steps[:, 0] < 0).any():
            mask &= torch.from_numpy(steps[:, : rows.shape[1]] >= 0)[:, :, None, None]
        if self.longest_lag:
            self._fill_longest_lag(values[:, : self.horizon], mask[:, : self.horizon], steps[:, : self.horizon])
        covariates = {
            "past": _gather(self.past, steps[:, : self.n_inputs]),
            "future": _gather(self.future, steps),
            "static": None if self.static is None else torch.from_numpy(np.array(self.static)),
        }
        past, future = slice(None, self.n_inputs), slice(self.n_inputs, None)
        if not self.with_targets:
            return Batch(values, mask, calendar, **covariates)
        return Batch(values[:, past], mask[:, past], calendar, values[:, future], mask[:, future], **covariates)

    def _fill_longest_lag(self, values: Tensor, mask: Tensor, steps: np.ndarray) -> None:
        """Fill the missing values (B, S, N, C) of the longest lag, which are those of the steps (B, S), in place."""
        for periods in range(1, MAX_SEASONS_BACK + 1):
            earlier = steps - periods * self.longest_lag
            windows = (~mask.flatten(1).all(1).numpy() & (earlier[:, -1] >= 0)).nonzero()[0]
            if not len(windows):
                return
            rows = np.maximum(earlier[windows], 0)
            seen = torch.from_numpy(self.mask[rows] & (earlier[windows] >= 0)[:, :, None, None]) & ~mask[windows]
            values[windows] = torch.where(seen, torch.from_numpy(self.values[rows]), values[windows])
            mask[windows] |= seen


def _gather(arrays: Sequence[np.ndarray], steps: np.ndarray) -> Tensor | None:
    """Return the covariates (B, T, N, F) of some steps (B, T); N is 1 if all series share all of them."""
    if not arrays:
        return None
    parts = [torch.from_numpy(array[np.maximum(steps, 0)]) for array in arrays]
    before = torch.from_numpy(steps < 0)
    for part in parts if before.any() else ():
        part[before] = torch.nan
    n_series = max(part.shape[2] for part in parts)
    return torch.cat([part.expand(-1, -1, n_series, -1) for part in parts], -1)


def _check_future(panel: Panel, stop: int) -> None:
    """Refuse future covariates that end before the last step to forecast.

    Raises:
        InputError: They do. The message names the first of them, and the first missing time.
    """
    for block in panel.future:
        known = len(block.values)
        if known < stop:
            times = np.concatenate([panel.timestamps, panel.future_timestamps(stop - panel.n_steps)])
            raise InputError(
                f"expected the future covariate {block.names[0]!r} up to {times[stop - 1]}, the last step to forecast, "
                f"but it is first missing at {times[known]}: pass futr_df=... with the steps of the horizon"
            )


def window_loader(dataset: WindowDataset, batch_size: int) -> DataLoader[Batch]:
    """Return a loader of batches of windows in the order of time."""
    batches = BatchSampler(SequentialSampler(dataset), batch_size, drop_last=False)
    return DataLoader(dataset, sampler=batches, batch_size=None)
