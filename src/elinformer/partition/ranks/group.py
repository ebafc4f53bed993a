"""Groups of ranks: sums and maxima with torch.distributed, and a count of the messages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


@dataclass
class Traffic:
    """Number of messages of a rank, and their bytes.

    A ring of R ranks sends 2 (R - 1) / R times as many bytes.
    """

    messages: int = 0
    bytes: int = 0

    def add(self, x: Tensor) -> None:
        """Count a message."""
        self.messages += 1
        self.bytes += x.numel() * x.element_size()


@dataclass(frozen=True)
class RankGroup:
    """Sums and maxima over a process group. All ranks of the group get bitwise equal results.

    Attributes:
        group: Process group of the ranks; None = only this process.
        device: Device of the messages. Results are on the device of the input.
        traffic: Count of the messages so far.
    """

    group: dist.ProcessGroup | None = None
    device: torch.device | None = None
    traffic: Traffic = field(default_factory=Traffic)

    def with_new_count(self) -> RankGroup:
        """Return a group of the same ranks, with a count of messages that starts at zero."""
        return RankGroup(self.group, self.device)

    @property
    def is_alone(self) -> bool:
        """True if the group has no other rank."""
        return self.group is None or self.group.size() == 1

    def sum(self, x: Tensor) -> Tensor:
        """Return the sum of `x` over all ranks."""
        return self._reduce(x, dist.ReduceOp.SUM)

    def maximum(self, x: Tensor) -> Tensor:
        """Return the element-wise maximum of `x` over all ranks."""
        return self._reduce(x, dist.ReduceOp.MAX)

    def sum_in_place(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors of one dtype by their sums over all ranks, in one message."""
        if not self.is_alone and tensors:
            _unpack(self.sum(_pack(tensors)), tensors)

    def copy_from_first(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors of one dtype by those of the first rank, in one message."""
        if not self.is_alone and tensors:
            packed = _pack(tensors).to(self.device)
            dist.broadcast(packed, group=self.group, group_src=0)
            self.traffic.add(packed)
            _unpack(packed, tensors)

    def rows(self, x: Tensor, sizes: Sequence[int]) -> Tensor:
        """Return the rows of all ranks in the order of the ranks, where rank r has `sizes[r]` rows."""
        if self.is_alone:
            return x
        padded = torch.zeros((max(sizes), *x.shape[1:]), dtype=x.dtype, device=self.device)
        padded[: len(x)] = x
        gathered = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(gathered, padded, group=self.group)
        self.traffic.add(padded)
        return torch.cat([rows[:size] for rows, size in zip(gathered, sizes, strict=True)]).to(x.device)

    def _reduce(self, x: Tensor, operation: dist.ReduceOp.RedOpType) -> Tensor:
        if self.is_alone or x.numel() == 0:
            return x
        result = x.to(self.device, copy=True, memory_format=torch.contiguous_format)
        dist.all_reduce(result, operation, group=self.group)
        self.traffic.add(result)
        return result.to(x.device)


def _pack(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([x.flatten() for x in tensors])


def _unpack(packed: Tensor, tensors: Sequence[Tensor]) -> None:
    for x, new in zip(tensors, packed.split([x.numel() for x in tensors]), strict=True):
        x.copy_(new.view_as(x))
