"""The counted cost of a step is that of PyTorch's own counter."""

from __future__ import annotations

import pytest
import torch
from benchmarks._cost import forward_operations, step_cost
from torch.utils.flop_counter import FlopCounterMode

from elinformer.batch import Batch
from elinformer.models import ELinFormer, ELinFormerConfig
from elinformer.ops.eala import cpu
from elinformer.ops.eala.partitioned import RankExchange
from elinformer.partition import run_chain
from elinformer.partition.ranks import RankGroup


@pytest.mark.parametrize("patch_length", [0, 4])
@pytest.mark.parametrize("n_lags", [0, 2])
def test_operations_are_those_of_pytorchs_counter(
    patch_length: int, n_lags: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "_LIBRARY", None)  # plain PyTorch, whose products can be seen
    config = ELinFormerConfig(window=12, horizon=12, n_series=50, n_slots=4, patch_length=patch_length, n_lags=n_lags)
    model = ELinFormer(config).eval()
    values = torch.zeros(2, 12 * (1 + n_lags), 50, 1)
    batch = Batch(
        values, torch.ones_like(values, dtype=torch.bool), torch.ones(2, 12 * (2 + n_lags), 2, dtype=torch.int64)
    )
    exchanges = [RankExchange(RankGroup())] * config.n_layers  # attention as on ranks, of which there is one
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        run_chain(model, batch, exchanges)
    counted = counter.get_total_flops()
    assert 2 * config.n_tokens * forward_operations(config) == pytest.approx(counted, rel=0.02)


def test_the_bytes_of_a_layer_do_not_depend_on_the_series() -> None:
    costs = [
        step_cost(ELinFormerConfig(window=12, horizon=12, n_series=n), 16, rows=1, columns=4, shared=1000, own=32 * n)
        for n in (100, 1_000_000)
    ]
    assert costs[0].layer_bytes == costs[1].layer_bytes > 0
    assert costs[0].bytes == costs[1].bytes
    assert costs[1].operations == 10_000 * costs[0].operations
