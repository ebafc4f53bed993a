"""Linear attention in an existing model, with the projections that the model was trained with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from elinformer.errors import InputError
from elinformer.nn.attention import EntropyLinearAttention

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


def swap_attention(module: nn.Module, *, operator: str | Callable[..., Tensor] = "eala") -> nn.Module:
    """Replace every `torch.nn.MultiheadAttention` in a module, in place, by `EntropyLinearAttention`.

    The new layers hold the same parameters, not copies. An optimiser of the module stays valid. The fused encoder path
    of PyTorch always computes softmax attention. It is switched off for the new layers.

    Args:
        module: Any module. It can itself be a `MultiheadAttention`.
        operator: The operator, as in `EntropyLinearAttention`. All layers share an operator that is a module.

    Returns:
        The same module, or the new layer where the module is itself a `MultiheadAttention`.

    Raises:
        InputError: An attention cannot be replaced, because it is a subclass, or has hooks, `add_bias_kv` or
            `add_zero_attn`. The module is not changed then.

    Example:
        >>> import torch
        >>> layer = nn.TransformerEncoderLayer(64, 4, batch_first=True)
        >>> encoder = swap_attention(nn.TransformerEncoder(layer, 2))
        >>> encoder(torch.ones(2, 1000, 64)).shape
        torch.Size([2, 1000, 64])
    """
    replacements: dict[nn.Module, EntropyLinearAttention] = {
        attention: _replacement(name or "the module itself", attention, operator)
        for name, attention in module.named_modules()
        if isinstance(attention, nn.MultiheadAttention) and not isinstance(attention, EntropyLinearAttention)
    }
    for path, child in list(module.named_modules(remove_duplicate=False)):
        if path and child in replacements:
            parent, _, name = path.rpartition(".")
            setattr(module.get_submodule(parent), name, replacements[child])
    for encoder in module.modules():
        if isinstance(encoder, nn.TransformerEncoder) and _has_swapped_layers(encoder):
            encoder.use_nested_tensor = False  # only the fused path uses nested tensors
    return replacements.get(module, module)


def _replacement(
    name: str, original: nn.MultiheadAttention, operator: str | Callable[..., Tensor]
) -> EntropyLinearAttention:
    if type(original) is not nn.MultiheadAttention:
        raise InputError(
            f"expected torch.nn.MultiheadAttention at {name}, got its subclass {type(original).__qualname__}, whose "
            "behaviour would be lost: build that layer with EntropyLinearAttention"
        )
    if any(getattr(original, hooks) for hooks in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")):
        raise InputError(
            f"expected {name} without hooks, which would be lost: remove them, and add them after the swap"
        )
    parameters = dict(original.named_parameters())
    try:
        replacement = EntropyLinearAttention(
            original.embed_dim,
            original.num_heads,
            original.dropout,
            "in_proj_bias" in parameters,
            "bias_k" in parameters,
            original.add_zero_attn,
            original.kdim,
            original.vdim,
            original.batch_first,
            device=original.out_proj.weight.device,
            dtype=original.out_proj.weight.dtype,
            operator=operator,
        )
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    replacement.out_proj = original.out_proj
    for parameter in (name for name in parameters if "." not in name):
        setattr(replacement, parameter, parameters[parameter])
    return replacement.train(original.training)


def _has_swapped_layers(encoder: nn.TransformerEncoder) -> bool:
    return any(isinstance(layer, EntropyLinearAttention) for layer in encoder.modules())
