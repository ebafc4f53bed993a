"""The encoder of series: what it says does not depend on the scale that a model keeps its embeddings in."""

from __future__ import annotations

import pytest
import torch

from elinformer.nn.series_encoder import SeriesEncoder


@pytest.mark.parametrize("n_known", [1, 2, 40])
def test_embeddings_in_another_scale_give_the_same_in_that_scale(n_known: int) -> None:
    torch.manual_seed(0)
    known, features, own = torch.randn(n_known, 6), torch.randn(5, 3), torch.randn(5, 6)
    said: list[torch.Tensor] = []
    for scale in (1.0, 1 / 30):
        torch.manual_seed(1)
        said.append(SeriesEncoder(3, scale * known).eval()(features, own))
    torch.testing.assert_close(said[1] * 30, said[0])


def test_it_begins_with_the_mean_for_every_series() -> None:
    known = torch.randn(8, 6)
    said = SeriesEncoder(3, known).eval()(torch.randn(5, 3), torch.zeros(5, 6))
    torch.testing.assert_close(said, known.mean(0).expand(5, 6))


def test_embeddings_that_are_all_zero_can_be_left() -> None:
    said = SeriesEncoder(3, torch.zeros(2, 6)).eval()(torch.randn(5, 3), torch.ones(5, 6))
    torch.testing.assert_close(said, torch.ones(5, 6))
