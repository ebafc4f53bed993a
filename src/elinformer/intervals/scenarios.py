"""Joint scenarios: paths of all series whose errors hang together as those of the validation part did.

The values come from the quantiles of the forecast, the dependence between steps, series and channels from the ranks of
past errors. The rank of a past error among the past errors of its step and series says which quantile a scenario takes
there: the Schaake shuffle (Clark et al. 2004, doi 10.1175/1525-7541(2004)005<0243:TSSAMF>2.0.CO;2) with errors in the
place of observations, as in empirical copula coupling (Schefzik et al. 2013, doi 10.1214/13-STS443). Time and memory
grow with the number of series, not with its square.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

MAX_PAST = 200
"""Past windows whose errors are kept at most."""

PAST_VALUES = 40_000_000
"""Past errors that are kept at most, a byte each, where there are more than `MIN_PAST` windows."""

MIN_PAST = 20


def n_past(n_windows: int, values_per_window: int) -> int:
    """Return the number of past windows to keep, out of `n_windows`."""
    return min(n_windows, MAX_PAST, max(MIN_PAST, PAST_VALUES // values_per_window))


def normal_scores(outputs: Tensor, target: Tensor, mask: Tensor, quantiles: Sequence[float]) -> Tensor:
    """Return the positions (B, S, N, C) of targets among their quantiles, as standard normal numbers, in float16.

    A target at the quantile 0.975 has 1.96. Between quantiles and beyond them the line through two neighbours is used.

    Args:
        outputs: (B, S, N, C, K), rising.
        target: (B, S, N, C).
        mask: (B, S, N, C), True = the target was observed. The position of the others is NaN.
        quantiles: The K quantiles.
    """
    knots = _knots(quantiles).to(outputs)
    above = (target[..., None] > outputs).sum(-1, keepdim=True).clamp(1, len(quantiles) - 1)
    low, high = outputs.gather(-1, above - 1), outputs.gather(-1, above)
    share = (target[..., None] - low) / (high - low).clamp_min(torch.finfo(outputs.dtype).tiny)
    scores = knots[above - 1] + share * (knots[above] - knots[above - 1])
    return torch.where(mask, scores.squeeze(-1).clamp(-100, 100), torch.nan).half()


def ranks_of(scores: Tensor, seed: int = 0) -> Tensor:
    """Return the ranks (M, S, N, C), as bytes from 0 to M - 1, of every error among those of its step and series.

    Args:
        scores: (M, S, N, C), NaN where nothing was observed; such a cell has a random position. M is at most 256.
        seed: Seed of these, and of the order of equal scores.
    """
    ranks = torch.empty(scores.shape, dtype=torch.uint8)
    generator = torch.Generator().manual_seed(seed)
    for start in range(0, scores.shape[2], 64):  # a few series at a time: sorting takes memory
        part = scores[:, :, start : start + 64].float()
        random = torch.randn(part.shape, generator=generator)
        part = torch.where(part.isnan(), random, part + 1e-3 * random)
        ranks[:, :, start : start + 64] = part.argsort(0).argsort(0).to(torch.uint8)
    return ranks


def scenarios(outputs: np.ndarray, quantiles: Sequence[float], ranks: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Return scenarios (n, S, N, C) of a forecast.

    Args:
        outputs: (S, N, C, K), calibrated quantiles.
        quantiles: The K quantiles.
        ranks: (M, S, N, C), ranks of past errors.
        n: Number of scenarios. Past windows are drawn without repetition, and again where n is larger than M.
        seed: Seed of the draw.
    """
    generator, m = np.random.default_rng(seed), len(ranks)
    drawn = [past for _ in range(-(-n // m)) for past in generator.permutation(m)][:n]
    knots = _knots(quantiles).numpy()
    slopes = np.diff(outputs, axis=-1) / np.diff(knots).astype(np.float32)
    paths = np.empty((n, *outputs.shape[:-1]), outputs.dtype)
    for i, past in enumerate(drawn):
        position = (ranks[past] + generator.random(ranks.shape[1:], np.float32)) / m
        score = _inverse_normal(position)
        low = np.clip(np.searchsorted(knots, score) - 1, 0, len(knots) - 2)[..., None]
        start, slope = (np.take_along_axis(x, low, -1)[..., 0] for x in (outputs, slopes))
        paths[i] = start + slope * (score - knots[low[..., 0]])
    return paths


def _inverse_normal(position: np.ndarray) -> np.ndarray:
    limit = np.float32(1e-6)
    return torch.special.ndtri(torch.from_numpy(np.clip(position, limit, 1 - limit))).numpy()


def _knots(quantiles: Sequence[float]) -> Tensor:
    return torch.tensor([NormalDist().inv_cdf(q) for q in quantiles])
