"""Linear effects of the future covariates, measured before training, so that the model learns what they leave over."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from elinformer.evaluation import targets_of
from elinformer.models.inputs import earlier_values
from elinformer.models.scaled import scaled_for_effects, window_scale
from elinformer.training.start import LIMIT, fitted_windows, simple_weights

if TYPE_CHECKING:
    from torch import Tensor

    from elinformer.batch import Batch
    from elinformer.data.windows import WindowDataset
    from elinformer.models.scaled import ScaledModel

ROUNDS = 2
"""Rounds: the effects follow from the weights of the simple forecast, and these from what the effects leave over."""
RIDGES = (0.003, 0.03, 0.3, 3.0)
"""Penalties of effects of a series that differ from those of all series, in units of the mean square of a covariate."""
CHECKED_SHARE = 0.25
"""Share of the windows, the newest ones, that choose the penalty, or no effects."""
TOKENS_AT_ONCE = 1_000
"""Series times windows that are measured together."""
MAX_NUMBERS = 3e7
"""Products of covariates that memory may hold; with more, there are no effects before training."""


class _Products(NamedTuple):
    """Sums over windows of what the simple forecast leaves over.

    Attributes:
        squares: (N, C, F, F), products of two covariates.
        matches: (N, C, F), products of a covariate and the target.
    """

    squares: Tensor
    matches: Tensor

    def plus(self, other: _Products) -> _Products:
        """Return the sums over more windows."""
        return _Products(*(one + another for one, another in zip(self, other, strict=True)))

    def gain(self, effects: Tensor) -> float:
        """Return by how much effects (N, C, F) lower the sum of the squared errors."""
        return float((2 * effects * self.matches - effects * (self.squares @ effects[..., None])[..., 0]).sum())


@torch.no_grad()
def measure_covariate_effects(scaled: ScaledModel, windows: WindowDataset) -> None:
    """Set the linear effects of a model with future covariates, by ridge regression for every series.

    They explain by how much the values differ from the simple forecast, from how much the covariates differ from the
    same forecast of them: a common trend is no effect. If the newest training windows do not confirm them, they stay
    zero.

    Args:
        scaled: The untrained model, with its scaling.
        windows: Training windows.

    Source: regression with autoregressive errors, by the iteration of Cochrane and Orcutt (1949).
    """
    effects: Tensor | None = getattr(scaled.model, "effects", None)
    if effects is None or effects.numel() * effects.shape[-1] > MAX_NUMBERS:
        return
    effects.zero_()
    for _ in range(ROUNDS):
        effects.copy_(_effects(scaled, windows, simple_weights(scaled, windows)))


def _effects(scaled: ScaledModel, windows: WindowDataset, weights: Tensor) -> Tensor:
    """Return the effects (N, C, F) beside a simple forecast with the weights (S, n_lags + 2)."""
    config: Any = scaled.model.config
    chosen = fitted_windows(windows, config.n_series)
    n_known = max(1, round((1 - CHECKED_SHARE) * len(chosen)))
    known = _sums(scaled, windows, chosen[:n_known], weights)
    checked = _sums(scaled, windows, chosen[n_known:] or chosen, weights)
    gains = {ridge: checked.gain(_solved(known, ridge)) for ridge in RIDGES}
    best = max(gains, key=lambda ridge: gains[ridge])
    found = _solved(known.plus(checked), best)
    return (found if gains[best] > 0 else torch.zeros_like(found)).float()


def _sums(scaled: ScaledModel, windows: WindowDataset, chosen: list[int], weights: Tensor) -> _Products:
    at_once = max(1, TOKENS_AT_ONCE // len(scaled.mean))
    groups = (chosen[i : i + at_once] for i in range(0, len(chosen), at_once))
    return reduce(_Products.plus, (_products(scaled, windows[group], weights) for group in groups))


def _solved(products: _Products, ridge: float) -> Tensor:
    """Return the effects (N, C, F) of every series, shrunk towards those of all series, which are shrunk to zero."""
    squares, matches = products
    eye = torch.eye(squares.shape[-1], dtype=squares.dtype)
    together, size = squares.sum((0, 1)), squares.diagonal(dim1=-2, dim2=-1).mean(-1)
    common = torch.linalg.solve(together + (ridge * size.sum() + 1e-9) * eye, matches.sum((0, 1)))
    penalty = ridge * size.mean() + 1e-9
    return torch.linalg.solve(squares + penalty * eye, matches + penalty * common)


def _products(scaled: ScaledModel, batch: Batch, weights: Tensor) -> _Products:
    """Return the products of B windows: of what the simple forecast leaves over of targets and of covariates."""
    config: Any = scaled.model.config
    if batch.future is None:
        raise AssertionError("the model was made for future covariates")
    mean, std = scaled.mean, scaled.std
    target, mask = targets_of(batch)
    values, target = ((x - mean).div(std).float() for x in (batch.values, target))
    n_channels, n_inputs = values.shape[3], values.shape[1]
    future = scaled_for_effects(scaled.scaled_covariate("future", batch.future))
    future = future.expand(-1, -1, values.shape[2], -1)[..., None, :].expand(-1, -1, -1, n_channels, -1)
    every = torch.cat((values[..., None], future[:, :n_inputs]), -1).flatten(3)  # (B, T, N, C * (1 + F))
    seen = batch.mask[..., None].expand(-1, -1, -1, -1, 1 + future.shape[-1]).flatten(3)
    every, seen = (x[:, config.n_means * config.horizon :] for x in (every, seen))
    level = window_scale(every, seen, config.window).level
    earlier = earlier_values(every - level, seen, -level, config.n_lags, config.horizon)
    expected = (torch.einsum("sl,blsnc->bsnc", weights, earlier) + level).unflatten(3, (n_channels, -1))
    y, x = target - expected[..., 0], future[:, n_inputs:] - expected[..., 1:]
    y, x = torch.where(mask, y.clamp(-LIMIT, LIMIT), 0).double(), torch.where(mask[..., None], x, 0).double()
    return _Products(torch.einsum("bsncf,bsncg->ncfg", x, x), torch.einsum("bsncf,bsnc->ncf", x, y))
