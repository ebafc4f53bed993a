"""Tests of the gated feed-forward layer: its formula, and its number of parameters."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import gelu, linear

from elinformer.nn.feedforward import GatedFeedForward


def test_the_layer_equals_the_formula_of_shazeer() -> None:
    torch.manual_seed(0)
    layer, x = GatedFeedForward(12), torch.randn(2, 5, 12)
    gate, value = linear(x, layer.expand.weight, layer.expand.bias).chunk(2, -1)
    expected = linear(gelu(gate) * value, layer.contract.weight, layer.contract.bias)
    torch.testing.assert_close(layer(x, x), expected)


def test_the_layer_is_linear_in_the_input_of_the_values() -> None:
    torch.manual_seed(0)
    layer = GatedFeedForward(6).double()
    a, b, gates = torch.randn(3, 2, 5, 6, dtype=torch.float64).unbind()
    torch.testing.assert_close(layer(gates, (a + b) / 2), (layer(gates, a) + layer(gates, b)) / 2)
    assert not torch.allclose(layer((a + b) / 2, gates), (layer(a, gates) + layer(b, gates)) / 2)


def test_dropout_drops_hidden_units_only_in_training() -> None:
    torch.manual_seed(0)
    layer, x = GatedFeedForward(8, 0.5), torch.randn(3, 8)
    assert not torch.equal(layer(x, x), layer(x, x))
    assert torch.equal(layer.eval()(x, x), layer(x, x))
    nearly_all = GatedFeedForward(8, 1 - 1e-7)  # the bias of the last layer is left
    nearly_all.load_state_dict(layer.state_dict())
    torch.testing.assert_close(nearly_all(x, x), layer.contract.bias.expand(3, 8))


@pytest.mark.parametrize("width", [96, 160, 256])
def test_the_layer_has_about_as_many_parameters_as_a_plain_one(width: int) -> None:
    plain = nn.Sequential(nn.Linear(width, 2 * width), nn.Linear(2 * width, width))
    n_gated, n_plain = (sum(p.numel() for p in layer.parameters()) for layer in (GatedFeedForward(width), plain))
    assert 0.9 < n_gated / n_plain <= 1.02


@pytest.mark.parametrize(("width", "hidden"), [(160, 208), (96, 128), (256, 336), (8, 16)])
def test_hidden_units_fill_vector_registers(width: int, hidden: int) -> None:
    assert GatedFeedForward(width).contract.in_features == hidden
