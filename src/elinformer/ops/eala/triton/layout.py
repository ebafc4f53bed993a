"""Memory layout of tensors and split of the work, without triton: `torch.compile` traces with these."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from elinformer.ops.eala.statistics import packed_size

if TYPE_CHECKING:
    from torch import Tensor

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
MAX_WIDTH = 128
PROGRAMS = 1024
"""Programs a launch aims at: several for each multiprocessor of a large GPU, and on any device alike."""


class Split(NamedTuple):
    """`splits` programs a head, each with `steps` blocks of `block` rows."""

    splits: Any  # an int, or a symbolic one while tracing
    steps: Any
    block: int


def split_of(length: Any, heads: Any, *, block: int, is_causal: bool) -> Split:
    """Split a head's rows so that all heads together make about `PROGRAMS` programs."""
    programs = PROGRAMS // 2 if is_causal else PROGRAMS  # the causal merge reads splits * splits / 2 states
    blocks = torch.sym_max((length + block - 1) // block, 1)
    wanted = torch.sym_max(programs // torch.sym_max(heads, 1), 1)
    steps = (blocks + wanted - 1) // wanted
    return Split((blocks + steps - 1) // steps, steps, block)


def block_of(dtype: torch.dtype, width: int, *, is_causal: bool) -> int:
    """Return the rows of a tile: as many as the registers hold without spilling (docs/gpu.md)."""
    return 64 if dtype.itemsize == 2 and width <= 32 and not is_causal else 32


def empty_output(query: Tensor, value: Tensor) -> Tensor:
    """Return an empty output, in the memory layout of the queries where the shapes are the same."""
    return _empty(query, (*query.shape[:-1], value.shape[-1]))


def empty_gradient(x: Tensor) -> Tensor:
    """Return an empty gradient of `x`, in its memory layout."""
    return _empty(x, x.shape)


def empty_state(key: Tensor, value: Tensor, *, is_causal: bool) -> Tensor:
    """Return an empty state of the keys, float32 (*lead, numbers); causal (*lead, states, numbers).

    There is one state before each split, and one of all keys.
    """
    e, ev, lead = key.shape[-1], value.shape[-1], key.shape[:-2]
    states: tuple[Any, ...] = ()
    if is_causal:
        block = block_of(key.dtype, max(e, ev), is_causal=True)
        states = (split_of(key.shape[-2], lead.numel(), block=block, is_causal=True).splits + 1,)
    return key.new_empty((*lead, *states, packed_size(e, ev)), dtype=torch.float32)


def _empty(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    # Beyond four dimensions the leading ones are folded, which takes a contiguous tensor.
    return torch.empty_like(x) if x.shape == shape and x.ndim <= 4 else x.new_empty(shape)


def folded(x: Tensor) -> Tensor:
    """Return a view (B, H, L, width) with dense rows; copied only if five or more dimensions lie too oddly for one."""
    x = x.reshape(-1, *x.shape[-3:]) if x.ndim > 4 else x[(None,) * (4 - x.ndim)]
    return x if x.stride(-1) == 1 or x.shape[-1] <= 1 else x.contiguous()


def folded_mask(key_mask: Tensor) -> Tensor:
    """Return a view (B, H, L) of bytes."""
    x = key_mask.reshape(-1, *key_mask.shape[-2:]) if key_mask.ndim > 3 else key_mask[(None,) * (3 - key_mask.ndim)]
    return x.view(torch.uint8)
