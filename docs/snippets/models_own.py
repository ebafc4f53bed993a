"""docs/models.md: a model of one's own."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from elinformer import EntropyLinearAttention, Forecaster, KeyState, simulate_freeway
from elinformer.batch import Batch
from elinformer.models import register_model
from elinformer.ops.eala.partitioned import Exchange
from elinformer.training import TrainingConfig


@dataclass(frozen=True)
class SmallConfig:
    """Sizes and options of a Small."""

    window: int  # the sizes it needs, named as in elinformer.models.Sizes
    horizon: int
    n_series: int
    n_channels: int = 1
    n_outputs: int = 1
    width: int = 16  # its own options, with defaults


@register_model("small", SmallConfig)
class Small(nn.Module):
    """A window and an embedding a series, one attention across the series."""

    per_series = ("series.weight",)  # parameters with one row a series

    def __init__(self, config: SmallConfig) -> None:
        super().__init__()
        self.shape = (config.horizon, config.n_channels, config.n_outputs)
        self.window = nn.Linear(config.window * config.n_channels, config.width)
        self.series = nn.Embedding(config.n_series, config.width)
        self.blocks = nn.ModuleList([Block(config.width)])
        self.output = nn.Linear(config.width, math.prod(self.shape))

    def forward(self, batch: Batch) -> Tensor:
        """Forecast (B, S, N, C, K), scaled as the values are."""
        x, key_mask = self.embed(batch)
        for block in self.blocks:
            x = block(x, key_mask)
        return self.head(x, batch)

    def embed(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return tokens (B, N, D), and a mask of the series with something observed."""
        window = torch.where(batch.mask, batch.values, 0).transpose(1, 2).flatten(2)  # (B, N, T C)
        series = self.series.weight if batch.series is None else self.series(batch.series)  # (N, D)
        return self.window(window) + series, batch.mask.any(dim=(1, 3))

    def head(self, x: Tensor, _batch: Batch) -> Tensor:
        """Map tokens to outputs (B, S, N, C, K)."""
        return self.output(x).unflatten(-1, self.shape).transpose(1, 2)


class Block(nn.Module):
    """Attention beside the input."""

    attends = True

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = EntropyLinearAttention(width, num_heads=4, batch_first=True)

    def forward(self, x: Tensor, key_mask: Tensor, exchange: Exchange | None = None) -> Tensor:
        """Attend to the tokens at hand, and to those behind the exchange."""
        return x + self.attention.attend_to_self(x, key_mask=key_mask, exchange=exchange)

    def key_state(self, x: Tensor, key_mask: Tensor) -> KeyState:
        """Return the state of the keys of tokens."""
        return self.attention.key_state(x, key_mask=key_mask)


panel = simulate_freeway(20, 600, freq="15min")
forecaster = Forecaster(12, 12, model={"name": "small", "width": 8}, training=TrainingConfig(epochs=1)).fit(panel)
forecaster.save("run")
print(Forecaster.load("run").predict(panel, series_at_once=5).head())  # unique_id, ds, small_speed_mph, ...
