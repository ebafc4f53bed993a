"""EALA as an operator of PyTorch, with its own backward that saves inputs and states alone.

`elinformer::eala` takes query (*lead, Lq, E), key (*lead, Lk, E), value (*lead, Lk, Ev) and key_mask (*lead, Lk) or
none, all of one `lead`. It returns the output and the packed state of the keys; `backend` is a key of `BACKENDS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from elinformer.ops.eala import cpu, eager, triton

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

Gradients = tuple[Tensor, Tensor, Tensor]


BACKENDS: dict[str, ModuleType] = {"torch": eager, "cpu": cpu, "triton": triton}
_INPUTS = "Tensor query, Tensor key, Tensor value, Tensor? key_mask"
_OPTIONS = "float scale, str feature_map, bool is_causal, str backend"


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_mask: Tensor | None,
    *,
    scale: float,
    feature_map: str,
    is_causal: bool,
    backend: str,
) -> Tensor:
    """Call the operator on tensors whose leading dimensions broadcast."""
    lead = query.shape[:-2]
    if not lead == key.shape[:-2] == value.shape[:-2]:
        lead = torch.broadcast_shapes(lead, key.shape[:-2], value.shape[:-2])
        query, key, value = (x.expand(*lead, *x.shape[-2:]) for x in (query, key, value))
    if key_mask is not None:
        key_mask = key_mask.expand(*lead, key_mask.shape[-1])
    is_eager = torch.is_grad_enabled() and not torch.compiler.is_compiling()
    operator = _Transformable.apply if is_eager else _eala
    return operator(query, key, value, key_mask, scale, feature_map, is_causal, backend)[0]


def _forward(*args: Any) -> tuple[Tensor, Tensor]:
    *rest, backend = args
    return BACKENDS[backend].forward(*rest)


def _backward(*args: Any) -> Gradients:
    *inputs, state, scale, feature_map, is_causal, backend = args
    state = state.contiguous()  # vmap expands it
    return BACKENDS[backend].backward(*inputs, state, scale, feature_map, is_causal)


def _fake_forward(*args: Any) -> tuple[Tensor, Tensor]:
    query, key, value, *_, is_causal, backend = args
    module = BACKENDS[backend]
    return module.empty_output(query, value), module.empty_state(key, value, is_causal=is_causal)


def _fake_backward(*args: Any) -> Gradients:
    _grad, query, key, value = args[:4]
    empty = BACKENDS[args[-1]].empty_gradient
    return empty(query), empty(key), empty(value)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    query, key, value, mask, *ctx.options = inputs
    ctx.save_for_backward(query, key, value, mask, output[1])
    ctx.set_materialize_grads(False)


def _differentiate(ctx: Any, grad: Tensor | None, _of_state: Tensor | None) -> tuple[Tensor | None, ...]:
    if grad is None:
        return (None,) * 8
    is_eager = torch.is_grad_enabled() and not torch.compiler.is_compiling()
    operator = _TransformableBackward.apply if is_eager else _eala_backward
    return *operator(grad, *ctx.saved_tensors, *ctx.options), *(None,) * 5


def _no_second_derivative(_ctx: Any, *_grads: Any) -> Any:
    raise NotImplementedError('eala_attention has no second derivative: use backend="reference" for it')


class _Transformable(torch.autograd.Function):
    """The operator outside of the compiler: `torch.func` refuses the function that `register_autograd` makes."""

    generate_vmap_rule = True

    @staticmethod
    def forward(*args: Any) -> tuple[Tensor, Tensor]:
        return _eala(*args)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        _keep(ctx, inputs, output)
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor | None) -> tuple[Tensor | None, ...]:
        return _differentiate(ctx, grad_outputs[0], None)

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        raise NotImplementedError('eala_attention has no forward-mode derivative: use backend="reference" for it')


class _TransformableBackward(torch.autograd.Function):
    """The backward of `_Transformable`, with no derivative of its own."""

    generate_vmap_rule = True

    @staticmethod
    def forward(*args: Any) -> Gradients:
        return _eala_backward(*args)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Gradients) -> None:
        """Nothing is kept."""

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        return _no_second_derivative(ctx, *grad_outputs)


def _batched(operator: Any, results: int) -> Any:
    """Return the rule of `torch.vmap`: the new dimension becomes one more leading dimension."""

    def rule(info: Any, in_dims: Sequence[int | None], *args: Any) -> tuple[Any, tuple[int, ...]]:
        moved = (
            x if not isinstance(x, Tensor) else x.expand(info.batch_size, *x.shape) if d is None else x.movedim(d, 0)
            for x, d in zip(args, in_dims, strict=True)
        )
        return operator(*moved), (0,) * results

    return rule


# Defined and filled in rather than by `custom_op`, whose first call imports the whole compiler: seconds.
torch.library.define("elinformer::eala", f"({_INPUTS}, {_OPTIONS}) -> (Tensor, Tensor)")
torch.library.define(
    "elinformer::eala_backward", f"(Tensor grad, {_INPUTS}, Tensor state, {_OPTIONS}) -> (Tensor, Tensor, Tensor)"
)
torch.library.impl("elinformer::eala", ("cpu", "cuda"), _forward)
torch.library.impl("elinformer::eala_backward", ("cpu", "cuda"), _backward)
torch.library.register_fake("elinformer::eala", _fake_forward)
torch.library.register_fake("elinformer::eala_backward", _fake_backward)
torch.library.register_autograd("elinformer::eala", _differentiate, setup_context=_keep)
torch.library.register_autograd("elinformer::eala_backward", _no_second_derivative)
_eala, _eala_backward = torch.ops.elinformer.eala.default, torch.ops.elinformer.eala_backward.default
torch.library.register_vmap("elinformer::eala", _batched(_eala, 2))
torch.library.register_vmap("elinformer::eala_backward", _batched(_eala_backward, 3))
