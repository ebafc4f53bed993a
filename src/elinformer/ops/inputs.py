"""Inputs of an attention: their precision under autocast, and checks of tensors and options."""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch

from elinformer.errors import InputError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from torch import Tensor


def prepare_inputs(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    key_mask: Tensor | None,
    scale: float | None,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Cast query, key and value as autocast asks, and check them; the mask gets the keys' number of dimensions."""
    query, key, value = autocast(query, key, value)
    key_mask = check_inputs(query, key, value, key_mask=key_mask, scale=scale, is_causal=is_causal)
    return query, key, value, key_mask


def check_inputs(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    key_mask: Tensor | None,
    scale: float | None,
    is_causal: bool = False,
) -> Tensor | None:
    """Refuse tensors and options that do not fit; return the mask with the keys' number of dimensions."""
    _check_dtypes(query, key, value, key_mask)
    _check_shapes(query, key, value, is_causal=is_causal)
    if scale is not None and not (scale > 0 and math.isfinite(scale)):
        raise ValueError(f"expected a positive, finite scale, got {scale}: leave it out for E ** -0.5")
    return None if key_mask is None else _aligned_mask(key_mask, query, key)


def autocast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Return the tensors in autocast's dtype where it is on; float64 stays, as everywhere in PyTorch."""
    device = tensors[0].device
    if not _is_on(device) or torch.float64 in {x.dtype for x in tensors}:
        return tensors
    return tuple(x.to(torch.get_autocast_dtype(device.type)) if x.is_floating_point() else x for x in tensors)


def own_precision(device: torch.device) -> AbstractContextManager[object]:
    """Switch autocast off within an operator, which chooses itself the products in half precision."""
    return torch.autocast(device.type, enabled=False) if _is_on(device) else nullcontext()


def _is_on(device: torch.device) -> bool:
    """Say if autocast is on; PyTorch refuses to answer for devices without autocast, such as "meta"."""
    return torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type)


def check_sharpness(sharpness: float) -> float:
    """Refuse a sharpness with which weights could be negative, or would no longer add up to one."""
    if not 0 <= sharpness <= 1:
        raise InputError(f"expected a sharpness of 0 to 1, got {sharpness}")
    return sharpness


def scale_or_default(scale: float | None, head_dim: int) -> float:
    """Return the scale, by default E ** -0.5; without channels every score is zero and any scale will do."""
    if scale is not None:
        return float(scale)
    return head_dim**-0.5 if head_dim else 1.0


def _check_dtypes(query: Tensor, key: Tensor, value: Tensor, key_mask: Tensor | None) -> None:
    if not query.is_floating_point() or not query.dtype == key.dtype == value.dtype:
        raise TypeError(
            f"expected query, key and value of one floating-point dtype, got {query.dtype}, {key.dtype} and "
            f"{value.dtype}: convert them with .to(...)"
        )
    if key_mask is not None and key_mask.dtype != torch.bool:
        raise TypeError(f"expected a bool key_mask (True = takes part), got {key_mask.dtype}: use key_mask != 0")
    devices = [x.device for x in (query, key, value, key_mask) if x is not None]
    if any(device != devices[0] for device in devices):
        raise ValueError(
            f"expected all tensors on one device, got {', '.join(map(str, devices))}: move them with .to(device)"
        )


def _check_shapes(query: Tensor, key: Tensor, value: Tensor, *, is_causal: bool) -> None:
    if min(query.ndim, key.ndim, value.ndim) < 2:
        raise ValueError(
            "expected query (..., Lq, E), key (..., Lk, E) and value (..., Lk, Ev), got "
            f"{tuple(query.shape)}, {tuple(key.shape)} and {tuple(value.shape)}"
        )
    if query.shape[-1] != key.shape[-1]:
        raise ValueError(f"expected query and key of one head dim E, got {query.shape[-1]} and {key.shape[-1]}")
    if key.shape[-2] != value.shape[-2]:
        raise ValueError(f"expected key and value of one length Lk, got {key.shape[-2]} and {value.shape[-2]}")
    if is_causal and query.shape[-2] != key.shape[-2]:
        raise ValueError(
            f"expected equal lengths for is_causal, got Lq = {query.shape[-2]} and Lk = {key.shape[-2]}: "
            "query i sees keys 0..i"
        )
    if not _broadcast(query.shape[:-2], key.shape[:-2], value.shape[:-2]):
        raise ValueError(
            "expected leading dimensions that broadcast, got "
            f"query {tuple(query.shape)}, key {tuple(key.shape)} and value {tuple(value.shape)}"
        )


def _aligned_mask(key_mask: Tensor, query: Tensor, key: Tensor) -> Tensor:
    """Return the mask with singleton dimensions between its leading ones and Lk, as many as the keys have more."""
    missing = key.ndim - 1 - key_mask.ndim
    lead = (*key_mask.shape[:-1], *(1,) * missing)
    fits = key_mask.ndim > 0 and missing >= 0 and key_mask.shape[-1] == key.shape[-2]
    if not (fits and _broadcast(lead, key.shape[:-2], query.shape[:-2])):
        raise ValueError(
            f"expected a key_mask of shape (..., Lk) for keys of shape {tuple(key.shape)}, got {tuple(key_mask.shape)}"
        )
    return key_mask.reshape(*lead, key.shape[-2])


def _broadcast(*shapes: tuple[int, ...]) -> bool:
    """Say if the shapes broadcast; without try, so that torch.compile can follow it."""
    if all(shape == shapes[0] for shape in shapes):
        return True
    ndim = max(map(len, shapes))
    aligned = [(1,) * (ndim - len(shape)) + tuple(shape) for shape in shapes]
    return all(len({size for size in sizes if size != 1}) <= 1 for sizes in zip(*aligned, strict=True))
