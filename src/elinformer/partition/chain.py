"""Models as a chain that can be computed for some of the series: embed, blocks with an exchange each, head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from torch import nn

from elinformer.errors import InputError
from elinformer.nn.attention import EntropyLinearAttention
from elinformer.nn.operators import EalaOperator, operator_name
from elinformer.ops.baselines import softmax_attention

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import Tensor

    from elinformer.batch import Batch
    from elinformer.ops.eala.partitioned import Exchange

    Exchanges = Sequence[Exchange | None]


class Chain(Protocol):
    """Model whose series meet nowhere but in the attention of its blocks."""

    @property
    def per_series(self) -> tuple[str, ...] | None:
        """Names of parameters and buffers with one row a series."""
        ...

    @property
    def blocks(self) -> Iterable[Any]:
        """Blocks, called with tokens, key mask and exchange. One with `attends` has `key_state(x, key_mask)`."""
        ...

    def embed(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Return the tokens of the series of a batch, and the mask of the keys."""
        ...

    def head(self, x: Tensor, batch: Batch) -> Tensor:
        """Return the outputs (B, S, N, C, K) from tokens."""
        ...


def run_chain(model: Chain, batch: Batch, exchanges: Exchanges) -> Tensor:
    """Return the outputs (B, S, n, C, K) for the series of a batch, which see the others by one exchange a block."""
    x, key_mask = model.embed(batch)
    for block, exchange in zip(model.blocks, exchanges, strict=True):
        x = block(x, key_mask, exchange)
    return model.head(x, batch)


def why_not_partitioned(model: nn.Module) -> str | None:
    """Return why a model needs all series at once, None where it can be computed in partitions."""
    inner = getattr(model, "model", model)
    name = type(inner).__name__
    if getattr(inner, "per_series", None) is None:
        return f"{name} does not say which of its parameters belong to series (`per_series`)"
    if not all(hasattr(inner, part) for part in ("embed", "blocks", "head")):
        return f"{name} is no chain of `embed`, `blocks` and `head`"
    for place, layer in inner.named_modules():
        if isinstance(layer, nn.MultiheadAttention):
            operator = layer.operator if isinstance(layer, EntropyLinearAttention) else softmax_attention
            if not isinstance(operator, EalaOperator):
                return f"{place} is {operator_name(operator)}, and only the keys of EALA come down to a state"
    return None


def check_partitions(model: nn.Module) -> None:
    """Refuse a model that needs all series at once.

    Raises:
        InputError: It does.
    """
    if reason := why_not_partitioned(model):
        raise InputError(f"expected a model whose series can be computed in partitions, but {reason}")
