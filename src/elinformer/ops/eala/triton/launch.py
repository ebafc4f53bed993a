"""Launch the kernels on whole tensors."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
import triton

from elinformer.ops.eala.statistics import packed_value_width
from elinformer.ops.eala.triton.causal import (
    causal_apply_kernel,
    causal_key_gradient_kernel,
    causal_query_gradient_kernel,
)
from elinformer.ops.eala.triton.full import apply_kernel, key_gradient_kernel, query_gradient_kernel
from elinformer.ops.eala.triton.layout import (
    block_of,
    empty_gradient,
    empty_output,
    empty_state,
    folded,
    folded_mask,
    split_of,
)
from elinformer.ops.eala.triton.states import merge_kernel, state_kernel, sum_kernel
from elinformer.ops.eala.triton.tiles import padded, sums_size

if TYPE_CHECKING:
    from torch import Tensor

# float32 stays float32. TF32 would be several times faster and about 3e-4 off, past float32 tolerances; half
# precision, whose digits TF32 holds in full, uses it for every product, so that no statistic overflows float16.
PRECISION = {torch.float32: "ieee", torch.bfloat16: "tf32", torch.float16: "tf32"}


class Call:
    """Arguments of the launches of one call: the views that kernels address, the options, and the splits."""

    def __init__(
        self, query: Tensor, key: Tensor, value: Tensor, key_mask: Tensor | None, *,
        scale: float, feature_map: str, is_causal: bool,
    ) -> None:  # fmt: skip
        self.q, self.k, self.v = folded(query), folded(key), folded(value)
        self.e, self.ev = query.shape[-1], value.shape[-1]
        self.count, self.heads = query.shape[:-2].numel(), self.q.shape[1]
        width = max(self.e, self.ev)
        block = block_of(query.dtype, width, is_causal=is_causal)
        self.queries = split_of(query.shape[-2], self.count, block=block, is_causal=is_causal)
        self.keys = split_of(key.shape[-2], self.count, block=block, is_causal=is_causal)
        self.scale, self.is_causal = scale, is_causal
        mask = None if key_mask is None else folded_mask(key_mask)
        self.mask = (self.q, 0, 0, 0) if mask is None else (mask, *mask.stride())
        self.options = {
            "E": self.e, "EV": self.ev, "MAP": feature_map, "PRECISION": PRECISION[query.dtype],
            "num_warps": 4 if query.dtype.itemsize == 2 and width <= 64 and not is_causal else 8, "num_stages": 2,
        }  # fmt: skip
        self.masked = {"MASKED": mask is not None}

    def of_queries(self) -> tuple[Any, ...]:
        """Return the arguments of a kernel that walks over queries."""
        return self.heads, self.q.shape[2], self.queries.splits, self.queries.steps

    def of_keys(self) -> tuple[Any, ...]:
        """Return the arguments of a kernel that walks over keys."""
        return self.heads, self.k.shape[2], self.keys.splits, self.keys.steps

    def on_device(self) -> Any:
        """Make the device of the tensors the current one, where Triton launches."""
        return torch.cuda.device(self.q.device) if self.q.is_cuda else nullcontext()


def run_forward(
    query: Tensor, key: Tensor, value: Tensor, key_mask: Tensor | None, **options: Any
) -> tuple[Tensor, Tensor]:
    """Return output and state; see `elinformer.ops.eala.triton.forward`."""
    call = Call(query, key, value, key_mask, **options)
    output, state = empty_output(query, value), empty_state(key, value, is_causal=call.is_causal)
    if call.count:
        with call.on_device():
            _fill_state(call, state)
            _fill_output(call, state, folded(output))
    return output, state


def run_backward(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, key_mask: Tensor | None, *, state: Tensor, **options: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients; see `elinformer.ops.eala.triton.backward`."""
    call = Call(query, key, value, key_mask, **options)
    gradients = empty_gradient(query), empty_gradient(key), empty_gradient(value)
    if call.count:
        with call.on_device():
            fill = _fill_causal_gradients if call.is_causal else _fill_gradients
            fill(call, state, folded(grad), [folded(x) for x in gradients])
    return gradients


def run_gather(key: Tensor, value: Tensor, key_mask: Tensor | None, feature_map: str) -> Tensor:
    """Return the packed state of the keys; see `elinformer.ops.eala.triton.gather`."""
    call = Call(key, key, value, key_mask, scale=1.0, feature_map=feature_map, is_causal=False)
    state = empty_state(key, value, is_causal=False)
    if call.count:
        with call.on_device():
            _fill_state(call, state)
    return state


def run_apply(query: Tensor, state: Tensor, scale: float, feature_map: str) -> Tensor:
    """Return the output of a packed state; see `elinformer.ops.eala.triton.apply`."""
    width = packed_value_width(state.shape[-1], query.shape[-1])
    output = empty_output(query, query.new_empty((0, width)))
    call = Call(query, query, output, None, scale=scale, feature_map=feature_map, is_causal=False)
    if call.count:
        with call.on_device():
            _fill_output(call, state, folded(output))
    return output


def run_query_backward(
    grad: Tensor, query: Tensor, state: Tensor, scale: float, feature_map: str
) -> tuple[Tensor, Tensor]:
    """Return the gradients of query and state; see `elinformer.ops.eala.triton.query_backward`."""
    call = Call(query, query, grad, None, scale=scale, feature_map=feature_map, is_causal=False)
    grad_q, size = empty_gradient(query), sums_size(call.e, call.ev)
    if not call.count:
        return grad_q, state.new_empty((*query.shape[:-2], size))
    with call.on_device():
        of_state = _fill_query_gradient(call, state, folded(grad), folded(grad_q))
    return grad_q, of_state.view(*query.shape[:-2], size)


def run_key_backward(  # noqa: PLR0917 - as the operator's schema
    key: Tensor, value: Tensor, key_mask: Tensor | None, state: Tensor, of_state: Tensor, feature_map: str
) -> tuple[Tensor, Tensor]:
    """Return the gradients of key and value; see `elinformer.ops.eala.triton.key_backward`."""
    call = Call(key, key, value, key_mask, scale=1.0, feature_map=feature_map, is_causal=False)
    grads = empty_gradient(key), empty_gradient(value)
    if call.count:
        with call.on_device():
            _fill_key_gradients(call, state, of_state.contiguous(), folded(grads[0]), folded(grads[1]))
    return grads


def _rows(*tensors: Tensor) -> list[Any]:
    """Return each tensor followed by its strides; the last is 1."""
    return [argument for x in tensors for argument in (x, *x.stride()[:3])]


def _fill_state(call: Call, state: Tensor) -> None:
    splits, _, block = call.keys
    is_whole = splits == 1 and not call.is_causal
    parts = state if is_whole else state.new_empty((call.count * splits, state.shape[-1]))
    state_kernel[(call.count * splits,)](
        *_rows(call.k, call.v), *call.mask, parts, *call.of_keys(), BLOCK=block, **call.masked, **call.options
    )
    if not is_whole:
        rows = 4
        at_once = 4096 // (rows * padded(call.ev))  # a tile of 4096 numbers
        prefixes = state.shape[-2] if call.is_causal else 1
        merge_kernel[(call.count * prefixes, max(1, triton.cdiv(call.e, rows)))](
            parts, state, splits, prefixes, E=call.e, EV=call.ev, ROWS=rows, PARTS=at_once
        )


def _fill_output(call: Call, state: Tensor, output: Tensor) -> None:
    splits, _, block = call.queries
    if call.is_causal:
        causal_apply_kernel[(call.count * splits,)](
            *_rows(call.q, call.k, call.v, output), *call.mask, state, *call.of_queries(), call.scale,
            BLOCK=block, **call.masked, **call.options,
        )  # fmt: skip
    else:
        apply_kernel[(call.count * splits,)](
            *_rows(call.q, output), state, *call.of_queries(), call.scale, BLOCK=block, **call.options
        )


def _fill_gradients(call: Call, state: Tensor, g: Tensor, gradients: list[Tensor]) -> None:
    dq, dk, dv = gradients
    _fill_key_gradients(call, state, _fill_query_gradient(call, state, g, dq), dk, dv)


def _fill_query_gradient(call: Call, state: Tensor, g: Tensor, dq: Tensor) -> Tensor:
    """Fill dq and return the gradient of the state, (heads of all batches, 1, numbers)."""
    parts = _empty_parts(call, state)
    query_gradient_kernel[(call.count * call.queries.splits,)](
        *_rows(call.q, g, dq), state, parts, *call.of_queries(), call.scale, BLOCK=call.queries.block, **call.options
    )
    return parts if call.queries.splits == 1 else _sums(parts, 1)


def _fill_key_gradients(call: Call, state: Tensor, of_state: Tensor, dk: Tensor, dv: Tensor) -> None:
    key_gradient_kernel[(call.count * call.keys.splits,)](
        *_rows(call.k, call.v, dk, dv), *call.mask, state, of_state, *call.of_keys(),
        BLOCK=call.keys.block, **call.masked, **call.options,
    )  # fmt: skip


def _fill_causal_gradients(call: Call, state: Tensor, g: Tensor, gradients: list[Tensor]) -> None:
    dq, dk, dv = gradients
    splits, _, block = call.queries
    parts, factors = _empty_parts(call, state), state.new_empty((call.count, 3, call.q.shape[2]))
    causal_query_gradient_kernel[(call.count * splits,)](
        *_rows(call.q, call.k, call.v, g, dq), *call.mask, state, parts, factors, *call.of_queries(), call.scale,
        BLOCK=block, **call.masked, **call.options,
    )  # fmt: skip
    later = torch.zeros_like(parts) if splits == 1 else _sums(parts, splits)
    causal_key_gradient_kernel[(call.count * splits,)](
        *_rows(call.q, call.k, call.v, g, dk, dv), *call.mask, state, later, factors, *call.of_queries(), call.scale,
        BLOCK=block, **call.masked, **call.options,
    )  # fmt: skip


def _empty_parts(call: Call, state: Tensor) -> Tensor:
    """Return space for the share of each split of the queries in dkbar, dvbar and dS, or in e, b and P."""
    return state.new_empty((call.count, call.queries.splits, sums_size(call.e, call.ev)))


def _sums(parts: Tensor, sums: int) -> Tensor:
    """Return the sum over all splits, or the sums over the splits after each: deterministic, and one launch."""
    count, splits, size = parts.shape
    total = parts.new_empty((count, sums, size))
    grid = (count * sums, max(1, triton.cdiv(size, 512)))
    sum_kernel[grid](parts, total, splits, sums, SIZE=size, BLOCK=512, PARTS=8)
    return total
