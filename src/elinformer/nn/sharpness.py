"""One sharpness for all attention layers of a model, saved with its weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from elinformer.nn.attention import EntropyLinearAttention
from elinformer.ops.inputs import check_sharpness


def keep_sharpness(model: nn.Module) -> None:
    """Register a buffer `sharpness` in a model. It is saved and loaded with the weights.

    The layers have no such buffer, so that their state dict is that of `torch.nn.MultiheadAttention`.
    """
    model.register_buffer("sharpness", torch.ones(()))
    model.register_load_state_dict_post_hook(_update_layers)


def set_sharpness(model: nn.Module, sharpness: float) -> None:
    """Set the sharpness of all attention layers of a model: see `EntropyLinearAttention`.

    Args:
        model: A model that `keep_sharpness` was called with.
        sharpness: A number from 0 to 1.

    Raises:
        InputError: The number is not in 0 to 1.
    """
    check_sharpness(sharpness)
    model.get_buffer("sharpness").fill_(sharpness)
    _update_layers(model)


def _update_layers(model: nn.Module, *_: Any) -> None:
    sharpness = float(model.get_buffer("sharpness"))
    for layer in model.modules():
        if isinstance(layer, EntropyLinearAttention):
            layer.sharpness = sharpness
