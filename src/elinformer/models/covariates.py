"""Layers for covariates: an embedding of those of the window, and the effect of those of every horizon step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from elinformer._shapes import Float
from elinformer.models.inputs import periodic_features

if TYPE_CHECKING:
    from elinformer.batch import Batch

RANK = 16
"""Features of the covariates of a horizon step. Their effect on a forecast is a weighted sum, and the token chooses the
weights: the cost is that of one linear map of the token, and of one small network a step."""

HIDDEN_WIDTH = 64
"""Hidden units of this network."""

INITIAL_SCALE = 3.0
"""Factor on PyTorch's initial weights of this network, so that its features bend within the range of the covariates."""

HARMONICS = 2
"""Sines and cosines of the time of day that the network reads: a holiday or a hot hour has another effect at noon than
at night."""

STEPS_PER_TOKEN = 36
"""Horizon steps whose features take the memory of a token."""


def with_mask(covariates: Tensor) -> Tensor:
    """Return covariates (..., 2 F): those of (..., F) with 0 instead of NaN, then 1 where they are observed, else 0."""
    missing = covariates.isnan()
    return torch.cat((torch.where(missing, 0, covariates), (~missing).to(covariates.dtype)), -1)


class CovariateEmbedding(nn.Module):
    """Sum of linear maps: of the covariates of the window, of those of the horizon, and of the static ones.

    Args:
        window: T, input steps.
        horizon: S, output steps.
        n_past: P.
        n_future: F.
        n_static: G.
        width: Width of the embedding.
    """

    def __init__(self, window: int, horizon: int, *, n_past: int, n_future: int, n_static: int, width: int) -> None:
        super().__init__()
        self.window_steps, self.horizon = window, horizon
        inputs = {"past": window * n_past, "window": window * n_future, "future": horizon * n_future}
        inputs = {**inputs, "static": n_static}
        self.maps = nn.ModuleDict({name: nn.Linear(2 * n, width) for name, n in inputs.items() if n})

    def forward(self, batch: Batch) -> Float[Tensor, "B N E"]:
        """Return embeddings (B, N, width); N is 1 where all series share all covariates."""
        found: list[Tensor] = []
        for name, steps in (
            ("past", (batch.past, -self.window_steps, None)),
            ("window", (batch.future, -self.window_steps - self.horizon, -self.horizon)),
            ("future", (batch.future, -self.horizon, None)),
        ):
            covariates, start, stop = steps
            if name in self.maps and covariates is not None:
                found.append(self.maps[name](with_mask(covariates[:, start:stop]).transpose(1, 2).flatten(2)))
        if "static" in self.maps and batch.static is not None:
            found.append(self.maps["static"](with_mask(batch.static))[None])
        return sum(found[1:], found[0])


class HorizonEffect(nn.Module):
    """Effect of the future covariates of a horizon step on the forecast of this step, by the time of day.

    It is zero before training.

    Args:
        n_future: F, future covariates.
        width: Width of a token.
        shape: (C, K), channels and outputs.
        n_slots: Slots of the day, 0 without a calendar.
    """

    times: Tensor

    def __init__(self, n_future: int, width: int, shape: tuple[int, int], *, n_slots: int = 0) -> None:
        super().__init__()
        self.shape = shape
        times = periodic_features(n_slots, 2 * HARMONICS) if n_slots else torch.zeros(1, 0)
        self.register_buffer("times", times, persistent=False)
        n_inputs = 2 * n_future + times.shape[1]
        self.features = nn.Sequential(nn.Linear(n_inputs, HIDDEN_WIDTH), nn.GELU(), nn.Linear(HIDDEN_WIDTH, RANK))
        with torch.no_grad():
            for weights in self.features.parameters():
                weights.mul_(INITIAL_SCALE)
        self.weights = nn.Linear(width, shape[0] * shape[1] * RANK)
        nn.init.zeros_(self.weights.weight)
        nn.init.zeros_(self.weights.bias)

    def forward(self, tokens: Tensor, future: Tensor, slots: Tensor | None = None) -> Float[Tensor, "B S N C K"]:
        """Return what the covariates add to the outputs.

        Args:
            tokens: (B, N, D), normalised.
            future: (B, S, N, F) or (B, S, 1, F), the covariates of the horizon, NaN where missing.
            slots: (B, S), slots of the day, 0 = neutral; None = neutral.
        """
        times = self.times[torch.zeros_like(future[:, :, 0, 0], dtype=torch.long) if slots is None else slots]
        times = times.to(future.dtype)[:, :, None].expand(*future.shape[:3], -1)
        features = self.features(torch.cat((with_mask(future), times), -1))  # (B, S, N or 1, R)
        weights = self.weights(tokens).unflatten(-1, (*self.shape, RANK))  # (B, N, C, K, R)
        return torch.einsum("bsnr,bnckr->bsnck", features, weights)
