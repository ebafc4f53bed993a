"""Tests of embeddings with their own learning rate, and of the encoder of features."""

from __future__ import annotations

import pytest
import torch

from elinformer.nn.embeddings import ScaledEmbedding, SeriesEncoder

INDEX = torch.tensor([[0, 3], [3, 2]])


@pytest.mark.parametrize("rate", [1.0, 10.0])
def test_initial_rows_have_unit_variance_for_every_rate(rate: float) -> None:
    torch.manual_seed(0)
    table = ScaledEmbedding(500, 40, rate)
    assert table.rows.std().item() == pytest.approx(1, rel=0.02)
    torch.testing.assert_close(table(INDEX), table.rows[INDEX])
    table.reset_parameters()
    assert table.rows.std().item() == pytest.approx(1, rel=0.02)


def test_rows_can_be_set() -> None:
    rows = torch.randn(4, 3)
    table = ScaledEmbedding(4, 3, 7.0)
    table.set_rows(rows)
    torch.testing.assert_close(table.rows, rows)
    assert table.weight.requires_grad


@pytest.mark.parametrize("rate", [1.0, 10.0])
def test_a_step_of_adam_moves_rows_in_proportion_to_the_rate(rate: float) -> None:
    table = ScaledEmbedding(4, 3, rate)
    before = table.rows.detach().clone()
    optimizer = torch.optim.Adam(table.parameters(), lr=0.01)
    table(INDEX).sum().backward()
    optimizer.step()
    moved = before - table.rows.detach()
    expected = torch.tensor([1.0, 0, 1, 1])[:, None].expand(4, 3) * 0.01 * rate  # row 1 has no gradient
    torch.testing.assert_close(moved, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("n_series", [1, 2, 40])
def test_the_encoder_scales_with_the_embeddings(n_series: int) -> None:
    torch.manual_seed(0)
    embeddings, features, corrections = torch.randn(n_series, 6), torch.randn(5, 3), torch.randn(5, 6)
    outputs: list[torch.Tensor] = []
    for scale in (1.0, 1 / 30):
        torch.manual_seed(1)
        outputs.append(SeriesEncoder(3, scale * embeddings).eval()(features, corrections))
    torch.testing.assert_close(outputs[1] * 30, outputs[0])


def test_a_new_encoder_returns_the_mean_embedding() -> None:
    embeddings = torch.randn(8, 6)
    output = SeriesEncoder(3, embeddings).eval()(torch.randn(5, 3), torch.zeros(5, 6))
    torch.testing.assert_close(output, embeddings.mean(0).expand(5, 6))


def test_the_encoder_can_leave_embeddings_that_are_all_zero() -> None:
    output = SeriesEncoder(3, torch.zeros(2, 6)).eval()(torch.randn(5, 3), torch.ones(5, 6))
    torch.testing.assert_close(output, torch.ones(5, 6))


def test_selected_rows_equal_rows_of_the_table() -> None:
    table = ScaledEmbedding(4, 3, 7.0)
    assert torch.equal(table.select_rows(None), table.rows)
    torch.testing.assert_close(table.select_rows(torch.tensor([2, 0])), table.rows[[2, 0]])
