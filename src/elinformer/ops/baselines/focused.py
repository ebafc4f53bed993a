"""Focused linear attention: sharper relu features, and a convolution of the values."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import conv1d, relu

from elinformer._shapes import Bool, Float
from elinformer.ops.baselines._shared import blank, normalised, prepare, refuse_causal

POSITIVE = 1e-6  # added to relu by the authors, so that no direction is undefined


def focused_attention(
    query: Float[Tensor, "*batch_q Lq E"],
    key: Float[Tensor, "*batch_k Lk E"],
    value: Float[Tensor, "*batch_v Lk Ev"],
    *,
    kernel: Float[Tensor, "Ev W"] | None = None,
    power: int = 3,
    key_mask: Bool[Tensor, "*batch_m Lk"] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
) -> Float[Tensor, "*batch Lq Ev"]:
    """Features relu(x) ** power of relu(x)'s length, and a depth-wise convolution of the values; linear time.

    Shapes, masks and errors as `elinformer.ops.eala_attention`, no causal form; scale cancels and changes
    nothing. With a kernel it depends on the order of the keys, and on their being the queries' own positions.
    The authors' kernel is two-dimensional, over images, and they divide queries and keys by a learned scale per
    channel before the call.

    Args:
        query: (..., Lq, E).
        key: (..., Lk, E).
        value: (..., Lk, Ev).
        kernel: Learned (Ev, W), W odd: the weights of W neighbours, for each channel of the values.
        power: How sharp.
        key_mask: (..., Lk), True = the key takes part.
        is_causal: False.
        scale: Changes nothing.

    Raises:
        ValueError: Besides, a kernel of even width or of other channels, or one with Lq != Lk.

    Source: Han et al., FLatten Transformer: Vision Transformer using Focused Linear Attention, 2023, equations
        5 to 8.
    """
    refuse_causal("focused attention", "its convolution looks both ways", is_causal=is_causal)
    q, k, v, hidden = prepare(query, key, value, key_mask=key_mask, is_causal=is_causal, scale=scale)
    output = normalised(_focus(q, power), blank(_focus(k, power), hidden), v)
    if kernel is None:
        return output.to(query.dtype)
    if kernel.shape[0] != v.shape[-1] or kernel.shape[-1] % 2 == 0 or q.shape[-2] != k.shape[-2]:
        raise ValueError(
            f"expected a kernel (Ev, W) with Ev = {v.shape[-1]}, W odd and Lq = Lk, got {tuple(kernel.shape)} with "
            f"Lq = {q.shape[-2]} and Lk = {k.shape[-2]}"
        )
    return (output + _neighbours(v, kernel.to(v.dtype))).to(query.dtype)


def _focus(x: Tensor, power: int) -> Tensor:
    """relu(x) ** power, with the length that relu(x) has."""
    x = relu(x) + POSITIVE
    sharp = (x / x.detach().amax(-1, keepdim=True)) ** power  # any constant cancels below; this one keeps it in range
    return sharp * (x.norm(dim=-1, keepdim=True) / sharp.norm(dim=-1, keepdim=True))


def _neighbours(v: Tensor, kernel: Tensor) -> Tensor:
    channels = v.mT.flatten(0, -3) if v.ndim > 2 else v.mT[None]  # (leading, Ev, Lk)
    mixed = conv1d(channels, kernel[:, None], padding="same", groups=v.shape[-1])
    return mixed.mT.reshape(v.shape)
