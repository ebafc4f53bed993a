"""docs/models.md: a model of one's own."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from elinformer import Forecaster, load_dataset
from elinformer.models import register_model
from elinformer.training import TrainingConfig


@dataclass(frozen=True)
class PullConfig:
    """Sizes and options of a Pull."""

    window: int  # the sizes it needs, as elinformer.models.Sizes calls them
    horizon: int
    n_series: int
    width: int = 16  # its own options, with defaults


@register_model("pull", PullConfig)
class Pull(nn.Module):
    """Every series is pulled from its window to a level of its own."""

    def __init__(self, config: PullConfig) -> None:
        super().__init__()
        self.series = nn.Embedding(config.n_series, config.width)
        self.level = nn.Linear(config.width, config.horizon)
        self.window = nn.Linear(config.window, config.horizon)

    def forward(self, values: Tensor, mask: Tensor, _calendar: Tensor | None = None) -> Tensor:
        """(B, T, N, C) and its mask -> (B, S, N, C)."""
        window = torch.where(mask, values, 0).permute(0, 2, 3, 1)  # (B, N, C, T)
        level = self.level(self.series.weight)[:, None]  # (N, 1, S)
        return (self.window(window) + level).permute(0, 3, 1, 2)  # (B, S, N, C)


forecaster = Forecaster(24, 12, model={"name": "pull", "width": 8}, training=TrainingConfig(epochs=1))
forecaster.fit(load_dataset("nyc-airports"))
forecaster.save("run")
print(Forecaster.load("run").predict(load_dataset("nyc-airports")).head())  # unique_id, ds, pull
