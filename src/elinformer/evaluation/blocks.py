"""Errors added up by blocks of time, so that a bootstrap can draw days again instead of single errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

if TYPE_CHECKING:
    from torch import Tensor

    from elinformer.data.panel import Panel

FEWEST_DAYS = 5
"""With fewer days than these in a part, quarters of a day are drawn."""

BLOCKS_WITHOUT_TIME = 20


class Blocks(NamedTuple):
    """A part of the steps cut into blocks.

    Attributes:
        kind: "day", "quarter of a day" or "<n> steps".
        start: The first step of the part.
        number: (T',) the block of every step of the part, from 0.
        labels: What the blocks are called.
    """

    kind: str
    start: int
    number: np.ndarray
    labels: tuple[str, ...]


def blocks_of(panel: Panel, part: tuple[int, int], horizon: int) -> Blocks:
    """Cut a part into days; into quarters of days where it has few, into runs of steps where time is not known."""
    start, stop = part
    if not panel.has_time:
        length = max(horizon, -(-(stop - start) // BLOCKS_WITHOUT_TIME))
        labels = np.arange(start, stop) // length * length
        return _numbered(f"{length} steps", start, labels)
    times = panel.timestamps[start:stop]
    days = _numbered("day", start, times.astype("datetime64[D]"))
    if len(days.labels) >= FEWEST_DAYS:
        return days
    quarters = times.astype("datetime64[h]").astype(np.int64) // 6 * 6
    return _numbered("quarter of a day", start, quarters.astype("datetime64[h]"))


def _numbered(kind: str, start: int, labels: np.ndarray) -> Blocks:
    found, number = np.unique(labels, return_inverse=True)
    return Blocks(kind, start, number, tuple(str(label) for label in found))


class BlockSums:
    """Sums of absolute errors, in the data's units and in a scale, and counts: for every block and channel.

    Args:
        blocks: The blocks of the part that the targets lie in.
        scale: (N, C), what errors are divided by.
    """

    def __init__(self, blocks: Blocks, scale: np.ndarray) -> None:
        self.blocks = blocks
        self._number = torch.from_numpy(blocks.number)
        self._scale = torch.from_numpy(np.asarray(scale, np.float64))
        shape = (len(blocks.labels), scale.shape[1])
        self.absolute, self.scaled, self.count = (torch.zeros(shape, dtype=torch.float64) for _ in range(3))

    def update(self, prediction: Tensor, target: Tensor, mask: Tensor, origins: Tensor) -> None:
        """Add B forecasts: all (B, S, N, C), with their first target steps `origins` (B,)."""
        prediction, target, mask = (x.cpu() for x in (prediction, target, mask))
        error = torch.where(mask, (prediction.double() - target.double()).abs(), 0)
        number = self._number[origins[:, None] - self.blocks.start + torch.arange(target.shape[1])].flatten()
        for sums, values in ((self.absolute, error), (self.scaled, error / self._scale), (self.count, mask.double())):
            sums.index_add_(0, number, values.sum(2).flatten(0, 1))

    def scaled_error(self) -> float:
        """Mean over the channels of the mean scaled error; NaN where nothing was observed."""
        count = self.count.sum(0)
        return float((self.scaled.sum(0) / count)[count > 0].mean())

    def to_dict(self) -> dict[str, Any]:
        """For JSON; lists are by block, then by channel."""
        sums = {name: getattr(self, name).tolist() for name in ("absolute", "scaled", "count")}
        return {"kind": self.blocks.kind, "labels": list(self.blocks.labels), **sums}
