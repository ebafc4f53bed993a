"""Linear attention with elu(x) + 1."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import elu

from elinformer._shapes import Bool, Float
from elinformer.ops.baselines._shared import blank, normalised, prepare


def elu_attention(
    query: Float[Tensor, "*batch_q Lq E"],
    key: Float[Tensor, "*batch_k Lk E"],
    value: Float[Tensor, "*batch_v Lk Ev"],
    *,
    key_mask: Bool[Tensor, "*batch_m Lk"] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
) -> Float[Tensor, "*batch Lq Ev"]:
    """Weights proportional to phi(q).phi(k) with phi(x) = elu(x) + 1, in linear time.

    Shapes, masks and errors as `elinformer.ops.eala_attention`; scale multiplies the queries before phi and is
    1 by default, as in the paper.

    Source: Katharopoulos et al., Transformers are RNNs, 2020, equations 5 and 7.
    """
    q, k, v, hidden = prepare(query, key, value, key_mask=key_mask, is_causal=is_causal, scale=scale)
    q = elu(q if scale is None else q * scale) + 1
    return normalised(q, blank(elu(k) + 1, hidden), v, is_causal=is_causal).to(query.dtype)
