"""Multi-head attention with a linear operator; it replaces `torch.nn.MultiheadAttention`."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.functional import dropout, linear, softplus

from elinformer.errors import InputError
from elinformer.nn.masks import is_causal_attention, key_mask_from_padding
from elinformer.nn.operators import EalaOperator, is_library_operator, make_operator, operator_name
from elinformer.ops import KeyState, attention_entropy
from elinformer.ops.baselines.mean import mean_attention
from elinformer.ops.eala.partitioned import WholeExchange, partitioned_attention
from elinformer.ops.inputs import check_sharpness, own_precision

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from elinformer.ops.eala.partitioned import Exchange


class EntropyLinearAttention(nn.MultiheadAttention):
    """Multi-head EALA with the constructor, the parameters and the call of `torch.nn.MultiheadAttention`.

    The class is a subclass of it. Models that check the type accept the layer, and a state dict of one class loads
    into the other. The layer never builds the Lq x Lk matrix of weights. Three things therefore differ:

    - `need_weights` is False by default. True builds the matrix.
    - `dropout` drops whole values, and all queries of a head share one draw. PyTorch drops single weights. Each
      output has the same distribution, but the outputs of different queries are not independent.
    - `attn_mask` can only be the causal mask. A query that sees no key gets `out_proj` of zeros, not NaN.

    Args:
        embed_dim: D, width of the queries and of the output. It is num_heads times the head dim E.
        num_heads: H.
        dropout: Probability that a head drops a value in training.
        bias: True adds a bias to the projections.
        add_bias_kv: Not supported.
        add_zero_attn: Not supported.
        kdim: Width of the keys, D by default.
        vdim: Width of the values, D by default.
        batch_first: True takes inputs (B, L, D), False takes (L, B, D).
        device: Device of the parameters.
        dtype: Data type of the parameters.
        operator: The attention operator: a name of `elinformer.ops.registry.OPERATORS`, or a callable with the
            signature of `elinformer.ops.eala_attention`. A module is registered with its parameters.
        sharpness: g, a share from 0 to 1. The layer replaces an output o of the operator by mean + g (o - mean), where
            mean is the mean of the values. For EALA this is the member c = max(1, m) / g of its family.
        positive_heads: Number of heads, the first ones, that apply softplus to queries and keys before the operator.

    Attributes:
        sharpness: g. It can be set at any time.

    Raises:
        InputError: The widths do not fit, the sharpness is not in 0 to 1, there are more positive heads than heads,
            or an option has no linear form.

    Source: arXiv 2511.03190.

    Example:
        >>> attention = EntropyLinearAttention(64, 4, batch_first=True)
        >>> x = torch.ones(2, 1000, 64)
        >>> attention(x, x, x)[0].shape
        torch.Size([2, 1000, 64])
    """

    in_proj_weight: nn.Parameter | None
    in_proj_bias: nn.Parameter | None

    def __init__(  # noqa: PLR0917 the constructor of torch.nn.MultiheadAttention
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        operator: str | Callable[..., Tensor] = "eala",
        sharpness: float = 1.0,
        positive_heads: int = 0,
    ) -> None:
        _check_options(embed_dim, num_heads, add_bias_kv=add_bias_kv, add_zero_attn=add_zero_attn)
        super().__init__(
            embed_dim,
            num_heads,
            dropout,
            bias,
            kdim=kdim,
            vdim=vdim,
            batch_first=batch_first,
            device=device,
            dtype=dtype,
        )
        # PyTorch's encoders read this name, and leave their fused softmax path only where it is False
        # (`TransformerEncoderLayer.forward`, `TransformerEncoder.__init__`).
        self._qkv_same_embed_dim = False
        self.operator = make_operator(operator, self.head_dim, device=device, dtype=dtype)
        self.sharpness = check_sharpness(sharpness)
        self.positive_heads = _check_positive_heads(positive_heads, num_heads)

    def _reset_parameters(self) -> None:
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                nn.init.xavier_uniform_(weight)
        for bias in (self.in_proj_bias, self.out_proj.bias):
            if bias is not None:
                nn.init.zeros_(bias)

    def forward(  # noqa: PLR0917 the call of torch.nn.MultiheadAttention
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = False,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend from queries to keys. Inputs are (B, L, D) with `batch_first`, and (L, D) without a batch.

        Args:
            query: (Lq, B, D).
            key: (Lk, B, kdim).
            value: (Lk, B, vdim).
            key_padding_mask: (B, Lk), True = the key is *ignored*, as in PyTorch. A mask of 0 and -inf is accepted too.
            need_weights: True also returns the weights. They take memory quadratic in L.
            attn_mask: None, or the causal mask.
            average_attn_weights: True averages the weights over the heads.
            is_causal: True lets query i see only the keys 0 to i. It needs no `attn_mask`.

        Returns:
            The output (Lq, B, D), and the weights (B, Lq, Lk) or (B, H, Lq, Lk), or None.

        Raises:
            InputError: The shapes do not fit, or a mask has no linear form.
        """
        self._check_shapes(query, key, value)
        is_causal = is_causal_attention(attn_mask, is_causal=is_causal)
        key_mask = None if key_padding_mask is None else key_mask_from_padding(key_padding_mask)
        q, k, v = self._heads(*self._project(query, key, value))
        output = self._output(q, k, v, key_mask, is_causal=is_causal, batched=query.ndim == 3)
        if not need_weights:
            return output, None
        # Every operator is linear in the values: with the identity matrix as values, the output is the weights.
        identity = torch.eye(k.shape[-2], dtype=k.dtype, device=k.device)
        weights = self._attend(q, k, identity, key_mask, is_causal=is_causal)
        weights = weights.mean(1) if average_attn_weights else weights
        return output, weights if query.ndim == 3 else weights[0]

    def attend_to_self(self, x: Tensor, *, key_mask: Tensor | None = None, exchange: Exchange | None = None) -> Tensor:
        """Attend from tokens to themselves, and to the tokens that an exchange represents.

        Args:
            x: (B, L, D) with `batch_first`, else (L, B, D).
            key_mask: (B, L), True = the token is a key.
            exchange: Access to the keys of other tokens. Only EALA can use one.

        Returns:
            The output, of the shape of `x`.

        Raises:
            InputError: There is an exchange, and the operator is not EALA.
        """
        if exchange is None:
            return self._output(*self._heads(*self._project(x, x, x)), key_mask)
        k = v = None
        if isinstance(exchange, WholeExchange):  # it has the keys of all tokens, also of `x`
            q = self._split_heads(self._apply_softplus(self._project_to(x, slice(self.embed_dim))))
        else:
            q, k, v = self._heads(*self._project(x, x, x))
            v = self._drop_values(v)
        heads = partitioned_attention(
            q,
            k,
            v,
            exchange=exchange,
            key_mask=None if k is None else _add_head_dimension(key_mask),
            feature_map=self._require_eala().feature_map,
            sharpness=self.sharpness,
        )
        return self.out_proj(self._merge_heads(heads, batched=True))

    def key_state(self, x: Tensor, *, key_mask: Tensor | None = None) -> KeyState:
        """Return the key state of tokens. Other queries need nothing else from these tokens.

        Args:
            x: (B, L, D) with `batch_first`, else (L, B, D).
            key_mask: (B, L), True = the token is a key.

        Raises:
            InputError: The operator is not EALA.
        """
        feature_map = self._require_eala().feature_map
        key, value = self._project_to(x, slice(self.embed_dim, None)).chunk(2, -1)
        k, v = self._split_heads(self._apply_softplus(key)), self._split_heads(value)
        with own_precision(x.device):
            return KeyState.from_keys(k, v, _add_head_dimension(key_mask), feature_map=feature_map)

    def entropy(self, x: Tensor, *, key_mask: Tensor | None = None) -> Tensor:
        """Return the entropy of every query's attention to the same tokens, in nats, to second order and linear time.

        It is the logarithm of the number of keys for a mean over all of them, and smaller for attention to few.

        Args:
            x: (B, L, D) with `batch_first`, else (L, B, D).
            key_mask: (B, L), True = the token is a key.

        Returns:
            Entropies (B, H, L): see `elinformer.ops.attention_entropy`.

        Raises:
            InputError: The operator is not EALA.
        """
        feature_map, mask = self._require_eala().feature_map, _add_head_dimension(key_mask)
        q, k, _ = self._heads(*self._project(x, x, x))
        entropy = attention_entropy(q, k, key_mask=mask, feature_map=feature_map)
        n = entropy.new_tensor(x.shape[self.batch_first]) if mask is None else mask.sum(-1, keepdim=True)
        largest = n.clamp_min(1).log()
        return largest - self.sharpness**2 * (largest - entropy)  # the deviations from the mean shrink by the sharpness

    def _project_to(self, x: Tensor, rows: slice) -> Tensor:
        """Project tokens with the given rows of the joint weights of queries, keys and values."""
        if self.in_proj_weight is None:
            raise InputError(f"expected kdim and vdim of embed_dim={self.embed_dim}, got {self.kdim} and {self.vdim}")
        return linear(x, self.in_proj_weight[rows], None if self.in_proj_bias is None else self.in_proj_bias[rows])

    def _require_eala(self) -> EalaOperator:
        if not isinstance(self.operator, EalaOperator):
            raise InputError(
                f"expected EALA, whose keys can be summed up in a state, got {operator_name(self.operator)}: compute "
                "all tokens at once"
            )
        return self.operator

    def _output(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        key_mask: Tensor | None,
        *,
        is_causal: bool = False,
        batched: bool = True,
    ) -> Tensor:
        """Attend in all heads, and project the result to the output."""
        heads = self._attend(q, k, self._drop_values(v), key_mask, is_causal=is_causal)
        return self.out_proj(self._merge_heads(heads, batched=batched))

    def _drop_values(self, v: Tensor) -> Tensor:
        """Drop values in training. The output is linear in them, so this drops columns of the weights."""
        return v * dropout(v.new_ones(*v.shape[:-1], 1), self.dropout) if self.training and self.dropout else v

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, key_mask: Tensor | None, *, is_causal: bool = False) -> Tensor:
        mask = _add_head_dimension(key_mask)
        with own_precision(q.device) if is_library_operator(self.operator) else nullcontext():
            output = self.operator(q, k, v, key_mask=mask, is_causal=is_causal)
            if self.sharpness == 1:
                return output
            mean = mean_attention(q, k, v, key_mask=mask, is_causal=is_causal).to(output.dtype)
            return torch.lerp(mean.expand_as(output), output, self.sharpness)

    def _heads(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Split projected queries, keys and values (..., D) into heads (B, H, L, E)."""
        q, k = (self._split_heads(self._apply_softplus(x)) for x in (query, key))
        return q, k, self._split_heads(value)

    def _project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        """Return queries, keys and values (..., D). Inputs that are the same tensor share a matrix product."""
        weight, bias, D = self.in_proj_weight, self.in_proj_bias, self.embed_dim
        if weight is not None and query is key and key is value:
            return linear(query, weight, bias).chunk(3, -1)
        biases = (None,) * 3 if bias is None else bias.chunk(3)
        if weight is None:
            weights = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        elif key is value:
            key_and_value = linear(key, weight[D:], None if bias is None else bias[D:])
            return linear(query, weight[:D], biases[0]), *key_and_value.chunk(2, -1)
        else:
            weights = weight.chunk(3)
        inputs = (query, key, value)
        return tuple(linear(x, w, b) for x, w, b in zip(inputs, weights, biases, strict=True))

    def _apply_softplus(self, x: Tensor) -> Tensor:
        """Apply softplus to the positive heads of queries or keys (..., D)."""
        if not self.positive_heads:
            return x
        width = self.positive_heads * self.head_dim
        positive = softplus(x[..., :width].contiguous())  # rows with gaps take twice as long
        return torch.cat((positive.to(x.dtype), x[..., width:]), dim=-1)  # autocast on a GPU returns float32

    def _split_heads(self, x: Tensor) -> Tensor:
        """Reshape (B, L, D), (L, B, D) or (L, D) to (B, H, L, E)."""
        x = x.unflatten(-1, (self.num_heads, self.head_dim))
        if x.ndim == 3:
            return x.transpose(0, 1)[None]
        return x.transpose(1, 2) if self.batch_first else x.permute(1, 2, 0, 3)

    def _merge_heads(self, heads: Tensor, *, batched: bool) -> Tensor:
        if not batched:
            return heads[0].transpose(0, 1).flatten(-2)
        return (heads.transpose(1, 2) if self.batch_first else heads.permute(2, 0, 1, 3)).flatten(-2)

    def _check_shapes(self, query: Tensor, key: Tensor, value: Tensor) -> None:
        if query.is_nested:
            raise InputError(
                "expected padded tensors, got nested tensors: set `use_nested_tensor = False` on the "
                "TransformerEncoder, or call swap_attention on the whole encoder"
            )
        widths = (self.embed_dim, self.kdim, self.vdim)
        same_ndim = query.ndim == key.ndim == value.ndim and query.ndim in (2, 3)
        if not same_ndim or (query.shape[-1], key.shape[-1], value.shape[-1]) != widths:
            layout = "(B, L, width)" if self.batch_first else "(L, B, width)"
            raise InputError(
                f"expected query, key and value of shape {layout} or (L, width) with widths {widths}, got "
                f"{tuple(query.shape)}, {tuple(key.shape)} and {tuple(value.shape)}"
            )

    def extra_repr(self) -> str:
        """Describe width, heads and operator for `print`."""
        name = operator_name(self.operator)
        positive = f", positive_heads={self.positive_heads}" if self.positive_heads else ""
        return f"{self.embed_dim}, {self.num_heads}, batch_first={self.batch_first}, operator={name}{positive}"


def _add_head_dimension(key_mask: Tensor | None) -> Tensor | None:
    """Reshape a mask (B, Lk) to (B, 1, Lk): all heads have the same mask."""
    return None if key_mask is None else key_mask[..., None, :]


def _check_positive_heads(positive_heads: int, num_heads: int) -> int:
    if type(positive_heads) is not int or not 0 <= positive_heads <= num_heads:
        raise InputError(
            f"expected positive_heads, a whole number from 0 to num_heads={num_heads}, got {positive_heads!r}"
        )
    return positive_heads


def _check_options(embed_dim: int, num_heads: int, *, add_bias_kv: bool, add_zero_attn: bool) -> None:
    if min(embed_dim, num_heads) <= 0 or embed_dim % num_heads:
        raise InputError(f"expected an embed_dim that num_heads divides, got {embed_dim} and {num_heads}")
    if add_bias_kv or add_zero_attn:
        name = "add_bias_kv" if add_bias_kv else "add_zero_attn"
        raise InputError(
            f"expected {name}=False, got True: an extra key changes the means that the operator is computed from, so "
            "append it to key and value before the call"
        )
