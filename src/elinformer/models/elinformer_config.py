"""The shape of an ELinFormer."""

from __future__ import annotations

from dataclasses import dataclass

from elinformer._options import check_sizes
from elinformer.models.attentions import HeadFeatures, check_attention
from elinformer.nn.feedforward import check_activation

NORMALISED = ("gates", "tokens")


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
        feature_map: What EALA does to queries and keys: "identity", "relu", "softplus", or "mixed", softplus in half of
            the heads, rounded down, and identity in the others. Other attentions have a way of their own.
        own_value: Whether heads also weigh the value of the token itself: see `EntropyLinearAttention`.
        activation: Of the feed-forward layers: "geglu", gated, or "gelu".
        normalised: What is normalised: "gates", what opens gates, attends and is attended to, so that a forecast is
            linear in the level of a series as far as they let it through; or "tokens", all that layers and head read.
            Plain layers, which have no gates, read normalised tokens either way.
        recall: Whether the head also weighs the steps of the window, with weights that the token chooses.
        feedforward_ratio: Width of the feed-forward layers over `width`; gated ones have two thirds of it, which
            costs the same.
        embedding_rate: How many times the learning rate the embeddings of series, slots and days are learned with.
        dropout: Of hidden units of feed-forward layers and of what attention adds, while training.
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
    feature_map: HeadFeatures = "mixed"
    own_value: bool = False
    activation: str = "geglu"
    normalised: str = "gates"
    recall: bool = False
    feedforward_ratio: int = 2
    embedding_rate: float = 30.0
    dropout: float = 0.1
    calendar_dropout: float = 0.02
    calibrated: bool = True

    def __post_init__(self) -> None:
        check_sizes(self, shares=("dropout", "calendar_dropout"), may_be_zero=("n_lags", "n_slots", "patch_length"))
        check_attention(self.attention, self.feature_map)
        check_activation(self.activation)
        if self.normalised not in NORMALISED:
            raise ValueError(f"expected normalised to be one of {', '.join(NORMALISED)}, got {self.normalised!r}")
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
        calendar = self.slot_width + self.day_width if self.n_slots else 0
        return self.window_width + self.series_width + calendar
