from __future__ import annotations

import json
from statistics import NormalDist

import pytest
import torch

from elinformer.evaluation import IntervalSums
from elinformer.evaluation.losses import QUANTILES

S, N, C = 2, 3, 1


def sums_of(outputs: torch.Tensor, target: torch.Tensor, mask: torch.Tensor, *, batch: int = 1000) -> IntervalSums:
    sums = IntervalSums(QUANTILES, *target.shape[1:])
    for parts in zip(outputs.split(batch), target.split(batch), mask.split(batch), strict=True):
        sums.update(*parts)
    return sums


@pytest.fixture(scope="module")
def normal() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Quantiles of a standard normal distribution, numbers drawn from it, and a mask."""
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(3000, S, N, C, generator=generator)
    mask = torch.rand(target.shape, generator=generator) < 0.8
    outputs = torch.tensor([NormalDist().inv_cdf(q) for q in QUANTILES]).expand(*target.shape, -1)
    return outputs, torch.where(mask, target, torch.nan), mask


def test_true_quantiles_cover_as_they_say_and_score_as_theory_says(normal: tuple[torch.Tensor, ...]) -> None:
    report = sums_of(*normal).report()
    assert report["coverage"] == pytest.approx({"50": 0.5, "80": 0.8, "90": 0.9, "95": 0.95}, abs=0.015)
    assert report["width"]["80"] == pytest.approx(2 * 1.2816, abs=1e-3)
    assert report["crps"] == pytest.approx(0.5642, rel=0.05)  # of a normal distribution: 1 / sqrt(pi)
    assert report["wis"] == pytest.approx(2 * report["pinball"])


def test_the_weighted_interval_score_is_the_sum_of_interval_scores_of_its_definition() -> None:
    outputs, target = torch.arange(9.0).reshape(1, 1, 1, 1, 9), torch.full((1, 1, 1, 1), 9.5)
    report = sums_of(outputs, target, torch.ones(1, 1, 1, 1, dtype=torch.bool)).report()
    total = 0.5 * abs(9.5 - 4)
    for i, alpha in enumerate((0.05, 0.1, 0.2, 0.5)):
        low, high = i, 8 - i
        total += alpha / 2 * ((high - low) + 2 / alpha * (9.5 - high))
    assert report["wis"] == pytest.approx(total / 4.5)


def test_batches_do_not_change_scores_and_gaps_do_not_count(normal: tuple[torch.Tensor, ...]) -> None:
    outputs, target, mask = normal
    whole, batches = sums_of(outputs, target, mask), sums_of(outputs, target, mask, batch=7)
    assert batches.report()["wis"] == pytest.approx(whole.report()["wis"])
    assert whole.step_count.sum() == mask.sum()


def test_scores_by_horizon_and_by_series_are_those_of_their_targets(normal: tuple[torch.Tensor, ...]) -> None:
    outputs, target, mask = normal
    target = target * torch.tensor([1.0, 3.0])[:, None, None] * torch.tensor([1.0, 1.0, 0.1])[:, None]
    report = sums_of(outputs, target, mask).report()
    assert report["by_horizon"]["1"]["coverage"]["80"] > report["by_horizon"]["2"]["coverage"]["80"] + 0.1
    assert report["by_series"]["coverage"]["80"][2] > 0.95
    first = sums_of(outputs[:, :, :1], target[:, :, :1], mask[:, :, :1]).report()
    assert report["by_series"]["wis"][0] == pytest.approx(first["wis"], rel=1e-4)


def test_a_series_without_targets_has_no_score(normal: tuple[torch.Tensor, ...]) -> None:
    outputs, target, mask = normal
    report = sums_of(outputs, target, mask & (torch.arange(N) > 0)[:, None]).report()
    assert report["by_series"]["coverage"]["80"][0] is None
    json.dumps(report, allow_nan=False)
