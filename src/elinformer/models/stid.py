"""STID: the window of a series joined with who it is and what time it is, through an MLP. Readable alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from elinformer._options import Options, option
from elinformer._shapes import Bool, Float, Int
from elinformer.models.gaps import filled_forward
from elinformer.models.moments import DAYS, embedded, needed, with_time
from elinformer.models.registry import register_model
from elinformer.nn.scaled_embedding import ScaledEmbedding


@dataclass(frozen=True)
class STIDConfig(Options):
    """The shape of an STID; the defaults are those of its authors.

    Attributes:
        window: T, input steps.
        horizon: S, output steps.
        n_series: N, series that have an embedding of their own.
    """

    window: int
    horizon: int
    n_series: int
    n_channels: int = option(1, "C, numbers that a series has at every step.", at_least=1)
    n_slots: int = option(
        0, "Slots of a day in the calendar (288 for steps of 5 minutes); 0 = no calendar.", at_least=0
    )
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
        """Numbers a step: the channels, and the time of day and the day of the week."""
        return self.n_channels + (2 if self.n_slots else 0)

    @property
    def width(self) -> int:
        """D: all embeddings side by side."""
        return self.window_width + self.series_width + (2 * self.calendar_width if self.n_slots else 0)


@register_model("stid", STIDConfig)
class STID(nn.Module):
    """Forecasts every series by itself, from its window, its identity and the time.

    Source: Shao et al., Spatial-Temporal Identity: A Simple yet Effective Baseline for Multivariate Time Series
    Forecasting, 2022, arXiv 2208.05233, and the authors' code (BasicTS). docs/models.md says what differs.
    """

    per_series = ("series.weight",)  # see elinformer.nn.per_series

    def __init__(self, config: STIDConfig) -> None:
        super().__init__()
        self.config = config
        self.window = nn.Linear(config.window * config.n_features, config.window_width)
        rate = config.embedding_rate
        self.series = _table(config.n_series, config.series_width, rate)
        if config.n_slots:
            self.slot = _table(config.n_slots, config.calendar_width, rate)
            self.day = _table(DAYS, config.calendar_width, rate)
        self.blocks = nn.Sequential(*(Block(config.width, config.dropout) for _ in range(config.n_layers)))
        self.head = nn.Linear(config.width, config.horizon * config.n_channels)

    def forward(
        self,
        values: Float[Tensor, "B T N C"],
        mask: Bool[Tensor, "B T N C"],
        calendar: Int[Tensor, "B T 2"] | None = None,
    ) -> Float[Tensor, "B S N C"]:
        """Forecast the `horizon` steps after the window; shapes as `ELinFormer.forward`."""
        x, moment = filled_forward(values, mask), []
        if self.config.n_slots:
            calendar = needed(calendar, self.config.n_slots)
            x = with_time(x, calendar, self.config.n_slots, day_unit=1 / DAYS)
            slot, day = calendar[:, -1, None].unbind(-1)  # (B, 1) each
            moment = [embedded(self.slot, slot), embedded(self.day, day)]
        window = self.window(x.transpose(1, 2).flatten(2))  # (B, N, window_width)
        parts = [part.expand(*window.shape[:2], -1) for part in (window, self.series.rows, *moment)]
        hidden = self.blocks(torch.cat(parts, -1))
        return self.head(hidden).unflatten(-1, (self.config.horizon, -1)).transpose(1, 2)


class Block(nn.Module):
    """Two linear layers around a ReLU, beside the input."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) -> (B, N, D)."""
        return x + self.layers(x)


def _table(n: int, width: int, rate: float) -> ScaledEmbedding:
    table = ScaledEmbedding(n, width, rate)
    table.begin_with(nn.init.xavier_uniform_(table.weight))
    return table
