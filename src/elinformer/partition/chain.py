"""Models as a chain of `embed`, `blocks` and `head`, which can be computed for some of the series."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from torch import nn

from elinformer.errors import InputError
from elinformer.nn.attention import EntropyLinearAttention
from elinformer.nn.operators import EalaOperator, operator_name
from elinformer.ops.baselines.softmax import softmax_attention

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import Tensor

    from elinformer.batch import Batch
    from elinformer.ops.eala.partitioned import Exchange

    Exchanges = Sequence[Exchange | None]


class Chain(Protocol):
    """Model whose series see each other only in the attention of its blocks."""

    @property
    def per_series(self) -> tuple[str, ...] | None:
        """Names of parameters and buffers with one row for each series."""
        ...

    @property
    def blocks(self) -> Iterable[Any]:
        """Blocks, called with tokens, key mask and exchange. A block with `attends` has `key_state(x, key_mask)`."""
        ...

    def embed(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Return the tokens of the series of a batch, and the key mask."""
        ...

    def head(self, x: Tensor, batch: Batch) -> Tensor:
        """Return the outputs (B, S, N, C, K) of tokens."""
        ...


def run_chain(model: Chain, batch: Batch, exchanges: Exchanges) -> Tensor:
    """Return the outputs (B, S, n, C, K) for the series of a batch.

    Args:
        model: The model.
        batch: Windows of n of the N series.
        exchanges: Access to the keys of the other series, one for each block; None for blocks without attention.
    """
    x, key_mask = model.embed(batch)
    for block, exchange in zip(model.blocks, exchanges, strict=True):
        x = block(x, key_mask, exchange)
    return model.head(x, batch)


def why_not_partitioned(model: nn.Module) -> str | None:
    """Return the reason why a model needs all series at once, or None if it can be computed in partitions."""
    inner = getattr(model, "model", model)
    name = type(inner).__name__
    if getattr(inner, "per_series", None) is None:
        return f"{name} does not declare which of its parameters belong to series (`per_series`)"
    if not all(hasattr(inner, step) for step in ("embed", "blocks", "head")):
        return f"{name} is not a chain of `embed`, `blocks` and `head`"
    for path, layer in inner.named_modules():
        if isinstance(layer, nn.MultiheadAttention):
            operator = layer.operator if isinstance(layer, EntropyLinearAttention) else softmax_attention
            if not isinstance(operator, EalaOperator):
                return f"{path} is {operator_name(operator)}, and only the keys of EALA can be summed up in a state"
    return None


def check_partitions(model: nn.Module) -> None:
    """Refuse a model that needs all series at once.

    Raises:
        InputError: The model needs all series at once.
    """
    if reason := why_not_partitioned(model):
        raise InputError(f"expected a model whose series can be computed in partitions, but {reason}")
