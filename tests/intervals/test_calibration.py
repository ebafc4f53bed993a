from __future__ import annotations

from statistics import NormalDist

import pytest
import torch

from elinformer.evaluation.losses import QUANTILES
from elinformer.intervals.calibration import Calibration, CalibrationCounts, levels_of

S, N, C = 4, 30, 1
NORMAL = torch.tensor([NormalDist().inv_cdf(q) for q in QUANTILES])
POSITIVE = torch.ones(N, C, dtype=torch.bool)
NO_RANKS = torch.zeros(1, S, N, C, dtype=torch.uint8)


MANY = 1e9
"""Windows that share no step, so many that their number does not matter."""


def a_calibration(scale: torch.Tensor, *, share_observed: float = 1.0, n_windows: int = 200) -> Calibration:
    """Calibrate standard normal quantiles on errors of the standard deviations `scale` (S, N, C)."""
    generator = torch.Generator().manual_seed(0)
    counts = CalibrationCounts(QUANTILES, *scale.shape, n_windows=n_windows)
    for part in (0, 1):
        error = scale * torch.randn(n_windows // 2, *scale.shape, generator=generator)
        mask = torch.rand(error.shape, generator=generator) < share_observed
        counts.update(NORMAL.expand(*error.shape, -1), torch.where(mask, error, torch.nan), mask, part)
    return counts.calibration(POSITIVE, NO_RANKS, MANY)


def coverage(calibration: Calibration, scale: torch.Tensor) -> torch.Tensor:
    """Coverage (S, N, C) of the 80 % interval for fresh errors."""
    error = scale * torch.randn(1000, *scale.shape, generator=torch.Generator().manual_seed(1))
    outputs = calibration.apply(NORMAL.expand(1, *scale.shape, -1))
    return ((outputs[..., 2] <= error) & (error <= outputs[..., 6])).float().mean(0)


def test_intervals_that_are_too_narrow_at_some_steps_and_series_are_widened_there() -> None:
    scale = torch.tensor([0.8, 1.0, 1.2, 1.5])[:, None, None] * torch.linspace(0.5, 2, N)[:, None]
    calibration = a_calibration(scale)
    assert abs(coverage(calibration, scale).mean() - 0.8) < 0.01
    assert (coverage(calibration, scale).mean(0) - 0.8).abs().max() < 0.06
    assert (coverage(calibration, scale).mean((1, 2)) - 0.8).abs().max() < 0.02


def test_gaps_do_not_count() -> None:
    scale = torch.full((S, N, C), 2.0)
    assert abs(coverage(a_calibration(scale, share_observed=0.3), scale).mean() - 0.8) < 0.02


def test_series_that_differ_by_chance_alone_have_nearly_the_factor_of_all_series() -> None:
    calibration = a_calibration(torch.ones(S, N, C), n_windows=20)
    assert (calibration.series - 1).abs().mean() < 0.05


def test_the_median_does_not_change_and_quantiles_do_not_cross() -> None:
    factors = torch.rand(S, C, 9, generator=torch.Generator().manual_seed(0)) * 3 + 0.01
    calibration = Calibration(QUANTILES, factors, torch.ones(N, C, 9), POSITIVE, NO_RANKS)
    outputs = torch.randn(2, S, N, C, 9, generator=torch.Generator().manual_seed(1)).sort(-1).values
    calibrated = calibration.apply(outputs)
    assert torch.equal(calibrated[..., 4], outputs[..., 4])
    assert (calibrated.diff() >= 0).all()


def test_few_windows_make_intervals_wider_but_not_without_end() -> None:
    levels = levels_of(QUANTILES, 1)
    torch.testing.assert_close(levels, 1 - torch.tensor([0.025, 0.05, 0.1, 0.25, 0.75, 0.25, 0.1, 0.05, 0.025]) * 2 / 3)
    assert (levels_of(QUANTILES, 40) <= levels).all()
    assert levels_of(QUANTILES, 40)[2] == pytest.approx(0.91)
    torch.testing.assert_close(levels_of(QUANTILES, MANY), torch.tensor([max(q, 1 - q) for q in QUANTILES]))


def coverage_of_shared_errors(n_windows: int, n_apart: float, generator: torch.Generator) -> float:
    """Mean coverage of the 80 % interval after calibrations on windows whose errors all steps and series share."""
    found, scale = [], torch.ones(1, 2, C)
    for _ in range(100):
        counts = CalibrationCounts(QUANTILES, *scale.shape, n_windows=n_windows)
        for part in (0, 1):
            error = torch.randn(n_windows // 2, 1, 1, 1, generator=generator) * scale
            counts.update(NORMAL.expand(*error.shape, -1), error, torch.ones_like(error, dtype=torch.bool), part)
        outputs = counts.calibration(POSITIVE[:2], NO_RANKS[:, :1, :2], n_apart).apply(NORMAL.expand(1, 1, 2, C, -1))
        found.append(torch.special.ndtr(outputs[..., 6]) - torch.special.ndtr(outputs[..., 2]))
    return float(torch.stack(found).mean())


def test_errors_that_all_series_share_are_covered_as_often_as_the_interval_says() -> None:
    generator, numbers = torch.Generator().manual_seed(0), range(12, 52, 8)
    counted = [coverage_of_shared_errors(n, n, generator) for n in numbers]
    not_counted = [coverage_of_shared_errors(n, MANY, generator) for n in numbers]
    assert abs(sum(counted) / len(counted) - 0.8) < 0.01
    assert sum(not_counted) / len(not_counted) < 0.78


def test_without_any_target_nothing_changes() -> None:
    outputs = NORMAL.expand(1, S, N, C, -1)
    calibration = CalibrationCounts(QUANTILES, S, N, C, n_windows=0).calibration(POSITIVE, NO_RANKS, MANY)
    torch.testing.assert_close(calibration.apply(outputs), outputs)


def test_new_series_have_the_factors_of_all_series() -> None:
    calibration = Calibration(QUANTILES, torch.full((S, C, 9), 2.0), torch.full((N, C, 9), 3.0), POSITIVE, NO_RANKS)
    extended = calibration.with_new_series(torch.tensor([[True], [False]]))
    assert extended.series[:, 0, 0].tolist() == [3.0] * N + [1.0] * 2
    assert extended.ranks.shape == (1, S, N + 2, C)
    assert extended.nonnegative[-2:, 0].tolist() == [True, False]


def test_a_long_horizon_does_not_overflow_the_counts() -> None:
    calibration = a_calibration(torch.full((300, 1, 1), 2.0), n_windows=600)
    assert abs(coverage(calibration, torch.full((300, 1, 1), 2.0)).mean() - 0.8) < 0.01
