"""Ranks as a mesh: those of a row hold different series of the same windows, rows hold different windows."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh

from elinformer.errors import InputError
from elinformer.partition.ranks.group import RankGroup


@dataclass(frozen=True)
class Mesh:
    """Place of this rank among `n_rows` x `n_columns` ranks, and the groups it is in.

    Ranks of a row are neighbours, so that the frequent messages, those between series, stay on one machine where
    they can.

    Attributes:
        row: Share of the windows that this rank takes.
        column: Shard of the series that this rank holds.
        n_rows: Ranks that share the windows.
        n_columns: Ranks that share the series.
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
        """Return the mesh of all ranks of torch.distributed, of which `series_parallel` share the series of a window.

        Args:
            series_parallel: It divides the number of ranks.
            device: Device of this rank; the CPU by default.

        Raises:
            InputError: The number of ranks is no multiple of `series_parallel`.
        """
        world = dist.get_world_size()
        if series_parallel < 1 or world % series_parallel:
            raise InputError(
                f"expected series_parallel to divide the number of ranks, {world}, got {series_parallel}: each group "
                "of so many ranks holds all series once"
            )
        place = device or torch.device("cpu")
        grid = init_device_mesh(
            place.type, (world // series_parallel, series_parallel), mesh_dim_names=("windows", "series")
        )
        return cls(
            row=grid.get_local_rank("windows"),
            column=grid.get_local_rank("series"),
            n_rows=world // series_parallel,
            n_columns=series_parallel,
            across_series=RankGroup(grid.get_group("series"), place),
            across_windows=RankGroup(grid.get_group("windows"), place),
            across_all=RankGroup(dist.group.WORLD, place),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
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
        """True with a single rank."""
        return self.n_ranks == 1

    @property
    def is_first(self) -> bool:
        """True for the rank that writes files."""
        return self.rank == 0

    def series_of(self, column: int, n_series: int) -> slice:
        """Return the series that ranks of a column hold; sizes differ by one at most.

        Raises:
            InputError: Fewer series than columns.
        """
        if n_series < self.n_columns:
            raise InputError(
                f"expected at least one series a rank, got {n_series} for series_parallel={self.n_columns}: use fewer"
            )
        return _share(n_series, column, self.n_columns)

    def own_series(self, n_series: int) -> slice:
        """Return the series that this rank holds."""
        return self.series_of(self.column, n_series)

    def own_windows(self, n_windows: int) -> slice:
        """Return the windows of a batch that this rank takes; none where there are fewer windows than rows."""
        return _share(n_windows, self.row, self.n_rows)

    def share_of_rank(self, n: int) -> slice:
        """Return this rank's share of `n` things that all ranks divide among themselves."""
        return _share(n, self.rank, self.n_ranks)


def _share(n: int, part: int, parts: int) -> slice:
    return slice(n * part // parts, n * (part + 1) // parts)
