"""Linear attention in somebody else's model, with the projections it was trained with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from elinformer.errors import InputError
from elinformer.nn.attention import EntropyLinearAttention

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


def swap_attention(module: nn.Module, *, operator: str | Callable[..., Tensor] = "eala") -> nn.Module:
    """Replace every `torch.nn.MultiheadAttention` in the module, in place, by `EntropyLinearAttention`.

    The parameters are not copied but handed over, so that an optimizer made before goes on as it was. PyTorch's
    fused encoder path, which computes softmax whatever the module says, is shut for the swapped layers.

    Args:
        module: Any module; a `MultiheadAttention` itself will do.
        operator: As in `EntropyLinearAttention`. A module given here is shared by all layers.

    Returns:
        The same module, or, where it is a `MultiheadAttention` itself, what takes its place.

    Raises:
        InputError: An attention that cannot be replaced: a subclass (with its own idea of attention), one with
            hooks, `add_bias_kv` or `add_zero_attn`. Nothing is changed then.

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
            encoder.use_nested_tensor = False  # set at construction, for the fused path alone
    return replacements.get(module, module)


def _replacement(
    name: str, theirs: nn.MultiheadAttention, operator: str | Callable[..., Tensor]
) -> EntropyLinearAttention:
    if type(theirs) is not nn.MultiheadAttention:
        raise InputError(
            f"expected torch.nn.MultiheadAttention at {name}, got its subclass {type(theirs).__qualname__}, whose "
            "own behaviour would be lost: build that layer with EntropyLinearAttention"
        )
    if any(getattr(theirs, hooks) for hooks in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")):
        raise InputError(f"expected {name} without hooks, which would be lost: remove them and add them again")
    parameters = dict(theirs.named_parameters())
    try:
        ours = EntropyLinearAttention(
            theirs.embed_dim,
            theirs.num_heads,
            theirs.dropout,
            "in_proj_bias" in parameters,
            "bias_k" in parameters,
            theirs.add_zero_attn,
            theirs.kdim,
            theirs.vdim,
            theirs.batch_first,
            device=theirs.out_proj.weight.device,
            dtype=theirs.out_proj.weight.dtype,
            operator=operator,
        )
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    ours.out_proj = theirs.out_proj
    for parameter in (name for name in parameters if "." not in name):
        setattr(ours, parameter, parameters[parameter])
    return ours.train(theirs.training)


def _has_swapped_layers(encoder: nn.TransformerEncoder) -> bool:
    return any(isinstance(layer, EntropyLinearAttention) for layer in encoder.modules())
