"""Mesh of ranks. The ranks of a row hold different series of the same windows, and rows hold different windows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh

from elinformer.errors import InputError
from elinformer.partition.ranks.group import RankGroup

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Mesh:
    """Position of this rank among `n_rows` x `n_columns` ranks, and its groups of ranks.

    The ranks of a row have consecutive numbers. Messages between series are the most frequent ones, and so they stay
    on one machine if possible.

    Attributes:
        row: Number of the row: the share of the windows of this rank.
        column: Number of the column: the shard of the series of this rank.
        n_rows: Number of ranks that share the windows.
        n_columns: Number of ranks that share the series.
        across_series: Ranks of the row.
        across_windows: Ranks of the column.
        across_all: All ranks.
    """

    row: int = 0
    column: int = 0
    n_rows: int = 1
    n_columns: int = 1
    across_series: RankGroup = field(default_factory=RankGroup)
    across_windows: RankGroup = field(default_factory=RankGroup)
    across_all: RankGroup = field(default_factory=RankGroup)

    @classmethod
    def of_world(cls, series_parallel: int = 1, *, device: torch.device | None = None) -> Mesh:
        """Return the mesh of all ranks of torch.distributed.

        Args:
            series_parallel: Number of ranks that share the series of a window. It divides the number of ranks.
            device: Device of this rank; the CPU by default.

        Raises:
            InputError: The number of ranks is not a multiple of `series_parallel`.
        """
        world = dist.get_world_size()
        if series_parallel < 1 or world % series_parallel:
            raise InputError(
                f"expected series_parallel to divide the number of ranks, {world}, got {series_parallel}: so "
                "many ranks share all series"
            )
        device = device or torch.device("cpu")
        grid = init_device_mesh(
            device.type, (world // series_parallel, series_parallel), mesh_dim_names=("windows", "series")
        )
        return cls(
            row=grid.get_local_rank("windows"),
            column=grid.get_local_rank("series"),
            n_rows=world // series_parallel,
            n_columns=series_parallel,
            across_series=RankGroup(grid.get_group("series"), device),
            across_windows=RankGroup(grid.get_group("windows"), device),
            across_all=RankGroup(dist.group.WORLD, device),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of rows and columns."""
        return self.n_rows, self.n_columns

    @property
    def n_ranks(self) -> int:
        """Number of ranks."""
        return self.n_rows * self.n_columns

    @property
    def rank(self) -> int:
        """Number of this rank, from 0."""
        return self.row * self.n_columns + self.column

    @property
    def is_alone(self) -> bool:
        """True if there is only one rank."""
        return self.n_ranks == 1

    @property
    def is_first(self) -> bool:
        """True for the rank that writes files."""
        return self.rank == 0

    def series_of(self, column: int, n_series: int) -> slice:
        """Return the shard of the series of a column. The sizes of shards differ by one at most.

        Raises:
            InputError: There are fewer series than columns.
        """
        if n_series < self.n_columns:
            raise InputError(
                f"expected at least one series for each rank, got {n_series} for series_parallel={self.n_columns}: use "
                "a smaller series_parallel"
            )
        return _share(n_series, column, self.n_columns)

    def own_series(self, n_series: int) -> slice:
        """Return the shard of the series of this rank."""
        return self.series_of(self.column, n_series)

    def own_windows(self, n_windows: int) -> slice:
        """Return the windows of a batch of this rank. A batch of fewer windows than rows leaves ranks without any."""
        return _share(n_windows, self.row, self.n_rows)

    def share_of_rank(self, n: int) -> slice:
        """Return the items of this rank among `n` items that all ranks share."""
        return _share(n, self.rank, self.n_ranks)

    def mean(self, total: Tensor, count: Tensor) -> Tensor:
        """Return the mean over the targets of all ranks. Its gradient is that of the targets of this rank.

        Args:
            total: Sum over the targets of this rank.
            count: Number of targets of this rank.
        """
        if self.is_alone:
            return total / count.clamp_min(1)
        totals = self.across_all.sum(torch.stack((total.detach().double(), count.double())))
        sum_of_all, n = totals[0], totals[1].clamp_min(1)
        own_share = total / n
        return own_share + (sum_of_all / n - own_share.detach()).to(own_share.dtype)


def _share(n: int, number: int, n_shares: int) -> slice:
    return slice(n * number // n_shares, n * (number + 1) // n_shares)
