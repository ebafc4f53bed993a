"""Forecasts of many series, a part of them at a time, equal to those of all at once.

Layer by layer, every part adds its keys to the state of the layer, and then reads from it. What lies between two
layers is kept for all series, in memory or in a file; everything else is of the size of one part.
"""

from __future__ import annotations

import contextlib
import functools
import tempfile
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from elinformer.errors import InputError
from elinformer.nn.per_series import chained_blocks, check_parts, replace_operators, take_rows, view_of, why_whole
from elinformer.ops.eala.key_state import KeyState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from elinformer.data.windows import Batch
    from elinformer.nn.operators import EalaOperator
    from elinformer.ops.eala.features import FeatureMap


WITHOUT_GRADIENT = 4
"""How many times the tokens of training a forecast may hold: it takes less than a fifth of the memory for each."""

TOKENS_OF_PART = 8192
"""Larger parts only cost time: the allocator gives their tensors back to the system, which clears them anew."""


def forecasting(
    module: nn.Module, n_series: int, *, tokens: int, tokens_at_once: int, series_at_once: int | None = None
) -> Callable[[Batch], Tensor]:
    """`module` itself, or in parts where a window of all series is too large for it.

    Args:
        module: A function from a `Batch` to (B, S, N, C).
        n_series: N.
        tokens: What a window of all series takes.
        tokens_at_once: What training holds together with its gradient. A forecast, which has none, holds four times
            as many; more are computed in parts, where the model can be.
        series_at_once: Size of the parts; by default as many as `tokens_at_once` lets in, at most 8,192 tokens.

    Raises:
        InputError: A number of series that is not positive, or less than all of them for a model that needs all.
    """
    if series_at_once is None:
        fits = tokens <= WITHOUT_GRADIENT * tokens_at_once or why_whole(module) is not None
        series_at_once = n_series if fits else max(1, n_series * min(tokens_at_once, TOKENS_OF_PART) // tokens)
    if series_at_once < 1:
        raise InputError(f"expected series_at_once of at least 1, got {series_at_once}")
    return module if series_at_once >= n_series else InParts(module, series_at_once)


class InParts:
    """A function from a batch to its forecast as `module` makes it, in parts of `series_at_once` series.

    Args:
        module: A function from a `Batch` to (B, S, N, C) whose series can be computed in parts: see
            `elinformer.nn.per_series`. It is left as it is.
        series_at_once: How many series are computed together.
        folder: Where a file holds what lies between two layers, B x N x width numbers; in memory by default.

    Raises:
        InputError: A model that needs all series at once.
    """

    def __init__(self, module: nn.Module, series_at_once: int, *, folder: str | Path | None = None) -> None:
        check_parts(module)
        self.module, self.series_at_once, self.folder = module, series_at_once, folder

    def __call__(self, batch: Batch) -> Tensor:
        """The forecast (B, S, N, C), without a gradient."""
        parts = parts_of(batch.values.shape[2], self.series_at_once)
        with torch.inference_mode(), _Tokens(batch.values.shape[2], self.folder) as tokens:
            view = _View(self.module, tokens)
            view.add_all_keys(batch, parts)
            return torch.cat([view.forecast(batch, part) for part in parts], dim=2)


def parts_of(n_series: int, series_at_once: int) -> list[slice]:
    """Parts of so many series, the last one smaller."""
    starts = range(0, n_series, series_at_once)
    return [slice(start, min(start + series_at_once, n_series)) for start in starts]


def states_of_parts(module: nn.Module, batch: Batch, parts: Sequence[slice]) -> list[list[KeyState]]:
    """The states of the keys of every part, in every attention layer, [layer][part]; without a gradient."""
    with torch.no_grad(), _Tokens(batch.values.shape[2], None) as tokens:
        view = _View(module, tokens)
        view.add_all_keys(batch, parts)
        return [operator.parts for operator in view.operators]


def of_series(batch: Batch, part: slice | Tensor) -> Batch:
    """The same windows of some of the series."""
    values, mask, calendar, target, target_mask = batch
    return type(batch)(values[:, :, part], mask[:, :, part], calendar, target[:, :, part], target_mask[:, :, part])


class _EnoughError(Exception):
    """The keys of a layer are known, and the rest of the model is not needed; never leaves this file."""


class _MergedKeys:
    """EALA to the keys of all parts: takes in those of one part after the other, then answers queries."""

    def __init__(self, eala: EalaOperator) -> None:
        self.feature_map: FeatureMap = eala.feature_map
        self.parts: list[KeyState] = []
        self.whole: KeyState | None = None

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, *, key_mask: Tensor | None, **_: Any) -> Tensor:
        """As `elinformer.ops.eala_attention`, once the keys are whole."""
        if self.whole is not None:
            return self.whole.apply(query)
        self.parts.append(KeyState.from_keys(key, value, key_mask, feature_map=self.feature_map))
        raise _EnoughError

    def mean_of_values(self, query: Tensor, *_: Any, **__: Any) -> Tensor:
        """As `elinformer.ops.baselines.mean_attention`, once the keys are whole."""
        if self.whole is None:
            raise AssertionError("the mean is asked for after the output")
        return self.whole.v_mean.expand(*query.shape[:-1], -1)

    def merge(self) -> None:
        """Say that all parts have come."""
        self.whole = functools.reduce(KeyState.merge, self.parts)


class _Tokens:
    """What goes into a block, (B, L, D) for every part of the series, in memory or in a file."""

    def __init__(self, n_series: int, folder: str | Path | None) -> None:
        self.n_series = n_series
        self.folder = None if folder is None else tempfile.TemporaryDirectory(dir=folder)
        self.flat: Tensor | None = None

    def __enter__(self) -> _Tokens:
        return self

    def __exit__(self, *_: object) -> None:
        if self.folder is not None:
            self.folder.cleanup()

    def keep(self, part: slice, x: Tensor) -> None:
        """Keep the tokens of a part."""
        if self.flat is None:
            self.flat = self._space(x.numel() // (part.stop - part.start) * self.n_series, x)
        self.of(part, x.shape).copy_(x)

    def of(self, part: slice, shape: torch.Size) -> Tensor:
        """The tokens of a part, as they lie there."""
        if self.flat is None:
            raise AssertionError("tokens are kept before they are read")
        each = shape.numel() // (part.stop - part.start)
        return self.flat[part.start * each : part.stop * each].view(shape)

    def _space(self, size: int, like: Tensor) -> Tensor:
        if self.folder is None:
            return like.new_empty(size)
        return torch.from_file(f"{self.folder.name}/tokens", shared=True, size=size, dtype=like.dtype)


class _View:
    """A module with one part of the series in it, and operators that have seen the parts before."""

    def __init__(self, module: nn.Module, tokens: _Tokens) -> None:
        self.whole, self.module, self.tokens = module, view_of(module), tokens
        self.operators: list[_MergedKeys] = []
        replace_operators(self.module, self._new_operator)
        self.layer, self.part = 0, slice(0)  # the layer whose keys are not whole yet
        blocks = chained_blocks(self.module)
        if len(blocks) == len(self.operators):
            for index, block in enumerate(blocks):
                vars(block)["forward"] = functools.partial(self._block, index, block.forward)

    def add_all_keys(self, batch: Batch, parts: Sequence[slice]) -> None:
        """Layer by layer, add the keys of all parts."""
        for operator in self.operators:
            for part in parts:
                with contextlib.suppress(_EnoughError):
                    self.forecast(batch, part)
            operator.merge()
            self.layer += 1

    def forecast(self, batch: Batch, part: slice) -> Tensor:
        """The forecast (B, S, n, C) of a part."""
        self.part = part
        take_rows(self.module, part, source=self.whole)
        return self.module(of_series(batch, part))

    def _new_operator(self, eala: EalaOperator) -> _MergedKeys:
        self.operators.append(_MergedKeys(eala))
        return self.operators[-1]

    def _block(self, index: int, forward: Callable[..., Tensor], x: Tensor, *others: Any) -> Tensor:
        """The block of that number: passed by where its tokens after it are known, else from those before it."""
        if index < self.layer - 1:
            return x
        if index == self.layer - 1:
            x = self.tokens.of(self.part, x.shape)
        else:
            self.tokens.keep(self.part, x)
        return forward(x, *others)
