from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
import torch

from elinformer.evaluation.losses import QUANTILES
from elinformer.intervals.scenarios import normal_scores, ranks_of, scenarios

S, N, C = 6, 8, 1
NORMAL = np.array([NormalDist().inv_cdf(q) for q in QUANTILES], np.float32)


def errors_with_a_shared_part(n: int, seed: int) -> torch.Tensor:
    """Standard normal errors (n, S, N, C) with a correlation of 0.8 between series and steps."""
    generator = torch.Generator().manual_seed(seed)
    shared = torch.randn(n, 1, 1, 1, generator=generator)
    return 0.8**0.5 * shared + 0.2**0.5 * torch.randn(n, S, N, C, generator=generator)


def paths(n: int = 200, seed: int = 0, *, independent: bool = False) -> np.ndarray:
    errors = errors_with_a_shared_part(200, 0)
    if independent:
        errors = torch.randn(errors.shape, generator=torch.Generator().manual_seed(0))
    outputs = np.broadcast_to(5 + 2 * NORMAL, (S, N, C, len(QUANTILES)))
    return scenarios(outputs, QUANTILES, ranks_of(errors.half()).numpy(), n, seed)


def test_scenarios_have_the_quantiles_of_the_forecast() -> None:
    expected = [NormalDist(5, 2).inv_cdf(q) for q in (0.1, 0.25, 0.75, 0.9)]
    assert np.quantile(paths(), [0.1, 0.25, 0.75, 0.9]) == pytest.approx(expected, abs=0.05)


def test_the_interval_of_a_sum_and_of_a_maximum_covers_as_it_says_and_that_of_independent_draws_does_not() -> None:
    truth = 5 + 2 * errors_with_a_shared_part(500, 1).numpy()
    for statistic in (lambda x: x.sum((1, 2, 3)), lambda x: x.max((1, 2, 3))):
        joint, apart = (
            np.quantile(statistic(paths(400, independent=independent)), [0.1, 0.9]) for independent in (False, True)
        )
        happened = statistic(truth)
        assert 0.75 <= np.mean((joint[0] <= happened) & (happened <= joint[1])) <= 0.85
        assert np.mean((apart[0] <= happened) & (happened <= apart[1])) < 0.6


def test_the_same_seed_draws_the_same_scenarios() -> None:
    np.testing.assert_array_equal(paths(5, seed=3), paths(5, seed=3))
    assert (paths(5, seed=3) != paths(5, seed=4)).any()


def test_more_scenarios_than_past_windows_are_all_different() -> None:
    assert len(np.unique(paths(500)[:, 0, 0, 0])) == 500


def test_positions_are_those_of_the_quantiles_and_go_on_beyond_them() -> None:
    outputs = torch.from_numpy(3 + 2 * NORMAL).expand(1, 1, 4, 1, -1)
    target = torch.tensor([3.0, 3 + 2 * 0.5, 3 + 2 * 4, 0]).reshape(1, 1, 4, 1)
    mask = torch.tensor([True, True, True, False]).reshape(1, 1, 4, 1)
    scores = normal_scores(outputs, target, mask, QUANTILES).flatten()
    assert scores[:3].tolist() == pytest.approx([0.0, 0.5, 4.0], abs=0.01)
    assert scores[3].isnan()


def test_ranks_of_a_step_and_series_are_all_numbers_and_rise_with_the_error() -> None:
    scores = torch.tensor([3.0, torch.nan, -1.0, 2.0]).reshape(4, 1, 1, 1)
    ranks = ranks_of(scores).flatten()
    assert sorted(ranks.tolist()) == [0, 1, 2, 3]
    assert ranks[2] < ranks[3] < ranks[0]
