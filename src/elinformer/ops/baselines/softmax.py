"""Softmax attention by PyTorch's own kernels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from elinformer._shapes import Bool, Float
from elinformer.ops.baselines._shared import prepare
from elinformer.ops.inputs import own_precision

FEW_KEYS = 512
"""Below so many keys, PyTorch's kernels for a CPU take longer in half precision than in float32."""


def softmax_attention(
    query: Float[Tensor, "*batch_q Lq E"],
    key: Float[Tensor, "*batch_k Lk E"],
    value: Float[Tensor, "*batch_v Lk Ev"],
    *,
    key_mask: Bool[Tensor, "*batch_m Lk"] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
) -> Float[Tensor, "*batch Lq Ev"]:
    """Softmax attention, `torch.nn.functional.scaled_dot_product_attention`; time quadratic in length.

    Shapes, masks and errors as `elinformer.ops.eala_attention`; scale is E ** -0.5 by default. A mask together
    with `is_causal` builds an Lq x Lk mask.

    Source: Vaswani et al., Attention Is All You Need, 2017, equation 1.
    """
    q, k, v, hidden = prepare(query, key, value, key_mask=key_mask, is_causal=is_causal, scale=scale, upcast=False)
    lead = torch.broadcast_shapes(*(x.shape[:-2] for x in (q, k, v)), () if hidden is None else hidden.shape[:-2])
    if k.shape[-2] == 0:
        return v.new_zeros(*lead, q.shape[-2], v.shape[-1])
    # The fused kernels take four dimensions and no broadcasting.
    q, k, v = (x.expand(*lead, *x.shape[-2:]).reshape(-1, lead[-1] if lead else 1, *x.shape[-2:]) for x in (q, k, v))
    if hidden is None:
        output = _fused(q, k, v, is_causal=is_causal, scale=scale)
    else:
        seen = (~hidden.mT).expand(*lead, 1, -1).reshape(*k.shape[:2], 1, -1)
        seen = seen & seen.new_ones(q.shape[-2], k.shape[-2]).tril() if is_causal else seen
        # A query that sees nothing attends to everything: all it may see are zeros.
        output = _fused(q, k, v, attn_mask=seen | ~seen.any(-1, keepdim=True), scale=scale)
    return output.reshape(*lead, *output.shape[-2:])


def _fused(q: Tensor, k: Tensor, v: Tensor, **options: Any) -> Tensor:
    """PyTorch's kernel; for few keys on a CPU in float32, where that is the faster one: see docs/performance.md."""
    if q.device.type == "cpu" and k.shape[-2] < FEW_KEYS and q.dtype in (torch.float16, torch.bfloat16):
        with own_precision(q.device):
            return scaled_dot_product_attention(q.float(), k.float(), v.float(), **options).to(q.dtype)
    return scaled_dot_product_attention(q, k, v, **options)
