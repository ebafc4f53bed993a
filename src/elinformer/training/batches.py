"""Batches of training windows: shuffled by seed and epoch, resumable at any step, and divided among ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from elinformer.batch import Batch
    from elinformer.data.windows import WindowDataset
    from elinformer.partition.ranks import Mesh


class ShuffledBatches(Sampler[list[int]]):
    """Indices of windows, shuffled every epoch; each batch is split into micro-batches of nearly equal size.

    The last batch of an epoch is smaller and may have fewer micro-batches. Seed and epoch alone decide the order, so
    that a checkpoint need not hold it and all ranks agree on it.

    An epoch is a pass over all windows; with `steps_per_epoch` it is a part of an endless series of passes, each in
    another order, and all batches are full.

    Args:
        n_windows: Windows of a pass.
        batch_size: Windows of a step; at most `n_windows` with `steps_per_epoch`.
        micro_batches: Micro-batches of a step.
        seed: Seed of the order.
        steps_per_epoch: Steps of an epoch; None = one pass.

    Attributes:
        n_steps_to_skip: Steps of the next epoch that are already done.
    """

    def __init__(
        self, n_windows: int, batch_size: int, micro_batches: int = 1, *, seed: int, steps_per_epoch: int | None = None
    ) -> None:
        self.n_windows, self.batch_size, self.micro_batches, self.seed = n_windows, batch_size, micro_batches, seed
        self.steps_per_epoch = steps_per_epoch
        self.n_steps_to_skip = 0
        self._epoch = 0

    def __len__(self) -> int:
        """Return the number of micro-batches of a whole epoch."""
        if self.steps_per_epoch is not None:
            return self.steps_per_epoch * self.micro_batches
        full_batches, remainder = divmod(self.n_windows, self.batch_size)
        return full_batches * self.micro_batches + self._count_micro_batches(remainder)

    def __iter__(self) -> Iterator[list[int]]:
        n_steps_to_skip, self.n_steps_to_skip = self.n_steps_to_skip, 0
        for batch in self._order().split(self.batch_size)[n_steps_to_skip:]:
            for micro_batch in batch.tensor_split(self._count_micro_batches(len(batch))):
                yield micro_batch.tolist()

    def set_epoch(self, epoch: int) -> None:
        """Set the next epoch, from 0; Lightning calls this."""
        self._epoch = epoch

    def _order(self) -> Tensor:
        """Return the windows of an epoch in order."""
        if self.steps_per_epoch is None:
            return self._order_of_pass(self._epoch)
        n_drawn = self.steps_per_epoch * self.batch_size
        first, skipped = divmod(self._epoch * n_drawn, self.n_windows)
        n_passes = -(-(skipped + n_drawn) // self.n_windows)
        drawn = torch.cat([self._order_of_pass(first + i) for i in range(n_passes)])
        return drawn[skipped : skipped + n_drawn]

    def _order_of_pass(self, number: int) -> Tensor:
        generator = torch.Generator().manual_seed((self.seed + number) % (1 << 64))
        return torch.randperm(self.n_windows, generator=generator)

    def _count_micro_batches(self, n_windows: int) -> int:
        if n_windows == self.batch_size:
            return self.micro_batches
        return -(-n_windows // -(-self.batch_size // self.micro_batches))


class RankWindows(Sampler[Tensor]):
    """This rank's windows of each batch of another sampler; a small batch may have none for it."""

    def __init__(self, batches: Any, mesh: Mesh) -> None:
        self.batches: Any = batches
        self.mesh = mesh

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Tensor]:
        batches: Iterable[list[int]] = self.batches
        for batch in batches:
            yield torch.tensor(batch[self.mesh.own_windows(len(batch))], dtype=torch.int64)

    def set_epoch(self, epoch: int) -> None:
        """Pass the next epoch on to the other sampler; Lightning calls this."""
        if hasattr(self.batches, "set_epoch"):
            self.batches.set_epoch(epoch)


def training_loader(dataset: WindowDataset, batches: ShuffledBatches) -> DataLoader[Batch]:
    """Return a loader of the windows that `batches` lists."""
    return DataLoader(dataset, sampler=batches, batch_size=None)


def shard_loader(loader: DataLoader[Any], mesh: Mesh, n_series: int) -> DataLoader[Any]:
    """Return a loader of as many batches, with this rank's windows and series of each.

    The arrays are views, so that a rank reads its own series alone.
    """
    dataset: Any = loader.dataset
    return DataLoader(
        dataset.select_series(mesh.own_series(n_series)), sampler=RankWindows(loader.sampler, mesh), batch_size=None
    )
