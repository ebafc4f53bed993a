"""Tests of `swap_attention` in a model of another library: GraphGPS layers of PyTorch Geometric."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from elinformer.nn import EntropyLinearAttention, swap_attention

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the import scripts a class, and PyTorch warns about that
    pytest.importorskip("torch_geometric", reason="needs PyTorch Geometric: pip install torch-geometric")
    from torch_geometric.nn import GINConv, GPSConv, global_mean_pool


SIZES = (9, 5, 2)  # nodes of the graphs of a batch; padded to dense inside the layer, with a key_padding_mask


class GraphTransformer(nn.Module):
    """Two GPS layers and a linear output, as in the example of the library."""

    def __init__(self) -> None:
        super().__init__()
        local = [nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16)) for _ in range(2)]
        self.layers = nn.ModuleList(GPSConv(16, GINConv(net), heads=4, dropout=0.0) for net in local)
        self.head = nn.Linear(16, 1)

    def forward(self, x, edges, batch):
        for layer in self.layers:
            x = layer(x, edges, batch)
        return self.head(global_mean_pool(x, batch))


def graphs():
    batch = torch.repeat_interleave(torch.arange(len(SIZES)), torch.tensor(SIZES))
    edges = torch.stack([torch.arange(len(batch) - 1), torch.arange(1, len(batch))])
    return torch.randn(len(batch), 16), edges[:, batch[edges[0]] == batch[edges[1]]], batch


@pytest.fixture
def model():
    torch.manual_seed(0)
    built = GraphTransformer()
    built(*graphs())  # running statistics of its batch norms
    return built.eval()


def test_a_graph_transformer_keeps_its_projections(model):
    inputs = graphs()
    assert_close(swap_attention(copy.deepcopy(model), operator="softmax")(*inputs), model(*inputs))


@pytest.mark.parametrize("grad", [True, False], ids=["grad", "no_grad"])
def test_a_graph_transformer_computes_eala_for_each_graph_separately(model, grad):
    before, (x, edges, batch) = copy.deepcopy(model), graphs()
    assert sum(isinstance(m, EntropyLinearAttention) for m in swap_attention(model).modules()) == 2
    with torch.set_grad_enabled(grad):
        together = model(x, edges, batch)
        assert (together - before(x, edges, batch)).abs().max() > 1e-4
        first = batch == 0
        assert_close(model(x[first], edges[:, first[edges[0]]], batch[first]), together[:1])


def test_a_swapped_graph_transformer_learns(model):
    swap_attention(model).train()
    inputs, target = graphs(), torch.tensor([[1.0], [-1.0], [0.5]])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _ in range(30):
        loss = (model(*inputs) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
    assert all(p.grad is not None for layer in model.layers for p in layer.attn.parameters())
