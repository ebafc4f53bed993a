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
from elinformer.data.pieces import evenly_spaced
from elinformer.data.reach import PartName, Reach, Split, chronological_split, window_origins
from elinformer.data.scaling import Moments, Scaler, error_scale, measure, window_deviation
from elinformer.data.season_means import means_of_season
from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from elinformer.data.calendar import Calendar
    from elinformer.data.panel import Panel
    from elinformer.data.scaling import LossScale, ScalePer
    from elinformer.data.season_means import Read


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


class WindowDataset(Dataset[Batch]):
    """Windows with the origins `origins` (n,). An index, a list of B numbers, returns a `Batch`.

    The arrays of the panel are used in place, in memory or mapped from a file: a window is read when a batch needs it.
    Steps before the first one are missing. Holidays of the calendar are further future covariates.
    Values and future covariates of the means of seasons are those of `elinformer.data.season_means`.
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
        self.window = reach.window
        self.horizon, self.n_inputs = reach.horizon, len(reach.means) + len(reach.inputs)
        self.periods, self.n_mean_steps = tuple(sorted(reach.periods, reverse=True)), len(reach.means)
        self.with_means = True
        self.steps = np.concatenate([reach.means, reach.inputs, np.arange(reach.horizon)])  # (T + S,)
        self.with_targets = with_targets

    def __len__(self) -> int:
        return len(self.origins)

    @property
    def n_apart(self) -> float:
        """Number of windows at consecutive origins whose targets share no step: their errors are of so many events."""
        return (len(self) - 1) / self.horizon + 1

    def first(self, n: int) -> WindowDataset:
        """Return the first n windows."""
        selected = copy.copy(self)
        selected.origins = self.origins[:n]
        return selected

    def spread(self, n: int) -> WindowDataset:
        """Return at most n windows, evenly spaced."""
        selected = copy.copy(self)
        selected.origins = self.origins[torch.from_numpy(evenly_spaced(len(self), n))]
        return selected

    def without_means(self) -> WindowDataset:
        """Return the same windows for training, in which the means of seasons are missing.

        A model that learned from them would take those of a few periods for those of many.
        """
        selected = copy.copy(self)
        selected.with_means = False
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
        origins = self.origins[torch.as_tensor(indices, dtype=torch.int64)].numpy()
        steps = origins[:, None] + self.steps  # (B, T + S)
        calendar = None if self.calendar is None else self.calendar[np.maximum(steps, 0)]
        values, mask = self._values_of(steps if self.with_targets else steps[:, : self.n_inputs])
        future = _gather(self.future, steps)
        steps_of_means = slice(self.n_mean_steps)
        if not self.with_means:
            mask[:, steps_of_means] = False
        elif self.periods:
            values[:, steps_of_means], mask[:, steps_of_means] = self._means(self._values_of, origins)
            if future is not None:
                means, known = self._means(self._future_of, origins)
                future[:, steps_of_means] = torch.where(known, means, torch.nan)
        covariates = {
            "past": _gather(self.past, steps[:, : self.n_inputs]),
            "future": future,
            "static": None if self.static is None else torch.from_numpy(np.array(self.static)),
        }
        past, ahead = slice(None, self.n_inputs), slice(self.n_inputs, None)
        if not self.with_targets:
            return Batch(values, mask, calendar, **covariates)
        return Batch(values[:, past], mask[:, past], calendar, values[:, ahead], mask[:, ahead], **covariates)

    def _means(self, read: Read, origins: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return the means of all seasons, (B, n_mean_steps, N, F), the longest first, and which are known."""
        sizes = {"horizon": self.horizon, "window": self.window}
        found = [each for period in self.periods for each in means_of_season(read, origins, period, **sizes)]
        means, known = zip(*found, strict=True)
        return torch.cat(means, 1), torch.cat(known, 1)

    def _values_of(self, steps: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return the values (B, T, N, C) of steps (B, T), and which are observed: none before the first step."""
        rows = np.maximum(steps, 0)
        values, mask = torch.from_numpy(self.values[rows]), torch.from_numpy(self.mask[rows])
        if (steps < 0).any():
            mask &= torch.from_numpy(steps >= 0)[:, :, None, None]
        return values, mask

    def _future_of(self, steps: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return the future covariates (B, T, N, F) of steps (B, T), and which are known."""
        found = _gather(self.future, steps)
        if found is None:
            raise AssertionError("there are future covariates")
        return found, ~found.isnan()


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
