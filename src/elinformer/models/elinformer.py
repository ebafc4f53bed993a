"""ELinFormer: series as tokens, EALA across them, all horizon steps at once. Readable alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from elinformer._options import check_sizes
from elinformer._shapes import Bool, Float, Int
from elinformer.models.attentions import NO_ATTENTION, attention_operator, check_attention
from elinformer.models.gaps import filled_forward
from elinformer.models.registry import register_model
from elinformer.nn import EntropyLinearAttention, keep_sharpness, set_sharpness
from elinformer.nn.feedforward import check_activation, feedforward
from elinformer.nn.scaled_embedding import ScaledEmbedding
from elinformer.ops.features import FeatureMap

START_OF_RECALL = 0.75
"""How much of the last value a forecast begins with."""

START_OF_WINDOW = 3.0
"""How much larger than PyTorch's the weights begin that embed the window, so that it is not drowned by who and when."""

START_OF_DAYS = 0.1
"""Standard deviation that embeddings of days begin with: few days are seen, and they begin as nearly one, or each is
known by heart before what they share is."""

ROWS = 2048
"""Tokens that a CPU feeds forward together where there is no gradient, so that what lies between stays in its cache."""


@dataclass(frozen=True)
class ELinFormerConfig:
    """The shape of an ELinFormer; nothing about data or training.

    Attributes:
        window: T, input steps.
        horizon: S, output steps.
        n_series: N, series that have an embedding of their own.
        n_channels: C, numbers a series has at every step.
        n_lags: Earlier seasons whose `horizon` steps stand before the window. The head recalls them; they are no part
            of the tokens, which would learn them by heart.
        n_slots: Slots of a day in the calendar (288 for steps of 5 minutes); 0 = no calendar.
        patch_length: Steps a token covers; 0 = one patch of the whole window. It divides `window`.
        window_width: Width of the embedded patch.
        series_width: Width of the series embedding.
        slot_width: Width of the slot-of-day embedding, used where there is a calendar.
        day_width: Width of the day-of-week embedding, used where there is a calendar.
        n_layers: Blocks of attention and feed-forward.
        n_heads: Attention heads; they divide `width`.
        attention: "eala", or the name of a twin: see docs/models.md.
        feature_map: What EALA does to queries and keys, "identity", "relu" or "softplus"; other attentions have a way
            of their own.
        activation: Of the feed-forward layers: "geglu", gated, or "gelu".
        feedforward_ratio: Width of the feed-forward layers over `width`; gated ones have two thirds of it, which
            costs the same.
        embedding_rate: How many times the learning rate the embeddings of series, slots and days are learned with.
        dropout: Of the residual branches, while training.
        calendar_dropout: Share of training windows whose slot, and whose day, is replaced by the neutral
            embedding, so that the neutral one is trained for what never occurs in training.
        calibrated: Whether, once it is trained, validation says how sharp its attention is: see `set_sharpness`.
    """

    window: int
    horizon: int
    n_series: int
    n_channels: int = 1
    n_lags: int = 0
    n_slots: int = 0
    patch_length: int = 0
    window_width: int = 64
    series_width: int = 32
    slot_width: int = 32
    day_width: int = 32
    n_layers: int = 3
    n_heads: int = 8
    attention: str = "eala"
    feature_map: FeatureMap = "identity"
    activation: str = "geglu"
    feedforward_ratio: int = 2
    embedding_rate: float = 30.0
    dropout: float = 0.1
    calendar_dropout: float = 0.02
    calibrated: bool = True

    def __post_init__(self) -> None:
        check_sizes(self, shares=("dropout", "calendar_dropout"), may_be_zero=("n_lags", "n_slots", "patch_length"))
        check_attention(self.attention, self.feature_map)
        check_activation(self.activation)
        if self.window % self.steps_per_patch:
            raise ValueError(
                f"expected patch_length to divide window={self.window}, got {self.patch_length}: "
                "choose a divisor, or 0 for one patch"
            )
        if self.width % self.n_heads:
            raise ValueError(
                f"expected n_heads to divide the width {self.width} (embeddings joined), got {self.n_heads}"
            )

    @property
    def steps_per_patch(self) -> int:
        """Steps a token covers."""
        return self.patch_length or self.window

    @property
    def n_patches(self) -> int:
        """P, tokens a series."""
        return self.window // self.steps_per_patch

    @property
    def n_tokens(self) -> int:
        """L, tokens a window."""
        return self.n_series * self.n_patches

    @property
    def width(self) -> int:
        """D, the width of a token: all embeddings side by side."""
        calendar = self.slot_width + self.day_width if self.n_slots else 0
        return self.window_width + self.series_width + calendar


@register_model("elinformer", ELinFormerConfig)
class ELinFormer(nn.Module):
    """Forecasts every series from its window, its identity, the calendar and all other series.

    Source: arXiv 2511.03190 for the attention; embeddings of series and calendar after STID
    (Shao et al. 2022, arXiv 2208.05233), joined rather than added.
    """

    per_series, chain = ("embedding.series.weight",), "blocks"  # see elinformer.nn.per_series

    def __init__(self, config: ELinFormerConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = TokenEmbedding(config)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.norm = nn.LayerNorm(config.width)
        self.head = ForecastHead(config)
        keep_sharpness(self)

    @property
    def calibrates(self) -> bool:
        """Whether validation has a say in how sharp its attention is."""
        return self.config.calibrated

    def set_sharpness(self, sharpness: float) -> None:
        """Keep so much, 0 to 1, of what attention tells a series more than the mean over all of them does."""
        set_sharpness(self, sharpness)

    @property
    def tokens_per_window(self) -> int:
        """What a window takes of `TrainingConfig.tokens_at_once`."""
        return self.config.n_tokens

    def forward(
        self,
        values: Float[Tensor, "B T N C"],
        mask: Bool[Tensor, "B T N C"],
        calendar: Int[Tensor, "B T 2"] | None = None,
    ) -> Float[Tensor, "B S N C"]:
        """Forecast the `horizon` steps after the window.

        Args:
            values: (B, T, N, C), scaled; what is not observed may hold anything. The steps of lags, if any, come first:
                T = n_lags x horizon + window.
            mask: (B, T, N, C), True = observed. A series with nothing observed is no key for the others
                and still gets a forecast.
            calendar: (B, T, 2) slot of the day and day of the week, 0 = neutral; needed where the
                configuration has slots.

        Returns:
            (B, S, N, C) in the scale of `values`.
        """
        recent = slice(self.config.n_lags * self.config.horizon, None)
        x = self.embedding(values[:, recent], mask[:, recent], calendar)  # (B, P*N, D)
        silent = ~mask[:, recent].any(dim=(1, 3)).repeat(1, self.config.n_patches)  # (B, P*N)
        for block in self.blocks:
            x = block(x, silent)
        x = self.norm(x).unflatten(1, (self.config.n_patches, -1))  # (B, P, N, D)
        return self.head(x.transpose(1, 2).flatten(2), filled_forward(values, mask))


class ForecastHead(nn.Module):
    """All horizon steps at once: what the token says, plus what was observed before, read once more.

    Every horizon step weighs the steps of the window, and its own step of each earlier season, with weights that the
    token chooses: persistence where that is the better half of a forecast (speeds, weather), the same time yesterday
    or last week where series repeat. It starts as persistence, the same for all.
    """

    def __init__(self, config: ELinFormerConfig) -> None:
        super().__init__()
        self.horizon, self.n_channels, self.n_lags = config.horizon, config.n_channels, config.n_lags
        width, outputs = config.n_patches * config.width, config.horizon * config.n_channels
        recalled = config.n_lags + config.window
        self.change = nn.Linear(width, outputs)
        self.recall = nn.Linear(width, outputs * recalled)
        nn.init.zeros_(self.recall.weight)
        with torch.no_grad():
            self.recall.bias.view(outputs, recalled).copy_(START_OF_RECALL * torch.eye(recalled)[-1])

    def forward(self, tokens: Tensor, past: Tensor) -> Tensor:
        """Tokens (B, N, P*D) and lags and window without gaps (B, T, N, C) -> (B, S, N, C)."""
        sizes = (self.horizon, self.n_channels)
        weights = self.recall(tokens).unflatten(-1, (*sizes, -1))  # (B, N, S, C, lags + window)
        seasons, window = past.split((self.n_lags * self.horizon, weights.shape[-1] - self.n_lags), dim=1)
        forecast = self.change(tokens).unflatten(-1, sizes).transpose(1, 2)  # (B, S, N, C)
        forecast = forecast + torch.einsum("bnsct,btnc->bsnc", weights[..., self.n_lags :], window)
        if not self.n_lags:
            return forecast
        seasons = seasons.unflatten(1, (self.n_lags, self.horizon))  # (B, lags, S, N, C)
        return forecast + torch.einsum("bnscl,blsnc->bsnc", weights[..., : self.n_lags], seasons)


class TokenEmbedding(nn.Module):
    """Patches of the window joined with what is known of series and time: (B, P*N, D)."""

    def __init__(self, config: ELinFormerConfig) -> None:
        super().__init__()
        self.config = config
        self.window = nn.Linear(2 * config.steps_per_patch * config.n_channels, config.window_width)
        with torch.no_grad():
            self.window.weight.mul_(START_OF_WINDOW)
        self.position = nn.Parameter(torch.zeros(config.n_patches, 1, config.window_width))
        self.series = ScaledEmbedding(config.n_series, config.series_width, config.embedding_rate)
        if config.n_slots:
            self.slot = ScaledEmbedding(1 + config.n_slots, config.slot_width, config.embedding_rate)
            self.day = ScaledEmbedding(1 + 7, config.day_width, config.embedding_rate)
            self.day.begin_with(START_OF_DAYS * self.day.rows)
            self.slot.begin_with(periodic_features(config.n_slots, config.slot_width))

    def forward(self, values: Tensor, mask: Tensor, calendar: Tensor | None) -> Tensor:
        """Values and mask (B, T, N, C), calendar (B, T, 2) or None -> (B, P*N, D)."""
        observed = mask.to(values.dtype)
        inputs = torch.stack((torch.where(mask, values, 0), observed), dim=-1)  # (B, T, N, C, 2)
        patches = inputs.unflatten(1, (self.config.n_patches, -1)).transpose(2, 3).flatten(3)  # (B, P, N, L*C*2)
        parts = [self.window(patches) + self.position, self.series.rows]
        if self.config.n_slots:
            if calendar is None:
                raise ValueError(f"expected a calendar (B, T, 2) for a model of {self.config.n_slots} slots, got none")
            slot, day = self._sometimes_neutral(calendar[:, -1]).unbind(-1)  # (B,) each
            parts += [self.slot(slot)[:, None, None], self.day(day)[:, None, None]]
        shape = patches.shape[:3]
        return torch.cat([part.expand(*shape, -1) for part in parts], dim=-1).flatten(1, 2)

    def _sometimes_neutral(self, moment: Tensor) -> Tensor:
        if not self.training or not self.config.calendar_dropout:
            return moment
        return moment.masked_fill(torch.rand(moment.shape, device=moment.device) < self.config.calendar_dropout, 0)


def periodic_features(n_slots: int, width: int) -> Tensor:
    """Sines and cosines of the time of day (1 + n_slots, width) of unit variance, after a row of zeros for neutral.

    Slots that are close begin alike, so that a few days of data teach all of them.
    """
    angles = torch.arange(n_slots)[:, None] * torch.arange(1, width // 2 + 2) * (2 * torch.pi / n_slots)
    features = 2**0.5 * torch.cat((angles.sin()[:, : (width + 1) // 2], angles.cos()[:, : width // 2]), dim=1)
    return torch.cat((torch.zeros(1, width), features))


class Block(nn.Module):
    """Pre-norm residual block: attention across tokens, then a feed-forward layer."""

    def __init__(self, config: ELinFormerConfig) -> None:
        super().__init__()
        width = config.width
        self.attends = config.attention != NO_ATTENTION
        if self.attends:
            operator = attention_operator(config.attention, config.n_tokens, config.feature_map)
            self.attention_norm = nn.LayerNorm(width)
            self.attention = EntropyLinearAttention(width, config.n_heads, batch_first=True, operator=operator)
        self.feedforward_norm = nn.LayerNorm(width)
        self.feedforward = feedforward(width, config.feedforward_ratio, config.activation)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, silent: Tensor) -> Tensor:
        """(B, L, D) -> (B, L, D); `silent` (B, L) is True for tokens that are no keys."""
        if self.attends:
            normed = self.attention_norm(x)
            attended, _ = self.attention(normed, normed, normed, key_padding_mask=silent)
            x = x + self.dropout(attended)
        if self.training or torch.is_grad_enabled() or torch.compiler.is_compiling() or x.device.type != "cpu":
            return x + self.dropout(self.feedforward(self.feedforward_norm(x)))
        x = x if self.attends else x.clone()
        for rows in x.view(-1, x.shape[-1]).split(ROWS):
            rows.add_(self.feedforward(self.feedforward_norm(rows)))
        return x
