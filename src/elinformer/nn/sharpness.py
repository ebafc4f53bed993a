"""One sharpness for all attention layers of a model, kept beside its weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from elinformer.nn.attention import EntropyLinearAttention
from elinformer.ops.inputs import check_sharpness


def keep_sharpness(model: nn.Module) -> None:
    """Give a model a buffer `sharpness`, which is saved and loaded with its weights.

    Its layers have none, so that their state is that of `torch.nn.MultiheadAttention`.
    """
    model.register_buffer("sharpness", torch.ones(()))
    model.register_load_state_dict_post_hook(_tell_layers)


def set_sharpness(model: nn.Module, sharpness: float) -> None:
    """Set that of a model that keeps one: see `EntropyLinearAttention`.

    Raises:
        InputError: A number that is not in 0 to 1.
    """
    check_sharpness(sharpness)
    model.get_buffer("sharpness").fill_(sharpness)
    _tell_layers(model)


def _tell_layers(model: nn.Module, *_: Any) -> None:
    sharpness = float(model.get_buffer("sharpness"))
    for layer in model.modules():
        if isinstance(layer, EntropyLinearAttention):
            layer.sharpness = sharpness
