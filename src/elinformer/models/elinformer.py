"""ELinFormer: series as tokens, EALA across them, all horizon steps at once. Readable alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, nn

from elinformer._options import Options, option
from elinformer._shapes import Bool, Float
from elinformer.models.inputs import DAYS, calendar_of_window, filled_forward
from elinformer.models.registry import register_model
from elinformer.nn import EalaOperator, EntropyLinearAttention, LinformerOperator, keep_sharpness, set_sharpness
from elinformer.nn.embeddings import ScaledEmbedding
from elinformer.nn.feedforward import GatedFeedForward
from elinformer.ops.registry import OPERATORS

if TYPE_CHECKING:
    from collections.abc import Callable

    from elinformer.batch import Batch
    from elinformer.ops import KeyState
    from elinformer.ops.eala.partitioned import Exchange

NO_ATTENTION: Final = "none"
"""No attention sublayer at all: every token by itself."""

ATTENTIONS = (*OPERATORS, NO_ATTENTION)
"""The names that `ELinFormerConfig.attention` can have."""

NEUTRAL_SHARE = 0.02
"""Share of training windows whose slot, and whose day, is replaced by the neutral embedding: it is trained for slots
and days that never occur in training."""

EMBEDDING_RATE = 30.0
"""How many times the learning rate the embeddings of series, slots and days are learned with."""

START_OF_RECALL = 0.75
"""How much of the last value a forecast begins with, where the head recalls the window."""

START_OF_WINDOW = 3.0
"""How much larger than PyTorch's the weights begin that embed the window, so that it is not drowned by who and when."""

START_OF_DAYS = 0.1
"""Standard deviation that embeddings of days begin with: few days are seen, and they begin as nearly one, or each is
known by heart before what they share is."""

ROWS = 2048
"""Tokens that a CPU feeds forward together where there is no gradient, so that what lies between stays in its cache."""


@dataclass(frozen=True)
class ELinFormerConfig(Options):
    """The shape of an ELinFormer; nothing about data or training.

    Attributes:
        window: T, input steps.
        horizon: S, output steps.
        n_series: N, series that have an embedding of their own.
    """

    window: int
    horizon: int
    n_series: int
    n_channels: int = option(1, "C, channels of a series.", at_least=1)
    n_lags: int = option(
        0,
        "Earlier seasons whose `horizon` steps stand before the window. The head recalls them; they are no part of the "
        "tokens, which would overfit them.",
        at_least=0,
    )
    n_slots: int = option(
        0, "Slots of a day in the calendar (288 for steps of 5 minutes); 0 = no calendar.", at_least=0
    )
    n_outputs: int = option(1, "K, outputs for every target; the loss says how many.", at_least=1)
    patch_length: int = option(
        0, "Steps that a token covers; 0 = one patch of the whole window. It divides `window`.", at_least=0
    )
    window_width: int = option(64, "Width of the embedded patch.", at_least=1)
    series_width: int = option(32, "Width of the embedding of a series.", at_least=1)
    calendar_width: int = option(
        32,
        "Width of the embedding of the slot of the day, and of the day of the week; used where there is a calendar.",
        at_least=1,
    )
    n_layers: int = option(3, "Blocks of attention and feed-forward.", at_least=1)
    n_heads: int = option(8, "Attention heads; they divide `width`.", at_least=1)
    attention: str = option(
        "eala", "Attention across the series, by its name in docs/models.md, or none.", choices=ATTENTIONS
    )
    recall: bool = option(
        False, "Whether the head also weighs the steps of the window, with weights that the token chooses."
    )
    dropout: float = option(
        0.1,
        "Share of hidden units of feed-forward layers, and of what attention adds, that training drops.",
        at_least=0,
        below=1,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
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
    def n_recalled(self) -> int:
        """Earlier values that the head weighs for every step: lags, and the window where it is recalled."""
        return self.n_lags + (self.window if self.recall else 0)

    @property
    def width(self) -> int:
        """D, the width of a token: all embeddings side by side."""
        calendar = 2 * self.calendar_width if self.n_slots else 0
        return self.window_width + self.series_width + calendar


@register_model("elinformer", ELinFormerConfig)
class ELinFormer(nn.Module):
    """Forecast of every series from its window, its identity, the calendar and all other series.

    `forward` is the chain of `embed`, `blocks` and `head`. Series meet in the attention of the blocks alone, so that
    `elinformer.partition` can compute groups of them one after the other, or on several ranks.

    Source: arXiv 2511.03190 for the attention; embeddings of series and calendar after STID
    (Shao et al. 2022, arXiv 2208.05233), joined rather than added.
    """

    per_series = ("embedding.series.weight",)
    """Names of parameters with one row a series."""

    def __init__(self, config: ELinFormerConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = TokenEmbedding(config)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.norm = nn.LayerNorm(config.width) if config.n_recalled else nn.Identity()
        self.output = ForecastHead(config)
        keep_sharpness(self)

    @property
    def calibrates(self) -> bool:
        """True if validation chooses the sharpness of the attention once the model is trained."""
        return self.config.attention not in {"mean", NO_ATTENTION}

    def set_sharpness(self, sharpness: float) -> None:
        """Set the share, 0 to 1, that is kept of what sets attention apart from the mean over all series."""
        set_sharpness(self, sharpness)

    @property
    def tokens_per_window(self) -> int:
        """Tokens of a window, for `TrainingConfig.tokens_at_once`."""
        return self.config.n_tokens

    def forward(self, batch: Batch) -> Float[Tensor, "B S N C K"]:
        """Forecast the `horizon` steps after the window.

        Args:
            batch: Scaled. The steps of lags, if any, come first in `values`: T = n_lags x horizon + window. A series
                with nothing observed in the window is no key for the others and still gets a forecast.

        Returns:
            K outputs for every target, in the scale of the values.

        Raises:
            ValueError: The configuration has slots, and the batch no calendar.
        """
        x, key_mask = self.embed(batch)
        for block in self.blocks:
            x = block(x, key_mask)
        return self.head(x, batch)

    def embed(self, batch: Batch) -> tuple[Float[Tensor, "B L D"], Bool[Tensor, "B L"]]:
        """Return the tokens, L = patches x series, and a mask that is True where a token is a key for the others."""
        recent = slice(self.config.n_lags * self.config.horizon, None)
        values, mask = batch.values[:, recent], batch.mask[:, recent]
        key_mask = mask.any(dim=(1, 3)).repeat(1, self.config.n_patches)
        return self.embedding(values, mask, self._moment(batch), batch.series), key_mask

    def head(self, x: Float[Tensor, "B L D"], batch: Batch) -> Float[Tensor, "B S N C K"]:
        """Forecast from the tokens after the last block."""
        x = x.unflatten(1, (self.config.n_patches, -1)).transpose(1, 2)  # (B, N, P, D)
        tokens = x.flatten(2)  # all patches of a series side by side
        if not self.config.n_recalled:
            return self.output(tokens)
        return self.output(tokens, self.norm(x).flatten(2), filled_forward(batch.values, batch.mask))

    def _moment(self, batch: Batch) -> Tensor | None:
        """Return slot and day (B, 2) of the last step of the window."""
        if not self.config.n_slots:
            return None
        return calendar_of_window(batch, self.config.n_slots)[:, -1]


class ForecastHead(nn.Module):
    """All horizon steps at once: a map of the token, plus earlier observations, weighed by the token.

    Every horizon step weighs its own step of each earlier season, and the steps of the window where they are recalled,
    with weights that the normalised token chooses: the same time yesterday or last week where series repeat,
    persistence where that is the better half of a forecast, with which a head that recalls the window starts.
    """

    def __init__(self, config: ELinFormerConfig) -> None:
        super().__init__()
        self.shape = (config.horizon, config.n_channels, config.n_outputs)
        self.horizon, self.n_lags, self.n_recalled = config.horizon, config.n_lags, config.n_recalled
        width, outputs = config.n_patches * config.width, config.horizon * config.n_channels * config.n_outputs
        self.change = nn.Linear(width, outputs)
        if self.n_recalled:
            self.recall = nn.Linear(width, outputs * self.n_recalled)
            nn.init.zeros_(self.recall.weight)
            nn.init.zeros_(self.recall.bias)
        if config.recall:
            with torch.no_grad():
                self.recall.bias.view(outputs, self.n_recalled)[:, -1] = START_OF_RECALL

    def forward(
        self, tokens: Tensor, normed: Tensor | None = None, past: Tensor | None = None
    ) -> Float[Tensor, "B S N C K"]:
        """Map tokens (B, N, P*D) to outputs.

        With recall it takes the normalised tokens, and lags and window without gaps (B, T, N, C), too.
        """
        forecast = self.change(tokens).unflatten(-1, self.shape).transpose(1, 2)
        if normed is None or past is None:
            return forecast
        weights = self.recall(normed).unflatten(-1, (*self.shape, -1))  # (B, N, S, C, K, recalled)
        of_lags, of_window = weights.split((self.n_lags, self.n_recalled - self.n_lags), dim=-1)
        n_earlier = self.n_lags * self.horizon
        if of_window.shape[-1]:
            forecast = forecast + torch.einsum("bnsckt,btnc->bsnck", of_window, past[:, n_earlier:])
        if self.n_lags:
            seasons = past[:, :n_earlier].unflatten(1, (self.n_lags, self.horizon))  # (B, lags, S, N, C)
            forecast = forecast + torch.einsum("bnsckl,blsnc->bsnck", of_lags, seasons)
        return forecast


class TokenEmbedding(nn.Module):
    """Patches of the window, joined with embeddings of series and time: (B, P*N, D)."""

    def __init__(self, config: ELinFormerConfig) -> None:
        super().__init__()
        self.config = config
        self.window = nn.Linear(2 * config.steps_per_patch * config.n_channels, config.window_width)
        with torch.no_grad():
            self.window.weight.mul_(START_OF_WINDOW)
        self.position = nn.Parameter(torch.zeros(config.n_patches, 1, config.window_width))
        self.series = ScaledEmbedding(config.n_series, config.series_width, EMBEDDING_RATE)
        if config.n_slots:
            self.slot = ScaledEmbedding(1 + config.n_slots, config.calendar_width, EMBEDDING_RATE)
            self.day = ScaledEmbedding(1 + DAYS, config.calendar_width, EMBEDDING_RATE)
            self.day.begin_with(START_OF_DAYS * self.day.rows)
            self.slot.begin_with(periodic_features(config.n_slots, config.calendar_width))

    def forward(self, values: Tensor, mask: Tensor, moment: Tensor | None, series: Tensor | None) -> Tensor:
        """Embed values and mask (B, T, N, C), slot and day (B, 2), and the numbers (N,) of the series."""
        observed = mask.to(values.dtype)
        inputs = torch.stack((torch.where(mask, values, 0), observed), dim=-1)  # (B, T, N, C, 2)
        patches = inputs.unflatten(1, (self.config.n_patches, -1)).transpose(2, 3).flatten(3)  # (B, P, N, L*C*2)
        moment = None if moment is None else self._sometimes_neutral(moment)
        parts = [self.window(patches) + self.position, self.series.rows_of(series)]
        if moment is not None:
            slot, day = moment.unbind(-1)  # (B,) each
            parts += [self.slot(slot)[:, None, None], self.day(day)[:, None, None]]
        shape = patches.shape[:3]
        return torch.cat([part.expand(*shape, -1) for part in parts], dim=-1).flatten(1, 2)

    def _sometimes_neutral(self, moment: Tensor) -> Tensor:
        if not self.training:
            return moment
        return moment.masked_fill(torch.rand(moment.shape, device=moment.device) < NEUTRAL_SHARE, 0)


def periodic_features(n_slots: int, width: int) -> Tensor:
    """Sines and cosines of the time of day (1 + n_slots, width) of unit variance, after a row of zeros for neutral.

    Slots that are close begin alike, so that a few days of data teach all of them.
    """
    angles = torch.arange(n_slots)[:, None] * torch.arange(1, width // 2 + 2) * (2 * torch.pi / n_slots)
    features = 2**0.5 * torch.cat((angles.sin()[:, : (width + 1) // 2], angles.cos()[:, : width // 2]), dim=1)
    return torch.cat((torch.zeros(1, width), features))


class Block(nn.Module):
    """Residual block: attention across normalised tokens, then a feed-forward layer."""

    def __init__(self, config: ELinFormerConfig) -> None:
        super().__init__()
        width = config.width
        self.attends = config.attention != NO_ATTENTION
        if self.attends:
            self.attention_norm = nn.LayerNorm(width)
            self.attention = attention_layer(config)
        self.feedforward_norm = nn.LayerNorm(width)
        self.feedforward = GatedFeedForward(width, config.dropout)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, x: Float[Tensor, "B L D"], key_mask: Bool[Tensor, "B L"], exchange: Exchange | None = None
    ) -> Float[Tensor, "B L D"]:
        """Map tokens to tokens.

        Args:
            x: The tokens at hand.
            key_mask: True where a token is a key for the others.
            exchange: Access to the keys of tokens that are not at hand.
        """
        if self.attends:
            attended = self.attention.attend_to_self(self.attention_norm(x), key_mask=key_mask, exchange=exchange)
            x = x + self.dropout(attended)
        if self.training or torch.is_grad_enabled() or torch.compiler.is_compiling() or x.device.type != "cpu":
            return x + self._fed_forward(x)
        x = x if self.attends else x.clone()
        for rows in x.view(-1, x.shape[-1]).split(ROWS):
            rows.add_(self._fed_forward(rows))
        return x

    def key_state(self, x: Float[Tensor, "B L D"], key_mask: Bool[Tensor, "B L"]) -> KeyState:
        """Return the state of the keys of these tokens; blocks without attention have none."""
        return self.attention.key_state(self.attention_norm(x), key_mask=key_mask)

    def _fed_forward(self, x: Tensor) -> Tensor:
        return self.feedforward(self.feedforward_norm(x), x)


def attention_layer(config: ELinFormerConfig) -> EntropyLinearAttention:
    """The attention layer of a block.

    With EALA, half of the heads (rounded down) have positive queries and keys; the others read them as they are.
    """
    operator: str | Callable[..., Tensor] = config.attention
    if config.attention == "eala":
        operator = EalaOperator("identity")
    elif config.attention == "linformer":
        operator = LinformerOperator(config.n_tokens)
    positive_heads = config.n_heads // 2 if config.attention == "eala" else 0
    return EntropyLinearAttention(
        config.width, config.n_heads, batch_first=True, operator=operator, positive_heads=positive_heads
    )
