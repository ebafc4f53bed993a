"""Means, paired differences with a bootstrap over seeds and days, and ranks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RESAMPLES = 10_000
COVERAGE = 0.95


@dataclass(frozen=True)
class Errors:
    """The errors of one model on one data set.

    Attributes:
        seeds: K seeds.
        sums: (K, D, C), sums over every block of time and channel.
        counts: (D, C), observed targets, the same for every model.
    """

    seeds: tuple[int, ...]
    sums: np.ndarray
    counts: np.ndarray

    def mean_error(self) -> np.ndarray:
        """Return the error of every seed, (K,): the mean over the channels of their mean error."""
        observed = self.counts.sum(0) > 0
        return (self.sums.sum(1) / np.maximum(self.counts.sum(0), 1))[:, observed].mean(1)


@dataclass(frozen=True)
class Difference:
    """Difference of the errors of a model and the reference; positive = the reference is better.

    Attributes:
        relative: The difference over the reference's error.
        low: Lower end of the 95 % interval.
        high: Upper end of the 95 % interval.
        p: Two-sided p value of no difference.
        seeds: Number of paired seeds.
        blocks: Number of days, or of other blocks of time.
    """

    relative: float
    low: float
    high: float
    p: float
    seeds: int
    blocks: int


def paired_difference(model: Errors, reference: Errors, *, resamples: int = RESAMPLES, seed: int = 0) -> Difference:
    """Compare two models on the same seeds and blocks, which are resampled together for both.

    Of n seeds, and of n blocks, n - 1 are drawn: drawing n would give a variance that is too small by (n - 1) / n.

    Source: percentile bootstrap, Efron and Tibshirani 1993, chapter 13, of n - 1 as in Rao and Wu 1988, for seeds and
    blocks crossed as in Owen 2007. The p value is where the interval would end at no difference.
    """
    ours, theirs = _paired(model, reference)
    rng = np.random.default_rng(seed)
    seeds, blocks = (_drawn(n, resamples, rng) for n in (len(ours), len(reference.counts)))
    counts = blocks @ reference.counts  # (R, C)
    drawn = _errors(ours, seeds, blocks, counts) / _errors(theirs, seeds, blocks, counts) - 1
    whole = [Errors((), sums, reference.counts).mean_error().mean() for sums in (ours, theirs)]
    low, high = np.quantile(drawn, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    tail = min((drawn <= 0).sum(), (drawn >= 0).sum())
    p = min(1.0, 2 * (tail + 1) / (resamples + 1))
    return Difference(whole[0] / whole[1] - 1, float(low), float(high), float(p), len(ours), len(reference.counts))


def _drawn(n: int, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Draw how often each of n occurs in a resample, (R, n)."""
    return rng.multinomial(max(1, n - 1), np.full(n, 1 / n), resamples)


def _errors(sums: np.ndarray, seeds: np.ndarray, blocks: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the error of every resample, (R,), up to a factor common to all: see `Errors.mean_error`."""
    by_seed = np.einsum("rd,kdc->rkc", blocks, sums, optimize=True)
    total = np.einsum("rk,rkc->rc", seeds, by_seed)
    return np.nanmean(np.where(counts > 0, total / np.maximum(counts, 1), np.nan), axis=1)


def _paired(model: Errors, reference: Errors) -> tuple[np.ndarray, np.ndarray]:
    """Return the sums (K, D, C) of both models at the seeds that both have."""
    shared = [seed for seed in model.seeds if seed in reference.seeds]
    if shared:
        picked = [errors.sums[[errors.seeds.index(seed) for seed in shared]] for errors in (model, reference)]
        return picked[0], picked[1]
    return model.sums[:1], reference.sums[:1]


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Correct p values for the number of comparisons (Holm 1979)."""
    adjusted: dict[str, float] = {}
    largest = 0.0
    for place, (name, p) in enumerate(sorted(p_values.items(), key=lambda item: item[1])):
        largest = max(largest, min(1.0, (len(p_values) - place) * p))
        adjusted[name] = largest
    return adjusted


def ranks(errors: Mapping[str, float]) -> dict[str, float]:
    """Rank models by error, 1 for the smallest; equal ones share the mean of their ranks."""
    values = np.array(list(errors.values()))
    smaller, equal = (values < values[:, None]).sum(1), (values == values[:, None]).sum(1)
    return dict(zip(errors, (smaller + (equal + 1) / 2).tolist(), strict=True))


def mean_and_sd(values: Sequence[float]) -> tuple[float, float | None]:
    """Return mean and sample standard deviation; None for the deviation of a single value."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None
