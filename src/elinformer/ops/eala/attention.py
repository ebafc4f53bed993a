"""EALA, Entropy-Aware Linear Attention: the public operator, and the choice of the backend that computes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import softplus

from elinformer._shapes import Bool, Float
from elinformer.ops.eala import autograd, cpu, triton
from elinformer.ops.eala.features import FEATURE_MAPS, check_feature_map
from elinformer.ops.eala.reference import eala_reference
from elinformer.ops.inputs import own_precision, prepare_inputs, scale_or_default

if TYPE_CHECKING:
    from elinformer.ops.eala.features import FeatureMap

BACKENDS = ("reference", *autograd.BACKENDS)
HALF = (torch.float16, torch.bfloat16)


def eala_attention(
    query: Float[Tensor, "*batch_q Lq E"],
    key: Float[Tensor, "*batch_k Lk E"],
    value: Float[Tensor, "*batch_v Lk Ev"],
    *,
    key_mask: Bool[Tensor, "*batch_m Lk"] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    feature_map: FeatureMap = "relu",
    backend: str = "auto",
) -> Float[Tensor, "*batch Lq Ev"]:
    """Attend with weights of softmax's ranking and, where feasible, its entropy, in time linear in Lq + Lk.

    No Lq x Lk matrix is built. Half precision is computed in float32 and returned in half precision; under
    autocast the inputs are cast to its dtype. The gradient holds the bounds of the keys constant.

    Products of inputs must be in range: with q, k, v the largest magnitudes of query, key and value, results are
    finite where Lk k v and E q k v stay below 1e37 in float32 and bfloat16, and below 1e307 in float64. Entries of
    up to 1e12 always are, up to 1e100 in float64, and all of float16. Beyond it results may be NaN.

    Args:
        query: (..., Lq, E).
        key: (..., Lk, E).
        value: (..., Lk, Ev). Leading dimensions broadcast.
        key_mask: (..., Lk), True = the key takes part. A mask of fewer dimensions than the keys belongs to
            their first ones: (B, Lk) beside keys of (B, H, Lk, E) masks every head alike. Masked keys and values
            may hold anything, NaN too. A query that sees no key gets zeros.
        is_causal: Query i sees keys 0..i alone; needs Lq = Lk.
        scale: Multiplies phi(query); E ** -0.5 by default.
        feature_map: phi, element-wise: "relu", "softplus" or "identity". With "identity" the certificate is
            loose by about sqrt(E) and the weights are flatter than they need be.
        backend: "auto", or a name of `backend_for`; a backend asked for by name runs or is refused.

    Returns:
        (..., Lq, Ev); every row lies in the convex hull of the values. Any size may be 0: without queries, channels
        of the values or a leading dimension the output is empty, without keys zero, and with E = 0 the mean.

    Raises:
        ValueError: Shapes that do not match, a scale that is not positive, an unknown feature map, a backend
            that does not exist or cannot run.
        TypeError: A mask that is not bool, tensors that are not floating point or differ in dtype.

    Source: arXiv 2511.03190; docs/theory.md, sections 1, 4 and 6.

    Example:
        >>> q = k = v = torch.ones(2, 4, 100, 16)  # (batch, heads, length, head dim)
        >>> eala_attention(q, k, v).shape
        torch.Size([2, 4, 100, 16])
    """
    if feature_map not in FEATURE_MAPS:
        check_feature_map(feature_map)
    query, key, value, key_mask = prepare_inputs(query, key, value, key_mask=key_mask, scale=scale, is_causal=is_causal)
    factor = scale_or_default(scale, query.shape[-1])
    backend, dtype = backend_for(query, value, backend=backend), query.dtype
    if backend == "reference":
        return _reference(query, key, value, key_mask, scale=factor, is_causal=is_causal, feature_map=feature_map)
    if backend == "cpu" and dtype == torch.float16:
        query, key, value = query.float(), key.float(), value.float()
    if feature_map == "softplus" and backend != "triton":  # outside the operator, which takes it as it is
        query, key, value = softplus_applied(query, key, value, key_mask)
        feature_map = "identity"
    with own_precision(query.device):
        output = autograd.attend(
            query, key, value, key_mask, scale=factor, feature_map=feature_map, is_causal=is_causal, backend=backend
        )
    return output if output.dtype == dtype else output.to(dtype)


def backend_for(query: Tensor, value: Tensor | None = None, *, backend: str = "auto") -> str:
    """Name the backend that `eala_attention` runs for such a query (and value, if its width differs).

    "triton" are the GPU kernels, "cpu" is the compiled CPU kernel, "torch" plain PyTorch on any device, and
    "reference" the quadratic equations, which run only when asked for.

    Raises:
        ValueError: No such backend, or one asked for by name that cannot run.
    """
    value = query if value is None else value
    if backend == "auto":
        return _best(query, value)
    if backend not in BACKENDS:
        raise ValueError(f"expected backend to be one of auto, {', '.join(BACKENDS)}, got {backend!r}")
    if reason := _why_not(backend, query, value):
        raise ValueError(f'expected a backend that can run, got {backend!r}: {reason}; backend="auto" finds one')
    return backend


def _best(query: Tensor, value: Tensor) -> str:
    kernel = "cpu" if query.device.type == "cpu" else "triton"
    return "torch" if _why_not(kernel, query, value) else kernel


def _why_not(backend: str, query: Tensor, value: Tensor) -> str | None:
    if backend == "cpu":
        return cpu.why_not(query)
    if backend == "triton" and (reason := triton.why_not(query.device)):
        return reason
    if backend == "triton" and not triton.supports(query, value):
        return f"no kernel for {query.dtype} and head dims {query.shape[-1]} and {value.shape[-1]}"
    return None


def softplus_applied(query: Tensor, key: Tensor, value: Tensor, key_mask: Tensor | None) -> tuple[Tensor, ...]:
    """Apply phi = softplus to queries and keys; half precision becomes float32, the values stay."""
    if query.dtype in HALF:
        query, key, value = query.float(), key.float(), value.float()
    if key_mask is not None:  # or a NaN that is masked would reach the gradient
        key = key.masked_fill(~key_mask[..., None], 0)
    return softplus(query), softplus(key), value


def _reference(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_mask: Tensor | None,
    *,
    scale: float,
    is_causal: bool,
    feature_map: FeatureMap,
) -> Tensor:
    dtype = query.dtype
    if dtype in HALF:
        query, key, value = query.float(), key.float(), value.float()
    result = eala_reference(
        query, key, value, key_mask=key_mask, is_causal=is_causal, scale=scale, feature_map=feature_map
    )
    return result.output.to(dtype)
