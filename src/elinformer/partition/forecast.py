"""Forecasts of many series, a partition of them at a time, equal to those of all at once.

Block by block, the keys of all partitions are summed up in one state, and then every partition reads from it. The
tokens between two blocks are kept for all series, in memory or in a file; all else is of the size of one partition.
"""

from __future__ import annotations

import functools
import tempfile
from typing import TYPE_CHECKING, Any

import torch

from elinformer.errors import InputError
from elinformer.ops import KeyState
from elinformer.ops.eala.partitioned import WholeExchange
from elinformer.partition.chain import check_partitions, why_not_partitioned

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from torch import Tensor, nn

    from elinformer.batch import Batch

WITHOUT_GRADIENT = 4
"""Factor by which a forecast may hold more tokens than training: it takes less than a fifth of the memory for each."""

TOKENS_OF_PARTITION = 8192
"""Larger partitions only cost time: the allocator gives their tensors back to the system, which clears them anew."""


def forecasting(
    model: nn.Module, n_series: int, *, tokens: int, tokens_at_once: int, series_at_once: int | None = None
) -> Callable[[Batch], Tensor]:
    """Return `model` itself, or its forecast in partitions where a window of all series is too large for it.

    Args:
        model: A `ScaledModel`.
        n_series: N.
        tokens: Tokens of a window of all series.
        tokens_at_once: Tokens that training holds together with their gradient. A forecast, which has none, holds four
            times as many; more are computed in partitions, where the model allows it.
        series_at_once: Size of the partitions; by default as many as `tokens_at_once` allows, at most 8,192 tokens.

    Raises:
        InputError: A number of series that is not positive, or less than all of them for a model that needs all.
    """
    if series_at_once is None:
        fits = tokens <= WITHOUT_GRADIENT * tokens_at_once or why_not_partitioned(model) is not None
        series_at_once = n_series if fits else max(1, n_series * min(tokens_at_once, TOKENS_OF_PARTITION) // tokens)
    if series_at_once < 1:
        raise InputError(f"expected series_at_once of at least 1, got {series_at_once}")
    return model if series_at_once >= n_series else PartitionedForecast(model, series_at_once)


class PartitionedForecast:
    """Forecast of a model in partitions of `series_at_once` series: a function from a batch to (B, S, N, C, K).

    Args:
        model: A `ScaledModel` of a chain: see `elinformer.partition.chain`.
        series_at_once: Series that are computed together.
        folder: Folder of a file that holds the tokens between two blocks, B x N x width numbers; in memory by default.

    Raises:
        InputError: A model that needs all series at once.
    """

    def __init__(self, model: nn.Module, series_at_once: int, *, folder: str | Path | None = None) -> None:
        check_partitions(model)
        self.model, self.series_at_once, self.folder = model, series_at_once, folder

    def __call__(self, batch: Batch) -> Tensor:
        """Forecast (B, S, N, C, K), without a gradient."""
        numbers = torch.arange(batch.values.shape[2], device=batch.values.device)
        partitions = [batch.of_series(own) for own in numbers.split(self.series_at_once)]
        model: Any = self.model
        with torch.inference_mode(), TokenStore(self.folder) as tokens:
            pass_through_blocks(model, partitions, tokens)
            return torch.cat([model.head(tokens.read(i), part) for i, part in enumerate(partitions)], dim=2)


def pass_through_blocks(model: Any, partitions: Sequence[Batch], tokens: TokenStore) -> list[list[KeyState] | None]:
    """Take the tokens of all partitions through all blocks, and leave them in `tokens`.

    Returns:
        For every block the states of the keys of all partitions, None where it does not attend.
    """
    masks: list[Tensor | None] = []
    for i, part in enumerate(partitions):
        x, key_mask = model.embed(part)
        tokens.keep(i, x, len(partitions))
        masks.append(key_mask)
    found: list[list[KeyState] | None] = []
    for block in model.blocks:
        states = [block.key_state(tokens.read(i), mask) for i, mask in enumerate(masks)] if block.attends else None
        exchange = None if states is None else WholeExchange(functools.reduce(KeyState.merge, states))
        for i, mask in enumerate(masks):
            tokens.keep(i, block(tokens.read(i), mask, exchange), len(partitions))
        found.append(states)
    return found


class TokenStore:
    """Tokens of partitions between two blocks, in memory or in a file.

    All partitions but the last have the size of the first.

    Args:
        folder: Folder of the file, which is removed at the end; None = in memory.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self._folder = None if folder is None else tempfile.TemporaryDirectory(dir=folder)
        self._flat: Tensor | None = None
        self._places: dict[int, tuple[int, torch.Size]] = {}
        self._step = 0

    def __enter__(self) -> TokenStore:
        return self

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    def keep(self, number: int, x: Tensor, n_partitions: int) -> None:
        """Keep the tokens of a partition in the place of those before."""
        if self._flat is None:
            self._step = x.numel()
            self._flat = self._space(self._step * n_partitions, x)
        self._places[number] = (number * self._step, x.shape)
        self.read(number).copy_(x)

    def read(self, number: int) -> Tensor:
        """Return the tokens of a partition, in place."""
        if self._flat is None:
            raise AssertionError("tokens are kept before they are read")
        start, shape = self._places[number]
        return self._flat[start : start + shape.numel()].view(shape)

    def _space(self, size: int, like: Tensor) -> Tensor:
        if self._folder is None:
            return like.new_empty(size)
        return torch.from_file(f"{self._folder.name}/tokens", shared=True, size=size, dtype=like.dtype)
