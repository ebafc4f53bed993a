"""Compiled CPU kernel: loading it and passing it raw pointers. See kernels/eala.c.

Takes float32, bfloat16 and float64 tensors of shape (*lead, L, E); heads split from a wider tensor are read and
written where they lie.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.machinery
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from elinformer.ops.eala.statistics import empty_state, packed_value_width

if TYPE_CHECKING:
    from torch import Tensor

_DTYPES = {torch.float32: 0, torch.bfloat16: 1, torch.float64: 2}
_CALL = struct.Struct("=" + "4q" * 9 + "q" + "11q" + "d")  # `call` in kernels/eala.h
_NONE = (0, 0, 0, 0)
INSTRUCTION_SETS = ("generic", "avx2", "avx512")
_best = len(INSTRUCTION_SETS) - 1


def _built() -> Path | None:
    folder = Path(__file__).parent / "kernels"
    candidates = (folder / f"_eala{suffix}" for suffix in importlib.machinery.EXTENSION_SUFFIXES)
    return next((path for path in candidates if path.exists()), None)


_LIBRARY = _built()


@functools.cache
def _kernel() -> ctypes.CDLL:
    """Load the shared library, given the threads of the OpenMP runtime that PyTorch has loaded."""
    library = ctypes.CDLL(str(_LIBRARY))
    try:
        parallel = ctypes.cast(ctypes.CDLL(None).GOMP_parallel, ctypes.c_void_p)
    except (AttributeError, TypeError, OSError):  # another threading runtime: one thread
        parallel = None
    library.eala_use_threads_of(parallel)
    return library


def why_not(query: Tensor) -> str | None:
    """Return the reason why the kernel cannot run on such tensors; None where it can."""
    if query.device.type != "cpu":
        return f"it runs on the CPU alone, and the tensors are on {query.device}"
    if _LIBRARY is None:
        return "it was not compiled when elinformer was installed: install it again where there is a C compiler"
    return None


def forward(  # noqa: PLR0917 - the order of the operator's schema
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    scale: float,
    feature_map: str,
    is_causal: bool,
) -> tuple[Tensor, Tensor]:
    """Return the same as `eager.forward`, laid out as `empty_output` says."""
    output, state = empty_output(query, value), empty_state(key, value, is_causal=is_causal)
    tensors = (query, key, value, _as_rows(mask), output, None, None, None, None)
    _call("eala_forward", tensors, state, scale=scale, relu=feature_map == "relu", is_causal=is_causal)
    return output, state


def backward(  # noqa: PLR0917 - the order of the operator's schema
    grad: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    state: Tensor,
    scale: float,
    feature_map: str,
    is_causal: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the same as `eager.backward`, laid out as `empty_gradient` says."""
    grads = empty_gradient(query), empty_gradient(key), empty_gradient(value)
    tensors = (query, key, value, _as_rows(mask), None, grad, *grads)
    _call("eala_backward", tensors, state, scale=scale, relu=feature_map == "relu", is_causal=is_causal)
    return grads


def gather(key: Tensor, value: Tensor, mask: Tensor | None, feature_map: str) -> Tensor:
    """Return the same as `eager.gather`."""
    state = empty_state(key, value, is_causal=False)
    tensors = (key, key, value, _as_rows(mask), *(None,) * 5)
    _call("eala_gather", tensors, state, scale=1, relu=feature_map == "relu", is_causal=False)
    return state


def apply(query: Tensor, state: Tensor, scale: float, feature_map: str) -> Tensor:
    """Return the same as `eager.apply`, laid out as `empty_output` says."""
    output = _laid_out_as(query, packed_value_width(state.shape[-1], query.shape[-1]))
    tensors = (query, query, output, None, output, *(None,) * 4)
    _call("eala_apply", tensors, state, scale=scale, relu=feature_map == "relu", is_causal=False)
    return output


def query_backward(grad: Tensor, query: Tensor, state: Tensor, scale: float, feature_map: str) -> tuple[Tensor, Tensor]:
    """Return the same as `eager.query_backward`, laid out as `empty_gradient` says."""
    grad_q, e, ev = empty_gradient(query), query.shape[-1], grad.shape[-1]
    sums = state.new_empty((*query.shape[:-2], e + ev + e * ev))
    tensors = (query, query, grad, None, None, grad, grad_q, None, None)
    _call("eala_query_gradients", tensors, state, sums, scale=scale, relu=feature_map == "relu", is_causal=False)
    return grad_q, sums


def key_backward(  # noqa: PLR0917 - as the operator's schema
    key: Tensor, value: Tensor, mask: Tensor | None, state: Tensor, sums: Tensor, feature_map: str
) -> tuple[Tensor, Tensor]:
    """Return the same as `eager.key_backward`, laid out as `empty_gradient` says."""
    grads = empty_gradient(key), empty_gradient(value)
    tensors = (key, key, value, _as_rows(mask), None, None, None, *grads)
    _call("eala_key_gradients", tensors, state, sums.contiguous(), scale=1, relu=feature_map == "relu", is_causal=False)
    return grads


def empty_output(query: Tensor, value: Tensor) -> Tensor:
    """Return an output that lies in memory as the query does, so that heads are joined without a copy."""
    return _laid_out_as(query, value.shape[-1])


def empty_gradient(x: Tensor) -> Tensor:
    """Return a gradient that lies in memory as its tensor does."""
    return _laid_out_as(x, x.shape[-1])


def _laid_out_as(x: Tensor, width: int) -> Tensor:
    """Return an empty tensor: contiguous, or rows before heads where `x` is (B, L, H E) split into heads."""
    if x.ndim != 4 or x.stride(1) >= x.stride(2):
        return x.new_empty((*x.shape[:-1], width))
    batch, heads, length, _ = x.shape
    return x.new_empty((batch, length, heads, width)).transpose(1, 2)


def _call(
    name: str, tensors: tuple[Tensor | None, ...], *states: Tensor, scale: float, relu: bool, is_causal: bool
) -> None:
    views = [None if x is None else _two_leading(x) for x in tensors]
    query, key, value = (x for x in views[:3] if x is not None)
    described = [number for x in views for number in (_NONE if x is None else (x.data_ptr(), *x.stride()[:3]))]
    sizes = (*query.shape[:3], key.shape[-2], query.shape[-1], value.shape[-1])
    options = (_DTYPES[query.dtype], relu, is_causal, torch.get_num_threads(), _best)
    state, *sums = (x.data_ptr() for x in states)
    packed = _CALL.pack(*described, state, *sizes, *options, scale)
    if getattr(_kernel(), name)(packed, *map(ctypes.c_void_p, sums)):
        raise MemoryError("the CPU kernel of EALA found no memory to work in")


def _as_rows(mask: Tensor | None) -> Tensor | None:
    return None if mask is None else mask.unsqueeze(-1)


def _two_leading(x: Tensor) -> Tensor:
    """Return a view (B, H, L, columns) whose columns lie side by side, a copy only where there is no such view."""
    if x.ndim > 4:
        x = x.flatten(0, -4)
    while x.ndim < 4:
        x = x.unsqueeze(0)
    return x if x.stride(-1) == 1 or x.shape[-1] <= 1 else x.contiguous()
