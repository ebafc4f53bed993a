"""Embeddings: rows that the optimiser moves farther, and rows that are computed from features."""

from __future__ import annotations

import pytest
import torch

from elinformer.nn.embeddings import ScaledEmbedding, SeriesEncoder

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


@pytest.mark.parametrize("n_known", [1, 2, 40])
def test_embeddings_in_another_scale_give_the_same_in_that_scale(n_known: int) -> None:
    torch.manual_seed(0)
    known, features, own = torch.randn(n_known, 6), torch.randn(5, 3), torch.randn(5, 6)
    said: list[torch.Tensor] = []
    for scale in (1.0, 1 / 30):
        torch.manual_seed(1)
        said.append(SeriesEncoder(3, scale * known).eval()(features, own))
    torch.testing.assert_close(said[1] * 30, said[0])


def test_the_encoder_begins_with_the_mean_for_every_series() -> None:
    known = torch.randn(8, 6)
    said = SeriesEncoder(3, known).eval()(torch.randn(5, 3), torch.zeros(5, 6))
    torch.testing.assert_close(said, known.mean(0).expand(5, 6))


def test_embeddings_that_are_all_zero_can_be_left() -> None:
    said = SeriesEncoder(3, torch.zeros(2, 6)).eval()(torch.randn(5, 3), torch.ones(5, 6))
    torch.testing.assert_close(said, torch.ones(5, 6))


def test_rows_of_some_series_are_those_of_all() -> None:
    table = ScaledEmbedding(4, 3, 7.0)
    assert torch.equal(table.rows_of(None), table.rows)
    torch.testing.assert_close(table.rows_of(torch.tensor([2, 0])), table.rows[[2, 0]])
