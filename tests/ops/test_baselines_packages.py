"""Baselines against packages that have them; each test runs where its package is installed."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch.nn.functional import elu
from torch.testing import assert_close

from elinformer.ops.baselines.elu import elu_attention
from elinformer.ops.baselines.linformer import linformer_attention
from elinformer.ops.baselines.nystromformer import nystromformer_attention
from elinformer.ops.baselines.performer import performer_attention


@pytest.fixture
def qkv():
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(2, 3, 24, 8, generator=generator) for _ in range(3))


def test_elu_and_performer_normalise_as_pytorch_geometric_does(qkv):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it scripts a class as it is imported, which PyTorch warns about
        pytest.importorskip("torch_geometric")
        from torch_geometric.nn.attention.performer import linear_attention
    q, k, v = qkv
    assert_close(elu_attention(q, k, v), linear_attention(elu(q) + 1, elu(k) + 1, v))


@pytest.mark.filterwarnings("ignore")
def test_performer_is_that_of_performer_pytorch(qkv):
    theirs = pytest.importorskip("performer_pytorch.performer_pytorch")
    q, k, v = qkv
    projection = theirs.gaussian_orthogonal_random_matrix(64, 8)
    features = [
        theirs.softmax_kernel(x, projection_matrix=projection, is_query=is_query, eps=0)
        for x, is_query in ((q, True), (k, False))
    ]
    expected = theirs.linear_attention(*features, v)
    assert_close(performer_attention(q, k, v, projection=projection), expected, atol=1e-4, rtol=1e-3)


def test_nystromformer_is_that_of_nystrom_attention():
    theirs = pytest.importorskip("nystrom_attention").NystromAttention(
        8, dim_head=8, heads=1, num_landmarks=6, residual=False
    )
    torch.nn.init.normal_(theirs.to_qkv.weight, std=0.5)
    theirs.to_out = torch.nn.Identity()
    x = torch.randn(1, 24, 8, generator=torch.Generator().manual_seed(0))
    assert_close(nystromformer_attention(*theirs.to_qkv(x).chunk(3, -1), landmarks=6), theirs(x))


def test_linformer_is_that_of_the_linformer_package():
    theirs = pytest.importorskip("linformer.linformer").LinformerSelfAttention(16, 24, k=6, heads=2)
    theirs.to_out = torch.nn.Identity()
    x = torch.randn(2, 24, 16, generator=torch.Generator().manual_seed(0))
    q, k, v = (part(x).unflatten(-1, (2, 8)).transpose(1, 2) for part in (theirs.to_q, theirs.to_k, theirs.to_v))
    ours = linformer_attention(q, k, v, key_projection=theirs.proj_k.T, value_projection=theirs.proj_v.T)
    assert_close(ours.transpose(1, 2).flatten(-2), theirs(x))
