"""Forecasts of many series in partitions, equal to the forecast of all series at once.

For every block, the keys of all partitions are added up in one state, and then every partition attends to this state.
The tokens between two blocks are stored for all series, in memory or in a file. All other tensors have the size of one
partition.
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
"""Factor on the tokens that fit into memory: a token of a forecast takes less than a fifth of the memory."""

MAX_TOKENS = 8192
"""Tokens of a partition at most. Larger partitions are slower: the allocator returns their memory to the system."""


def forecasting(
    model: nn.Module, n_series: int, *, tokens: int, tokens_at_once: int, series_at_once: int | None = None
) -> Callable[[Batch], Tensor]:
    """Return `model` itself, or its forecast in partitions if a window of all series is too large.

    Args:
        model: A `ScaledModel`.
        n_series: N.
        tokens: Number of tokens of a window of all series.
        tokens_at_once: Number of tokens that training holds in memory with their gradient. A forecast has no gradient,
            and can hold four times as many. A larger window is computed in partitions if the model allows it.
        series_at_once: Number of series in a partition; by default as many as `tokens_at_once` allows, and at most
            8,192 tokens.

    Raises:
        InputError: `series_at_once` is not positive, or is less than N for a model that needs all series.
    """
    if series_at_once is None:
        fits = tokens <= WITHOUT_GRADIENT * tokens_at_once or why_not_partitioned(model) is not None
        series_at_once = n_series if fits else max(1, n_series * min(tokens_at_once, MAX_TOKENS) // tokens)
    if series_at_once < 1:
        raise InputError(f"expected series_at_once of at least 1, got {series_at_once}")
    return model if series_at_once >= n_series else PartitionedForecast(model, series_at_once)


class PartitionedForecast:
    """Forecast of a model in partitions: a function from a batch to the outputs (B, S, N, C, K).

    Args:
        model: A `ScaledModel` of a chain: see `elinformer.partition.chain`.
        series_at_once: Number of series in a partition.
        folder: Folder for a file of the tokens between two blocks, B x N x width numbers; None = in memory.

    Raises:
        InputError: The model needs all series at once.

    Example:
        >>> from elinformer.batch import Batch
        >>> from elinformer.models import ELinFormer, ELinFormerConfig
        >>> from elinformer.models.scaled import ScaledModel
        >>> model = ELinFormer(ELinFormerConfig(window=12, horizon=6, n_series=1000))
        >>> scaled = ScaledModel(model, mean=torch.zeros(1000, 1), std=torch.ones(1000, 1)).eval()
        >>> values = torch.randn(2, 12, 1000, 1)
        >>> batch = Batch(values, mask=torch.ones_like(values, dtype=torch.bool))
        >>> in_partitions = PartitionedForecast(scaled, series_at_once=300)(batch)
        >>> in_partitions.shape
        torch.Size([2, 6, 1000, 1, 1])
        >>> torch.allclose(in_partitions, scaled(batch), atol=1e-5)
        True
    """

    def __init__(self, model: nn.Module, series_at_once: int, *, folder: str | Path | None = None) -> None:
        check_partitions(model)
        self.model, self.series_at_once, self.folder = model, series_at_once, folder

    def __call__(self, batch: Batch) -> Tensor:
        """Return the outputs (B, S, N, C, K) for a batch of all series, without a gradient."""
        numbers = torch.arange(batch.values.shape[2], device=batch.values.device)
        partitions = [batch.select_series(group) for group in numbers.split(self.series_at_once)]
        model: Any = self.model
        with torch.inference_mode(), TokenStore(self.folder) as tokens:
            run_blocks(model, partitions, tokens)
            return torch.cat([model.head(tokens.read(i), partition) for i, partition in enumerate(partitions)], dim=2)


def run_blocks(model: Any, partitions: Sequence[Batch], tokens: TokenStore) -> list[list[KeyState] | None]:
    """Compute all blocks for all partitions.

    Args:
        model: A chain: see `elinformer.partition.chain`.
        partitions: Windows of the series of every partition.
        tokens: Store that holds the tokens after the last block at the end.

    Returns:
        For every block the key states of all partitions, or None for a block without attention.
    """
    masks: list[Tensor | None] = []
    for i, partition in enumerate(partitions):
        x, key_mask = model.embed(partition)
        tokens.write(i, x, len(partitions))
        masks.append(key_mask)
    states_by_block: list[list[KeyState] | None] = []
    for block in model.blocks:
        states = [block.key_state(tokens.read(i), mask) for i, mask in enumerate(masks)] if block.attends else None
        exchange = None if states is None else WholeExchange(functools.reduce(KeyState.merge, states))
        for i, mask in enumerate(masks):
            tokens.write(i, block(tokens.read(i), mask, exchange), len(partitions))
        states_by_block.append(states)
    return states_by_block


class TokenStore:
    """Tokens of all partitions between two blocks, in memory or in a file.

    All partitions have the same size, except the last one, which can be smaller.

    Args:
        folder: Folder for the file, which is removed at the end; None = in memory.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self._folder = None if folder is None else tempfile.TemporaryDirectory(dir=folder)
        self._flat: Tensor | None = None
        self._locations: dict[int, tuple[int, torch.Size]] = {}
        self._partition_size = 0

    def __enter__(self) -> TokenStore:
        return self

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    def write(self, number: int, x: Tensor, n_partitions: int) -> None:
        """Store the tokens of a partition, and overwrite its earlier tokens."""
        if self._flat is None:
            self._partition_size = x.numel()
            self._flat = self._allocate(self._partition_size * n_partitions, x)
        self._locations[number] = (number * self._partition_size, x.shape)
        self.read(number).copy_(x)

    def read(self, number: int) -> Tensor:
        """Return a view of the tokens of a partition."""
        if self._flat is None:
            raise AssertionError("tokens are written before they are read")
        start, shape = self._locations[number]
        return self._flat[start : start + shape.numel()].view(shape)

    def _allocate(self, size: int, like: Tensor) -> Tensor:
        if self._folder is None:
            return like.new_empty(size)
        return torch.from_file(f"{self._folder.name}/tokens", shared=True, size=size, dtype=like.dtype)
