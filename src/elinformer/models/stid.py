"""STID: an MLP of the window of a series, joined with embeddings of the series and the time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from elinformer._options import option
from elinformer._shapes import Float
from elinformer.models.inputs import DAYS, append_calendar, calendar_of_window, embed_or_zero, forward_fill
from elinformer.models.registry import SeriesSizes, register_model
from elinformer.nn.embeddings import ScaledEmbedding

if TYPE_CHECKING:
    from elinformer.batch import Batch


@dataclass(frozen=True)
class STIDConfig(SeriesSizes):
    """Shape of an STID; the defaults are those of its authors. Its sizes are those of `SeriesSizes`."""

    window_width: int = option(32, "Width of the embedded window.", at_least=1)
    series_width: int = option(32, "Width of the embedding of a series.", at_least=1)
    calendar_width: int = option(
        32,
        "Width of the embedding of the slot of the day, and of the day of the week; used where there is a calendar.",
        at_least=1,
    )
    n_layers: int = option(3, "Residual blocks.", at_least=1)
    dropout: float = option(0.15, "Share of hidden units of the blocks that training drops.", at_least=0, below=1)
    embedding_rate: float = option(
        1.0, "Learning rate of the embeddings of series, slots and days, as a multiple of that of the rest.", above=0
    )

    @property
    def n_features(self) -> int:
        """Inputs of a step: the channels, the time of day and the day of the week."""
        return self.n_channels + (2 if self.n_slots else 0)

    @property
    def width(self) -> int:
        """D: all embeddings side by side."""
        return self.window_width + self.series_width + (2 * self.calendar_width if self.n_slots else 0)


@register_model("stid", STIDConfig)
class STID(nn.Module):
    """Forecast of every series from its window, its embedding and the time, without the other series.

    Source: Shao et al., Spatial-Temporal Identity: A Simple yet Effective Baseline for Multivariate Time Series
    Forecasting, 2022, arXiv 2208.05233, and the authors' code (BasicTS). docs/models.md lists the differences.
    """

    per_series = ("series.weight",)

    def __init__(self, config: STIDConfig) -> None:
        super().__init__()
        self.config = config
        self.window = nn.Linear(config.window * config.n_features, config.window_width)
        rate = config.embedding_rate
        self.series = _table(config.n_series, config.series_width, rate)
        if config.n_slots:
            self.slot = _table(config.n_slots, config.calendar_width, rate)
            self.day = _table(DAYS, config.calendar_width, rate)
        self.blocks = nn.ModuleList(Block(config.width, config.dropout) for _ in range(config.n_layers))
        self.output = nn.Linear(config.width, config.horizon * config.n_channels * config.n_outputs)

    def forward(self, batch: Batch) -> Float[Tensor, "B S N C K"]:
        """Forecast the steps after the window: see `ELinFormer.forward`."""
        x, key_mask = self.embed(batch)
        for block in self.blocks:
            x = block(x, key_mask)
        return self.head(x, batch)

    def embed(self, batch: Batch) -> tuple[Tensor, None]:
        """Return the tokens (B, N, D), and no key mask: series do not see each other."""
        x, time = forward_fill(batch.values, batch.mask), []
        if self.config.n_slots:
            calendar = calendar_of_window(batch, self.config.n_slots)[..., :2]
            x = append_calendar(x, calendar, self.config.n_slots, day_unit=1 / DAYS)
            slot, day = calendar[:, -1, None].unbind(-1)  # (B, 1) each
            time = [embed_or_zero(self.slot, slot), embed_or_zero(self.day, day)]
        window = self.window(x.transpose(1, 2).flatten(2))  # (B, N, window_width)
        embeddings = (window, self.series.select_rows(batch.series), *time)
        return torch.cat([x.expand(*window.shape[:2], -1) for x in embeddings], -1), None

    def head(self, x: Tensor, batch: Batch) -> Float[Tensor, "B S N C K"]:  # noqa: ARG002 signature of every head
        """Map tokens (B, N, D) to all horizon steps."""
        shape = (self.config.horizon, self.config.n_channels, self.config.n_outputs)
        return self.output(x).unflatten(-1, shape).transpose(1, 2)


class Block(nn.Module):
    """Residual block of two linear layers with a ReLU between them."""

    attends = False

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, width))

    def forward(self, x: Tensor, key_mask: None = None, exchange: None = None) -> Tensor:  # noqa: ARG002 signature of every block
        """Map each token of (B, N, D) by itself to (B, N, D)."""
        return x + self.layers(x)


def _table(n: int, width: int, rate: float) -> ScaledEmbedding:
    table = ScaledEmbedding(n, width, rate)
    table.set_rows(nn.init.xavier_uniform_(table.weight))
    return table
