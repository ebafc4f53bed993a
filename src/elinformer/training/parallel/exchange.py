"""What ranks say to each other: sums and maxima by torch.distributed, counted."""

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
    """What a rank handed in: messages, and their bytes. A ring sends 2 (R - 1) / R times as many on R ranks."""

    messages: int = 0
    bytes: int = 0

    def add(self, x: Tensor) -> None:
        """Count a message."""
        self.messages += 1
        self.bytes += x.numel() * x.element_size()


@dataclass(frozen=True)
class Exchange:
    """Sums and maxima over a process group; alone without one. All ranks of the group get the same bits.

    Attributes:
        group: The ranks; None = this process alone.
        traffic: What was handed in so far.
    """

    group: dist.ProcessGroup | None = None
    traffic: Traffic = field(default_factory=Traffic)

    def counted_apart(self) -> Exchange:
        """The same ranks with a count that starts at zero."""
        return Exchange(self.group)

    def sum(self, x: Tensor) -> Tensor:
        """The sum of the `x` of all ranks."""
        return self._reduced(x, dist.ReduceOp.SUM)

    def maximum(self, x: Tensor) -> Tensor:
        """The element-wise maximum of the `x` of all ranks."""
        return self._reduced(x, dist.ReduceOp.MAX)

    def sum_in_place(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors of one dtype by their sums over all ranks, in one message."""
        if self._is_alone or not tensors:
            return
        packed = self.sum(torch.cat([x.flatten() for x in tensors]))
        for x, total in zip(tensors, packed.split([x.numel() for x in tensors]), strict=True):
            x.copy_(total.view_as(x))

    def rows(self, x: Tensor, sizes: Sequence[int]) -> list[Tensor] | None:
        """The rows of all ranks, `sizes` long, on the first of them; None elsewhere."""
        if self._is_alone:
            return [x]
        longest = max(sizes)
        padded = x.new_zeros((longest, *x.shape[1:]))
        padded[: len(x)] = x
        is_first = dist.get_rank(self.group) == 0
        gathered = [torch.empty_like(padded) for _ in sizes] if is_first else None
        dist.gather(padded, gathered, group=self.group, group_dst=0)
        self.traffic.add(padded)
        return None if gathered is None else [part[:size] for part, size in zip(gathered, sizes, strict=True)]

    @property
    def _is_alone(self) -> bool:
        return self.group is None or self.group.size() == 1

    def _reduced(self, x: Tensor, operation: dist.ReduceOp.RedOpType) -> Tensor:
        if self._is_alone or x.numel() == 0:
            return x
        result = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(result, operation, group=self.group)
        self.traffic.add(result)
        return result
