"""Windows over a panel: chronological parts, and batches that are one gather."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, SequentialSampler

from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from elinformer.data.calendar import Calendar
    from elinformer.data.panel import Panel


class Batch(NamedTuple):
    """B windows with what followed them, in the data's own units.

    `values` and `mask` (B, T, N, C), `calendar` (B, T, 2) or None, `target` and `target_mask` (B, S, N, C).
    What was not observed is NaN and False in its mask.
    """

    values: Tensor
    mask: Tensor
    calendar: Tensor | None
    target: Tensor
    target_mask: Tensor


class Split(NamedTuple):
    """The steps [start, stop) of the training, validation and test part."""

    train: tuple[int, int]
    validation: tuple[int, int]
    test: tuple[int, int]


def chronological_split(n_steps: int, fractions: Sequence[float]) -> Split:
    """Cut `n_steps` into three parts, oldest first.

    Raises:
        InputError: Not three fractions that are positive and add up to 1.
    """
    numbers = [f for f in fractions if isinstance(f, int | float) and f >= 0]
    if len(fractions) != 3 or len(numbers) != 3 or not fractions[0] or abs(sum(fractions) - 1) > 1e-6:
        raise InputError(
            "expected a split of three fractions (training, validation, test) that add up to 1, such as "
            f"0.6,0.2,0.2, got {','.join(str(f) for f in fractions)}"
        )
    first, second = round(n_steps * fractions[0]), round(n_steps * (fractions[0] + fractions[1]))
    return Split((0, first), (first, second), (second, n_steps))


def window_origins(part: tuple[int, int], window: int, horizon: int) -> np.ndarray:
    """First target steps of all windows that belong to a part, (n,).

    A window belongs to the part that all its targets lie in. Its history may reach back over the border, as
    it is known at forecast time.
    """
    start, stop = part
    return np.arange(max(start, window), stop - horizon + 1)


def split_panel(panel: Panel, fractions: Sequence[float], window: int, horizon: int) -> Split:
    """The parts of a panel, of which training and validation can be used.

    Raises:
        InputError: Training or validation has no window, or nothing observed.
    """
    parts = chronological_split(panel.n_steps, fractions)
    for name, part in zip(Split._fields[:2], parts[:2], strict=True):
        if not len(window_origins(part, window, horizon)):
            raise InputError(
                f"expected enough steps for window={window} and horizon={horizon}, but the {name} part of {panel.name} "
                f"has {part[1] - part[0]} of its {panel.n_steps} steps: shorten them or change the split"
            )
        if not panel.mask[slice(*part)].any():
            raise InputError(
                f"expected observed values in the {name} part of {panel.name}, but all of steps {part[0]} to "
                f"{part[1] - 1} are missing: change the split"
            )
    return parts


class WindowDataset(Dataset[Batch]):
    """The windows that start forecasting at `origins`; indexing with a list of numbers gives a `Batch`.

    The panel's arrays are used in place: no window is copied before it is asked for.
    """

    def __init__(self, panel: Panel, calendar: Calendar | None, origins: np.ndarray, window: int, horizon: int) -> None:
        self.values, self.mask = torch.from_numpy(panel.values), torch.from_numpy(panel.mask)
        self.moments = None if calendar is None else torch.from_numpy(calendar.encode(panel.timestamps))
        self.origins = torch.from_numpy(np.ascontiguousarray(origins))
        self.window, self.steps = window, torch.arange(-window, horizon)

    def __len__(self) -> int:
        return len(self.origins)

    def __getitem__(self, indices: Sequence[int]) -> Batch:
        rows = self.origins[torch.as_tensor(indices)][:, None] + self.steps  # (B, T+S)
        values, mask = self.values[rows], self.mask[rows]  # (B, T+S, N, C)
        calendar = None if self.moments is None else self.moments[rows[:, : self.window]]
        past, future = slice(None, self.window), slice(self.window, None)
        return Batch(values[:, past], mask[:, past], calendar, values[:, future], mask[:, future])


def window_loader(
    dataset: WindowDataset, batch_size: int, *, shuffle: bool = False, generator: torch.Generator | None = None
) -> DataLoader[Batch]:
    """Batches of windows, in order of time or shuffled by `generator`."""
    sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
    batches = BatchSampler(sampler, batch_size, drop_last=False)
    return DataLoader(dataset, sampler=batches, batch_size=None)
