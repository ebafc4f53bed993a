"""Batches of training windows in an order that seed and epoch alone decide, from any step of an epoch on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.utils.data import DataLoader, Sampler

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from elinformer.data.windows import Batch, WindowDataset


class ShuffledBatches(Sampler[list[int]]):
    """Numbers of windows, shuffled anew every epoch: each batch in `parts` micro-batches of nearly equal size.

    The last batch of an epoch is smaller and may come in fewer parts. Nothing of the order has to be remembered in a
    checkpoint, and every rank knows it.

    Args:
        n_windows: How many windows an epoch has.
        batch_size: Windows a step.
        parts: Micro-batches a step.
        seed: Of the order.

    Attributes:
        skip: Steps to leave out of the epoch that is begun next, because they are done.
    """

    def __init__(self, n_windows: int, batch_size: int, parts: int = 1, *, seed: int) -> None:
        self.n_windows, self.batch_size, self.parts, self.seed = n_windows, batch_size, parts, seed
        self.skip = 0
        self._epoch = 0

    def __len__(self) -> int:
        """Micro-batches of a whole epoch."""
        whole, rest = divmod(self.n_windows, self.batch_size)
        return whole * self.parts + self._parts_of(rest)

    def __iter__(self) -> Iterator[list[int]]:
        skip, self.skip = self.skip, 0
        for batch in self._order().split(self.batch_size)[skip:]:
            for part in batch.tensor_split(self._parts_of(len(batch))):
                yield part.tolist()

    def set_epoch(self, epoch: int) -> None:
        """Lightning's word for the epoch that comes next, from 0."""
        self._epoch = epoch

    def _order(self) -> Tensor:
        generator = torch.Generator().manual_seed((self.seed + self._epoch) % (1 << 64))
        return torch.randperm(self.n_windows, generator=generator)

    def _parts_of(self, n_windows: int) -> int:
        return -(-n_windows // -(-self.batch_size // self.parts)) if n_windows < self.batch_size else self.parts


def training_loader(dataset: WindowDataset, batches: ShuffledBatches) -> DataLoader[Batch]:
    """The batches of windows that `batches` names."""
    return DataLoader(dataset, sampler=batches, batch_size=None)
