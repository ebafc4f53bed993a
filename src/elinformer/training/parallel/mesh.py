"""Ranks as a mesh: those of a row hold different series of the same windows, rows hold different windows."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh

from elinformer.errors import InputError
from elinformer.training.parallel.exchange import Exchange


@dataclass(frozen=True)
class Mesh:
    """Where this rank stands among `n_rows` x `n_columns` ranks, and whom it exchanges with.

    Ranks of a row are neighbours, so that the frequent messages, those between series, stay on one machine where
    they can.

    Attributes:
        row: Which windows this rank takes.
        column: Which series.
        n_rows: Over how many ranks the windows are spread.
        n_columns: Over how many ranks the series are spread.
        across_series: Exchange within the row.
        across_windows: Exchange within the column.
        across_all: Exchange among all ranks.
    """

    row: int = 0
    column: int = 0
    n_rows: int = 1
    n_columns: int = 1
    across_series: Exchange = field(default_factory=Exchange)
    across_windows: Exchange = field(default_factory=Exchange)
    across_all: Exchange = field(default_factory=Exchange)

    @classmethod
    def of_world(cls, series_parallel: int = 1, *, device: torch.device | None = None) -> Mesh:
        """The mesh of all ranks of torch.distributed, of which `series_parallel` share the series of a window.

        Args:
            series_parallel: It divides the number of ranks.
            device: Of this rank; the CPU by default.

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
            across_series=Exchange(grid.get_group("series"), place),
            across_windows=Exchange(grid.get_group("windows"), place),
            across_all=Exchange(dist.group.WORLD, place),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.n_rows, self.n_columns

    @property
    def n_ranks(self) -> int:
        """How many ranks there are."""
        return self.n_rows * self.n_columns

    @property
    def rank(self) -> int:
        """The number of this one, from 0."""
        return self.row * self.n_columns + self.column

    @property
    def is_alone(self) -> bool:
        """Whether there is one rank."""
        return self.n_ranks == 1

    @property
    def is_first(self) -> bool:
        """Whether this is the rank that writes."""
        return self.rank == 0

    def series_of(self, column: int, n_series: int) -> slice:
        """The series that ranks of a column hold; sizes differ by one at most.

        Raises:
            InputError: Fewer series than columns.
        """
        if n_series < self.n_columns:
            raise InputError(
                f"expected at least one series a rank, got {n_series} for series_parallel={self.n_columns}: use fewer"
            )
        return _share(n_series, column, self.n_columns)

    def own_series(self, n_series: int) -> slice:
        """The series that this rank holds."""
        return self.series_of(self.column, n_series)

    def own_windows(self, n_windows: int) -> slice:
        """Which of the windows of a batch this rank takes; none of them where there are fewer than rows."""
        return _share(n_windows, self.row, self.n_rows)

    def share_of_rank(self, n: int) -> slice:
        """This rank's share of `n` things that all ranks divide among themselves."""
        return _share(n, self.rank, self.n_ranks)


def _share(n: int, part: int, parts: int) -> slice:
    return slice(n * part // parts, n * (part + 1) // parts)
