"""An embedding with a rate: the same rows, which the optimiser moves that many times as far."""

from __future__ import annotations

import pytest
import torch

from elinformer.nn.scaled_embedding import ScaledEmbedding

INDEX = torch.tensor([[0, 3], [3, 2]])


@pytest.mark.parametrize("rate", [1.0, 10.0])
def test_rows_begin_with_unit_variance_whatever_the_rate(rate: float) -> None:
    torch.manual_seed(0)
    table = ScaledEmbedding(500, 40, rate)
    assert table.rows.std().item() == pytest.approx(1, rel=0.02)
    torch.testing.assert_close(table(INDEX), table.rows[INDEX])
    table.reset_parameters()
    assert table.rows.std().item() == pytest.approx(1, rel=0.02)


def test_rows_are_what_they_are_begun_with() -> None:
    rows = torch.randn(4, 3)
    table = ScaledEmbedding(4, 3, 7.0)
    table.begin_with(rows)
    torch.testing.assert_close(table.rows, rows)
    assert table.weight.requires_grad


@pytest.mark.parametrize("rate", [1.0, 10.0])
def test_a_step_of_adam_moves_rows_by_the_rate(rate: float) -> None:
    table = ScaledEmbedding(4, 3, rate)
    before = table.rows.detach().clone()
    optimizer = torch.optim.Adam(table.parameters(), lr=0.01)
    table(INDEX).sum().backward()
    optimizer.step()
    moved = before - table.rows.detach()
    expected = torch.tensor([1.0, 0, 1, 1])[:, None].expand(4, 3) * 0.01 * rate  # row 1 has no gradient
    torch.testing.assert_close(moved, expected, rtol=1e-3, atol=1e-6)
