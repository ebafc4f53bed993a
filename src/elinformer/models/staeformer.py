"""STAEformer: a token for every step of every series; softmax attention over time, then over series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from elinformer._options import option
from elinformer._shapes import Float
from elinformer.models.inputs import DAYS, append_calendar, calendar_of_window, embed_or_zero, forward_fill
from elinformer.models.registry import SeriesSizes, register_model
from elinformer.ops.baselines.softmax import softmax_attention

if TYPE_CHECKING:
    from elinformer.batch import Batch


@dataclass(frozen=True)
class STAEformerConfig(SeriesSizes):
    """Shape of a STAEformer; the defaults are those of its authors. Its sizes are those of `SeriesSizes`."""

    value_width: int = option(24, "Width of the embedded values of a step.", at_least=1)
    calendar_width: int = option(
        24,
        "Width of the embedding of the slot of the day, and of the day of the week; used where there is a calendar.",
        at_least=1,
    )
    adaptive_width: int = option(
        80, "Width of the embedding that every step of the window of every series has of its own.", at_least=1
    )
    n_layers: int = option(3, "Blocks over time, and as many over series.", at_least=1)
    n_heads: int = option(4, "Attention heads; they divide `width`.", at_least=1)
    feedforward_width: int = option(256, "Width of the feed-forward layers.", at_least=1)
    dropout: float = option(0.1, "Share of units of the residual branches that training drops.", at_least=0, below=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % self.n_heads:
            raise ValueError(
                f"expected n_heads to divide the width {self.width} (embeddings joined), got {self.n_heads}"
            )

    @property
    def n_features(self) -> int:
        """Inputs of a step: the channels, the time of day and the day of the week."""
        return self.n_channels + (2 if self.n_slots else 0)

    @property
    def width(self) -> int:
        """D: all embeddings side by side."""
        return self.value_width + self.adaptive_width + (2 * self.calendar_width if self.n_slots else 0)


@register_model("staeformer", STAEformerConfig)
class STAEformer(nn.Module):
    """Forecast of every series from all steps of all series.

    Source: Liu et al., Spatio-Temporal Adaptive Embedding Makes Vanilla Transformer SOTA for Traffic Forecasting,
    2023, arXiv 2308.10425, and the authors' code (XDZhelheim/STAEformer). docs/models.md lists the differences.
    """

    def __init__(self, config: STAEformerConfig) -> None:
        super().__init__()
        self.config = config
        self.value = nn.Linear(config.n_features, config.value_width)
        if config.n_slots:
            self.slot = nn.Embedding(config.n_slots, config.calendar_width)
            self.day = nn.Embedding(DAYS, config.calendar_width)
        self.adaptive = nn.Parameter(torch.empty(config.window, config.n_series, config.adaptive_width))
        nn.init.xavier_uniform_(self.adaptive)
        self.over_time, self.over_series = (
            nn.Sequential(*(Block(config) for _ in range(config.n_layers))) for _ in range(2)
        )
        self.output = nn.Linear(config.window * config.width, config.horizon * config.n_channels * config.n_outputs)

    @property
    def tokens_per_window(self) -> int:
        """Number of tokens of a window, for `TrainingConfig.tokens_at_once`."""
        return self.config.window * self.config.n_series

    def forward(self, batch: Batch) -> Float[Tensor, "B S N C K"]:
        """Forecast the steps after the window: see `ELinFormer.forward`."""
        x = self._embed(batch)  # (B, T, N, D)
        x = self.over_time(x.transpose(1, 2))  # (B, N, T, D)
        x = self.over_series(x.transpose(1, 2)).transpose(1, 2)
        shape = (self.config.horizon, self.config.n_channels, self.config.n_outputs)
        return self.output(x.flatten(2)).unflatten(-1, shape).transpose(1, 2)

    def _embed(self, batch: Batch) -> Tensor:
        x, time = forward_fill(batch.values, batch.mask), []
        if self.config.n_slots:
            calendar = calendar_of_window(batch, self.config.n_slots)[..., :2]
            x = append_calendar(x, calendar, self.config.n_slots, day_unit=1.0)
            slot, day = calendar[:, :, None].unbind(-1)  # (B, T, 1) each
            time = [embed_or_zero(self.slot, slot), embed_or_zero(self.day, day)]
        embeddings = (self.value(x), *time, self.adaptive)
        return torch.cat([embedding.expand(*x.shape[:3], -1) for embedding in embeddings], -1)


class Block(nn.Module):
    """Softmax attention over the second to last dimension, then a feed-forward layer. Each is followed by a norm."""

    def __init__(self, config: STAEformerConfig) -> None:
        super().__init__()
        width, hidden = config.width, config.feedforward_width
        self.n_heads = config.n_heads
        self.projections = nn.Linear(width, 3 * width)  # queries, keys and values
        self.output = nn.Linear(width, width)
        self.feedforward = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width))
        self.attention_norm, self.feedforward_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., L, D) to (..., L, D)."""
        x = self.attention_norm(x + self.dropout(self._attend(x)))
        return self.feedforward_norm(x + self.dropout(self.feedforward(x)))

    def _attend(self, x: Tensor) -> Tensor:
        heads = self.projections(x).flatten(0, 1).unflatten(-1, (3, self.n_heads, -1))  # (..., L, 3, H, E)
        q, k, v = heads.permute(2, 0, 3, 1, 4)  # (..., H, L, E) each
        return self.output(softmax_attention(q, k, v).transpose(1, 2).flatten(2).view_as(x))
