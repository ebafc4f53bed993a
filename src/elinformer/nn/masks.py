"""Masks of `torch.nn.MultiheadAttention`, translated for linear attention."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from elinformer.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor


def key_mask_from_padding(key_padding_mask: Tensor) -> Tensor:
    """Return a mask that is True where a key takes part, from PyTorch's mask of any shape.

    PyTorch's mask is True, or -inf, where a key is ignored. `TransformerEncoder` passes 0 and -inf instead of
    booleans. The lowest finite number counts as -inf. Under `torch.compile` the values cannot be checked, and every
    key with a larger number takes part.

    Raises:
        InputError: The mask is neither bool nor floating point, or has other values than 0 and -inf.
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
            "expected a float key_padding_mask of 0 (takes part) and -inf (ignored), got other values: a bias for "
            "each key has no linear form, so pass a bool mask"
        )
    return takes_part


def is_causal_attention(attn_mask: Tensor | None, *, is_causal: bool) -> bool:
    """Return True if `is_causal` is set, or if `attn_mask` is exactly the causal mask.

    An `attn_mask` (..., Lq, Lk) that hides no key is accepted too. Under `torch.compile` the values of the mask cannot
    be checked, and `is_causal` is trusted, as in `torch.nn.MultiheadAttention`.

    Raises:
        InputError: The mask is any other mask, bool or float.
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
        f"expected no attn_mask or the causal mask, got {attn_mask.dtype} of shape {tuple(attn_mask.shape)}: linear "
        "attention never builds the Lq x Lk weights that the mask would change, so use key_padding_mask or "
        "is_causal=True"
    )
