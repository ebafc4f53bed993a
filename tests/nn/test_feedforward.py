"""Feed-forward layers: the gated one is its formula, and costs what the plain one does."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import gelu, linear

from elinformer.errors import InputError
from elinformer.nn.feedforward import GatedFeedForward, feedforward, gated_width


def test_the_gated_layer_is_shazeers_formula() -> None:
    torch.manual_seed(0)
    layer, x = GatedFeedForward(6, 16), torch.randn(2, 5, 6)
    gate, value = linear(x, layer.expand.weight, layer.expand.bias).split(16, -1)
    expected = linear(gelu(gate) * value, layer.contract.weight, layer.contract.bias)
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize(("width", "ratio"), [(96, 2), (160, 2), (256, 2), (160, 4)])
def test_the_gated_layer_has_about_as_many_parameters_as_the_plain_one(width: int, ratio: int) -> None:
    gated, plain = (
        sum(parameter.numel() for parameter in feedforward(width, ratio, activation).parameters())
        for activation in ("geglu", "gelu")
    )
    assert 0.9 < gated / plain <= 1.02


@pytest.mark.parametrize(("width", "hidden"), [(160, 208), (96, 128), (256, 336), (8, 16)])
def test_hidden_units_fill_vector_registers(width: int, hidden: int) -> None:
    assert gated_width(width, 2) == hidden


def test_the_plain_layer_is_two_linear_layers() -> None:
    layer = feedforward(8, 2, "gelu")
    assert isinstance(layer, nn.Sequential)
    assert layer(torch.ones(3, 8)).shape == (3, 8)


def test_another_activation_is_refused() -> None:
    with pytest.raises(InputError, match="expected activation to be one of geglu, gelu, got 'silu'"):
        feedforward(8, 2, "silu")
