"""The masks of `torch.nn.MultiheadAttention`, read as what a linear attention can honour."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from elinformer.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor


def key_mask_of(key_padding_mask: Tensor) -> Tensor:
    """True where a key takes part, from a mask that is True, or -inf, where it does not; any shape.

    `TransformerEncoder` hands its layers 0 and -inf in place of booleans; the lowest finite number counts as
    -inf. Under `torch.compile` the values cannot be looked at and anything above that takes part.

    Raises:
        InputError: A mask that is neither bool nor floating point, or adds something else than 0 and -inf.
    """
    if key_padding_mask.dtype == torch.bool:
        return ~key_padding_mask
    if not key_padding_mask.is_floating_point():
        raise InputError(
            f"expected a key_padding_mask of bool (True = ignored), got {key_padding_mask.dtype}: use mask.bool()"
        )
    takes_part = key_padding_mask > torch.finfo(key_padding_mask.dtype).min
    if not torch.compiler.is_compiling() and not bool(((key_padding_mask == 0) | ~takes_part).all()):
        raise InputError(
            "expected a float key_padding_mask of 0 (takes part) and -inf (ignored), got other values: a bias per "
            "key has no linear-time form, so pass a bool mask"
        )
    return takes_part


def causal_by(attn_mask: Tensor | None, *, is_causal: bool) -> bool:
    """Whether attention is causal, by `is_causal` or by an `attn_mask` that is exactly the causal one.

    An `attn_mask` (..., Lq, Lk) that hides nothing is accepted as well. Under `torch.compile` its values cannot
    be looked at and `is_causal` is believed, as `torch.nn.MultiheadAttention` does.

    Raises:
        InputError: Any other mask, bool or float.
    """
    if attn_mask is None:
        return is_causal
    if torch.compiler.is_compiling():
        if is_causal:
            return True
    else:
        hidden = attn_mask if attn_mask.dtype == torch.bool else attn_mask.isneginf()
        is_boolean = attn_mask.dtype == torch.bool or bool((hidden | (attn_mask == 0)).all())
        if is_boolean and torch.equal(hidden, torch.ones_like(hidden).triu(1)):
            return True
        if is_boolean and not is_causal and not bool(hidden.any()):
            return False
    raise InputError(
        f"expected no attn_mask but the causal one, got {attn_mask.dtype} of shape {tuple(attn_mask.shape)}: "
        "linear attention never builds the Lq x Lk weights that such a mask would change, so use "
        "key_padding_mask or is_causal=True"
    )
