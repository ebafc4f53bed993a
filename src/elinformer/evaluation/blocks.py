"""Sums of errors by blocks of time. A bootstrap resamples whole days instead of single errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

if TYPE_CHECKING:
    from torch import Tensor

    from elinformer.data.panel import Panel

MIN_DAYS = 5
"""Number of days below which the blocks are quarters of a day."""

BLOCKS_WITHOUT_TIME = 20
"""Number of blocks at most, where steps have no times."""


class Blocks(NamedTuple):
    """Range of steps, divided into blocks of time.

    Attributes:
        kind: "day", "quarter of a day" or "<n> steps".
        start: First step of the range.
        number: (T',), the number of the block of every step of the range, from 0.
        labels: Names of the blocks.
    """

    kind: str
    start: int
    number: np.ndarray
    labels: tuple[str, ...]


def blocks_of(panel: Panel, steps: tuple[int, int], horizon: int) -> Blocks:
    """Divide a range of steps into blocks: days, quarters of days, or runs of steps.

    Args:
        panel: The data.
        steps: First step, and the step after the last one. A range of fewer than 5 days has quarters of days.
        horizon: S, length of a run of steps at least. Runs are used where the panel has no times.
    """
    start, stop = steps
    if not panel.has_time:
        length = max(horizon, -(-(stop - start) // BLOCKS_WITHOUT_TIME))
        labels = np.arange(start, stop) // length * length
        return _number_blocks(f"{length} steps", start, labels)
    times = panel.timestamps[start:stop]
    days = _number_blocks("day", start, times.astype("datetime64[D]"))
    if len(days.labels) >= MIN_DAYS:
        return days
    quarters = times.astype("datetime64[h]").astype(np.int64) // 6 * 6
    return _number_blocks("quarter of a day", start, quarters.astype("datetime64[h]"))


def _number_blocks(kind: str, start: int, labels: np.ndarray) -> Blocks:
    blocks, number = np.unique(labels, return_inverse=True)
    return Blocks(kind, start, number, tuple(str(label) for label in blocks))


class BlockSums:
    """Sums and counts of absolute errors for every block and channel.

    Args:
        blocks: Blocks of the steps that contain the targets.
        scale: (N, C), the unit of the scaled errors.

    Attributes:
        absolute: (blocks, C), sums of errors in the units of the data.
        scaled: (blocks, C), sums of errors divided by `scale`.
        count: (blocks, C), numbers of observed targets.
    """

    def __init__(self, blocks: Blocks, scale: np.ndarray) -> None:
        self.blocks = blocks
        self._number = torch.from_numpy(blocks.number)
        self._scale = torch.from_numpy(np.asarray(scale, np.float64))
        shape = (len(blocks.labels), scale.shape[1])
        self.absolute, self.scaled, self.count = (torch.zeros(shape, dtype=torch.float64) for _ in range(3))

    def update(self, prediction: Tensor, target: Tensor, mask: Tensor, origins: Tensor) -> None:
        """Add the errors of B forecasts.

        Args:
            prediction: (B, S, N, C), in the units of the data.
            target: (B, S, N, C).
            mask: (B, S, N, C), True = the target was observed.
            origins: (B,), the first target steps.
        """
        prediction, target, mask = (x.cpu() for x in (prediction, target, mask))
        error = torch.where(mask, (prediction.double() - target.double()).abs(), 0)
        number = self._number[origins[:, None] - self.blocks.start + torch.arange(target.shape[1])].flatten()
        for sums, values in ((self.absolute, error), (self.scaled, error / self._scale), (self.count, mask.double())):
            sums.index_add_(0, number, values.sum(2).flatten(0, 1))

    def scaled_error(self) -> float:
        """Return the mean scaled error, averaged over channels; NaN if nothing was observed."""
        count = self.count.sum(0)
        return float((self.scaled.sum(0) / count)[count > 0].mean())

    def to_dict(self) -> dict[str, Any]:
        """Return sums, counts and labels as a JSON document. Lists are ordered by block, then by channel."""
        sums = {name: getattr(self, name).tolist() for name in ("absolute", "scaled", "count")}
        return {"kind": self.blocks.kind, "labels": list(self.blocks.labels), **sums}
