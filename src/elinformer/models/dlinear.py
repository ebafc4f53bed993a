"""DLinear: trend and remainder of the window, each through one linear map that all series share. Readable alone."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.functional import avg_pool1d, pad

from elinformer._options import Options, option
from elinformer._shapes import Bool, Float, Int
from elinformer.models.gaps import filled_forward
from elinformer.models.registry import register_model


def _unlike_a_length(steps: int) -> str | None:
    return None if steps % 2 else "an odd trend_length"


@dataclass(frozen=True)
class DLinearConfig(Options):
    """The shape of a DLinear.

    Attributes:
        window: T, input steps.
        horizon: S, output steps.
    """

    window: int
    horizon: int
    n_channels: int = option(1, "C, numbers that a series has at every step.", at_least=1)
    trend_length: int = option(
        25, "Steps that the trend is a moving average over; odd.", at_least=1, check=_unlike_a_length
    )


@register_model("dlinear", DLinearConfig)
class DLinear(nn.Module):
    """Two linear maps of the window, of its moving average and of the rest; knows neither series nor calendar.

    Source: Zeng et al., Are Transformers Effective for Time Series Forecasting?, 2022, arXiv 2205.13504, and the
    authors' code (cure-lab/LTSF-Linear) with `individual` off. docs/models.md says what differs.
    """

    per_series = ()  # see elinformer.nn.per_series

    def __init__(self, config: DLinearConfig) -> None:
        super().__init__()
        self.config = config
        self.trend = nn.Linear(config.window, config.horizon)
        self.rest = nn.Linear(config.window, config.horizon)
        for layer in (self.trend, self.rest):
            nn.init.constant_(layer.weight, 1 / config.window)

    def forward(
        self,
        values: Float[Tensor, "B T N C"],
        mask: Bool[Tensor, "B T N C"],
        calendar: Int[Tensor, "B T 2"] | None = None,  # noqa: ARG002 the call of every model
    ) -> Float[Tensor, "B S N C"]:
        """Forecast the `horizon` steps after the window; shapes as `ELinFormer.forward`."""
        x = filled_forward(values, mask).permute(0, 2, 3, 1)  # (B, N, C, T)
        trend = self._moving_average(x)
        return (self.trend(trend) + self.rest(x - trend)).permute(0, 3, 1, 2)

    def _moving_average(self, x: Tensor) -> Tensor:
        """(B, N, C, T) -> (B, N, C, T); beyond its ends the window goes on as it began and ended."""
        series = x.flatten(0, 1)  # (B*N, C, T)
        half = self.config.trend_length // 2
        return avg_pool1d(pad(series, (half, half), mode="replicate"), self.config.trend_length, stride=1).view_as(x)
