"""Paired differences, Holm's correction and ranks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elinformer.comparison.statistics import Errors, holm, mean_and_sd, paired_difference, ranks

SEEDS = (0, 1, 2)


def errors(seed: int = 0, *, seeds: tuple[int, ...] = SEEDS, days: int = 12, channels: int = 2) -> Errors:
    rng = np.random.default_rng(seed)
    counts = np.random.default_rng(99).integers(5, 20, (days, channels)).astype(float)
    day = np.random.default_rng(98).uniform(1, 5, (days, channels))  # hard and easy days are the same for all
    return Errors(seeds, day * counts * rng.uniform(0.9, 1.1, (len(seeds), days, channels)), counts)


def test_the_error_is_the_mean_over_channels_of_their_mean_error() -> None:
    found = Errors((0,), np.array([[[2.0, 30.0], [4.0, 0.0]]]), np.array([[1.0, 3.0], [2.0, 0.0]]))
    assert found.mean_error().tolist() == [(6 / 3 + 30 / 3) / 2]


def test_a_channel_that_is_never_observed_is_left_out() -> None:
    found = Errors((0,), np.array([[[2.0, 0.0], [4.0, 0.0]]]), np.array([[1.0, 0.0], [2.0, 0.0]]))
    assert found.mean_error().tolist() == [2.0]
    assert paired_difference(found, found).relative == 0.0


def test_a_model_does_not_differ_from_itself() -> None:
    found = paired_difference(errors(), errors())
    assert (found.relative, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)
    assert (found.seeds, found.blocks) == (3, 12)


def test_a_model_that_errs_a_tenth_more_everywhere_differs_by_exactly_that_however_much_days_vary() -> None:
    reference = errors()
    worse = Errors(SEEDS, 1.1 * reference.sums, reference.counts)
    found = paired_difference(worse, reference)
    assert [found.relative, found.low, found.high] == pytest.approx([0.1, 0.1, 0.1])
    assert found.p < 0.001


def test_the_difference_is_drawn_as_a_slow_bootstrap_draws_it() -> None:
    model, reference = errors(1), errors(2)
    found = paired_difference(model, reference, resamples=200, seed=5)
    rng = np.random.default_rng(5)
    seeds = rng.multinomial(2, np.full(3, 1 / 3), 200)
    days = rng.multinomial(11, np.full(12, 1 / 12), 200)
    drawn = []
    for times_seed, times_day in zip(seeds, days, strict=True):
        means = []
        for one in (model, reference):
            picked = np.repeat(np.repeat(one.sums, times_seed, 0), times_day, 1)
            counts = np.repeat(one.counts, times_day, 0)
            means.append((picked.sum((0, 1)) / (2 * counts.sum(0))).mean())
        drawn.append(means[0] / means[1] - 1)
    assert [found.low, found.high] == pytest.approx(np.quantile(drawn, [0.025, 0.975]))


def test_chance_alone_is_rarely_significant_and_a_true_difference_mostly_is() -> None:
    def p(factor: float, seed: int) -> float:
        model, reference = errors(2 * seed, days=20), errors(2 * seed + 1, days=20)
        return paired_difference(Errors(SEEDS, factor * model.sums, model.counts), reference, resamples=400).p

    assert sum(p(1.0, seed) < 0.05 for seed in range(40)) <= 8
    assert sum(p(1.05, seed) < 0.05 for seed in range(40)) >= 36


def test_the_interval_is_as_wide_as_the_variance_of_a_mean_over_seeds_says() -> None:
    rng = np.random.default_rng(3)
    level = rng.normal(1, 0.01, 30)
    model = Errors(tuple(range(30)), level[:, None, None] * np.ones((30, 1, 1)), np.ones((1, 1)))
    reference = Errors(model.seeds, np.ones((30, 1, 1)), model.counts)
    found = paired_difference(model, reference)
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * level.std(ddof=1) / 30**0.5, rel=0.05)


def test_only_seeds_that_both_have_are_paired() -> None:
    model, reference = errors(1, seeds=(2, 7)), errors(2)
    found = paired_difference(model, reference)
    alone = paired_difference(
        Errors((2,), model.sums[:1], model.counts), Errors((2,), reference.sums[2:], model.counts)
    )
    assert found == alone
    assert found.seeds == 1


def test_holm_multiplies_the_smallest_p_by_all_of_them_and_never_lets_an_order_change() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})
    assert holm({"a": 0.6, "b": 0.7}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


@given(st.dictionaries(st.text(max_size=3), st.floats(0.001, 1), min_size=1, max_size=8))
def test_adjusted_p_values_are_no_smaller_and_keep_their_order(values: dict[str, float]) -> None:
    adjusted = holm(values)
    assert all(values[name] <= adjusted[name] <= 1 for name in values)
    ordered = sorted(values, key=values.__getitem__)
    assert all(adjusted[a] <= adjusted[b] for a, b in pairwise(ordered))


def test_equal_errors_share_their_ranks() -> None:
    assert ranks({"a": 2.0, "b": 1.0, "c": 2.0, "d": 5.0}) == {"a": 2.5, "b": 1.0, "c": 2.5, "d": 4.0}


def test_a_single_seed_has_no_standard_deviation() -> None:
    assert mean_and_sd([2.0]) == (2.0, None)
    assert mean_and_sd([1.0, 3.0]) == (2.0, pytest.approx(2**0.5))
