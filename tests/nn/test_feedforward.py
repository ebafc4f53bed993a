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


def test_the_gated_layer_is_linear_in_what_goes_through_the_gates() -> None:
    torch.manual_seed(0)
    layer = GatedFeedForward(6, 16).double()
    a, b, gates = torch.randn(3, 2, 5, 6, dtype=torch.float64).unbind()
    torch.testing.assert_close(layer(gates, (a + b) / 2), (layer(gates, a) + layer(gates, b)) / 2)
    assert not torch.allclose(layer((a + b) / 2, gates), (layer(a, gates) + layer(b, gates)) / 2)


@pytest.mark.parametrize("activation", ["geglu", "gelu"])
def test_dropout_is_of_hidden_units_in_training_alone(activation: str) -> None:
    torch.manual_seed(0)
    layer, x = feedforward(8, 2, activation, 0.5), torch.randn(3, 8)
    bias = (layer.contract if isinstance(layer, GatedFeedForward) else layer[2]).bias
    assert not torch.equal(layer(x), layer(x))
    assert torch.equal(layer.eval()(x), layer(x))
    nearly_all = feedforward(8, 2, activation, 1 - 1e-7)  # what is left is the bias of the last layer
    nearly_all.load_state_dict(layer.state_dict())
    torch.testing.assert_close(nearly_all(x), bias.expand(3, 8))


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
    x = torch.randn(3, 8)
    torch.testing.assert_close(layer(x), layer[2](gelu(layer[0](x))))


def test_another_activation_is_refused() -> None:
    with pytest.raises(InputError, match="expected activation to be one of geglu, gelu, got 'silu'"):
        feedforward(8, 2, "silu")
