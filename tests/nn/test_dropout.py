"""Dropout: the share that is dropped, the mean that stays, and one order of random numbers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from elinformer.nn.dropout import Dropout


def dropped(p: float, x: Tensor, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    return Dropout(p)(x)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("p", [0.001, 0.1, 0.5, 0.9])
def test_the_share_is_dropped_and_the_mean_stays(p: float, dtype: torch.dtype) -> None:
    y = dropped(p, torch.ones(1000, 1001, dtype=dtype))
    assert y.dtype == dtype
    assert float((y == 0).double().mean()) == pytest.approx(p, abs=4 * (p * (1 - p) / y.numel()) ** 0.5)
    kept = y[y != 0].unique()
    assert kept.tolist() == pytest.approx([1 / (1 - p)], rel=4e-3 if dtype == torch.bfloat16 else 1e-4)


def test_neighbours_are_dropped_independently() -> None:
    kept = (dropped(0.5, torch.ones(400_000)) != 0).double()
    for distance in range(1, 9):
        together = (kept[distance:] * kept[:-distance]).mean()
        assert float(together) == pytest.approx(0.25, abs=4 * (0.25 * 0.75 / len(kept)) ** 0.5)


def test_the_gradient_is_that_of_what_was_kept() -> None:
    x = torch.randn(3, 5, 7, requires_grad=True)
    y = dropped(0.3, x)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(gradient * x, y)
    assert {0.0} < set(gradient.flatten().tolist())


def test_a_seed_gives_a_mask() -> None:
    x = torch.ones(5, 9)
    torch.testing.assert_close(dropped(0.4, x, seed=3), dropped(0.4, x, seed=3))
    assert not torch.equal(dropped(0.4, x, seed=3), dropped(0.4, x, seed=4))


@pytest.mark.parametrize("shape", [(), (0, 4), (1,), (3,)])
def test_any_shape_is_taken(shape: tuple[int, ...]) -> None:
    assert dropped(0.5, torch.ones(shape)).shape == shape


def test_nothing_is_dropped_out_of_training_or_with_p_of_zero_and_all_with_one() -> None:
    x = torch.randn(50)
    torch.testing.assert_close(Dropout(0.5).eval()(x), x)
    torch.testing.assert_close(Dropout(0.0)(x), x)
    assert not Dropout(1.0)(x).any()
