"""DLinear: one linear map of the trend and one of the remainder of the window, shared by all series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool1d, pad

from elinformer._options import Options, option
from elinformer._shapes import Float
from elinformer.models.inputs import forward_fill
from elinformer.models.registry import register_model

if TYPE_CHECKING:
    from elinformer.batch import Batch


def _unlike_a_length(steps: int) -> str | None:
    return None if steps % 2 else "an odd trend_length"


@dataclass(frozen=True)
class DLinearConfig(Options):
    """Shape of a DLinear.

    Attributes:
        window: T, input steps.
        horizon: S, output steps.
    """

    window: int
    horizon: int
    n_channels: int = option(1, "C, channels of a series.", at_least=1)
    n_outputs: int = option(1, "K, outputs for every target; the loss says how many.", at_least=1)
    trend_length: int = option(
        25, "Steps that the trend is a moving average over; odd.", at_least=1, check=_unlike_a_length
    )


@register_model("dlinear", DLinearConfig)
class DLinear(nn.Module):
    """Two linear maps of the window: one of its moving average, one of the remainder.

    The model sees neither the series nor the calendar.

    Source: Zeng et al., Are Transformers Effective for Time Series Forecasting?, 2022, arXiv 2205.13504, and the
    authors' code (cure-lab/LTSF-Linear) with `individual` off. docs/models.md lists the differences.
    """

    per_series = ()
    blocks = ()

    def __init__(self, config: DLinearConfig) -> None:
        super().__init__()
        self.config = config
        self.trend = nn.Linear(config.window, config.horizon * config.n_outputs)
        self.rest = nn.Linear(config.window, config.horizon * config.n_outputs)
        for layer in (self.trend, self.rest):
            nn.init.constant_(layer.weight, 1 / config.window)
            with torch.no_grad():
                layer.weight.view(config.horizon, config.n_outputs, -1)[:, 1:] = 0

    def forward(self, batch: Batch) -> Float[Tensor, "B S N C K"]:
        """Forecast the steps after the window: see `ELinFormer.forward`."""
        return self.head(self.embed(batch)[0], batch)

    def embed(self, batch: Batch) -> tuple[Tensor, None]:
        """Return the window without gaps (B, N, C, T), and no key mask."""
        return forward_fill(batch.values, batch.mask).permute(0, 2, 3, 1), None

    def head(self, x: Tensor, batch: Batch) -> Float[Tensor, "B S N C K"]:  # noqa: ARG002 signature of every head
        """Map the window (B, N, C, T) to all horizon steps."""
        trend = self._moving_average(x)
        outputs = self.trend(trend) + self.rest(x - trend)  # (B, N, C, S K)
        return outputs.unflatten(-1, (self.config.horizon, -1)).permute(0, 3, 1, 2, 4)

    def _moving_average(self, x: Tensor) -> Tensor:
        """Average (B, N, C, T) over `trend_length` steps. Beyond the window, its end values are repeated."""
        series = x.flatten(0, 1)  # (B*N, C, T)
        half = self.config.trend_length // 2
        return avg_pool1d(pad(series, (half, half), mode="replicate"), self.config.trend_length, stride=1).view_as(x)
