import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from elinformer.evaluation import AbsoluteError, QuantileLoss
from elinformer.evaluation.losses import SPREAD_WEIGHT

numbers = st.floats(-1e4, 1e4, width=32)


@given(st.lists(numbers, min_size=9, max_size=9), st.floats(0.0625, 1e4, width=32), numbers)
def test_quantiles_never_cross_and_keep_their_order_in_the_units_of_the_data(raw, std, mean):
    outputs = QuantileLoss().arrange(torch.tensor(raw)) * std + mean
    assert (outputs.diff() >= 0).all()


def test_the_point_forecast_is_the_first_number_of_the_model():
    loss, raw = QuantileLoss(), torch.randn(2, 3, 4, 1, 9)
    assert torch.equal(loss.point(loss.arrange(raw)), raw[..., 0])


def test_untrained_distances_are_those_of_a_normal_distribution():
    outputs = QuantileLoss((0.1, 0.25, 0.5, 0.75, 0.9)).arrange(torch.zeros(5))
    torch.testing.assert_close(
        outputs / outputs[-1], torch.tensor([-1.0, -0.5263, 0.0, 0.5263, 1.0]), atol=1e-4, rtol=0
    )


def test_elements_are_the_error_of_the_median_and_the_weighted_pinball_losses_of_the_others():
    outputs, target = torch.tensor([[[[[1.0, 2.0, 4.0]]]]]), torch.tensor([[[[3.0]]]])
    expected = 1.0 + SPREAD_WEIGHT * 2 * (0.1 * 2.0 + 0.1 * 1.0) / 2
    assert QuantileLoss((0.1, 0.5, 0.9)).elements(outputs, target).item() == pytest.approx(expected)


def test_the_other_quantiles_do_not_train_the_median():
    target, mask, scale = torch.randn(2, 3, 4, 1), torch.ones(2, 3, 4, 1, dtype=torch.bool), torch.ones(())
    raw = torch.randn(2, 3, 4, 1, 9, requires_grad=True)
    loss = QuantileLoss()
    loss.total(loss.arrange(raw), target, mask, scale).backward()
    median = raw.detach()[..., :1].requires_grad_()
    AbsoluteError().total(median, target, mask, scale).backward()
    assert raw.grad is not None
    assert median.grad is not None
    torch.testing.assert_close(raw.grad[..., 0], median.grad[..., 0])
    assert raw.grad[..., 1:].abs().sum() > 0


def test_the_loss_is_lowest_at_the_quantiles_of_the_data():
    target = torch.linspace(0, 1, 1001)
    loss, best = QuantileLoss((0.1, 0.5, 0.9)), torch.tensor([0.1, 0.5, 0.9])
    lowest = loss.elements(best.expand(1001, 3), target).mean()
    for move in torch.eye(3) * 0.05:
        for outputs in (best + move, best - move):
            assert loss.elements(outputs.expand(1001, 3), target).mean() > lowest


@pytest.mark.parametrize("quantiles", [(0.1, 0.9), (0.5, 0.1, 0.9), (0.1, 0.5, 0.5)])
def test_quantiles_rise_around_the_median(quantiles):
    with pytest.raises(ValueError, match="rising"):
        QuantileLoss(quantiles)
