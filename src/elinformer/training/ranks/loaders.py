"""The windows and series of a rank, out of the loaders of one process."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from elinformer.partition.ranks import Mesh


class OwnWindows(Sampler[Tensor]):
    """The batches of another sampler, of each the windows of this rank; a small batch may leave it none."""

    def __init__(self, batches: Any, mesh: Mesh) -> None:
        self.batches: Any = batches
        self.mesh = mesh

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Tensor]:
        every: Iterable[list[int]] = self.batches
        for batch in every:
            yield torch.tensor(batch[self.mesh.own_windows(len(batch))], dtype=torch.int64)

    def set_epoch(self, epoch: int) -> None:
        """Lightning's word for the epoch that comes next, passed on."""
        if hasattr(self.batches, "set_epoch"):
            self.batches.set_epoch(epoch)


def own_loader(loader: DataLoader[Any], mesh: Mesh, n_series: int) -> DataLoader[Any]:
    """A loader of `WindowDataset` with this rank's series of its windows, as many batches as before.

    The arrays are used in place, so that a rank reads no more than its own series.
    """
    dataset: Any = copy.copy(loader.dataset)
    own = mesh.own_series(n_series)
    dataset.values, dataset.mask = dataset.values[:, own], dataset.mask[:, own]
    return DataLoader(dataset, sampler=OwnWindows(loader.sampler, mesh), batch_size=None)
