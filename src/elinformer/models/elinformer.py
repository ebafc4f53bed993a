"""ELinFormer: series are tokens, EALA connects them, and a head forecasts all horizon steps at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, nn

from elinformer._options import option
from elinformer._shapes import Bool, Float
from elinformer.batch import COVARIATES
from elinformer.models.covariates import STEPS_PER_TOKEN, CovariateEmbedding, HorizonEffect
from elinformer.models.inputs import DAYS, calendar_of_window, earlier_of, n_earlier, n_read, periodic_features
from elinformer.models.registry import SeriesSizes, register_model
from elinformer.nn import EalaOperator, EntropyLinearAttention, LinformerOperator, keep_sharpness, set_sharpness
from elinformer.nn.dropout import Dropout
from elinformer.nn.embeddings import ScaledEmbedding
from elinformer.nn.feedforward import GatedFeedForward
from elinformer.ops.registry import OPERATORS

if TYPE_CHECKING:
    from collections.abc import Callable

    from elinformer.batch import Batch
    from elinformer.ops import KeyState
    from elinformer.ops.eala.partitioned import Exchange

NO_ATTENTION: Final = "none"
"""Name of the model without attention, in which every token is computed by itself."""

ATTENTIONS = (*OPERATORS, NO_ATTENTION)
"""Values of `ELinFormerConfig.attention`."""

NEUTRAL_SHARE = 0.02
"""Share of training windows in which the neutral embedding replaces that of the slot, that of the day, and that of the
slot of the year. It stands for those that never occur in training."""

EMBEDDING_RATE = 30.0
"""Learning rate of the embeddings of series, slots and days, divided by that of the model."""

HARMONICS = 4
"""Waves in a year that the embedding of its slots is made of."""

INITIAL_CHANGE = 0.01
"""Factor on PyTorch's initial weights of the head, so that an untrained model is a simple forecast."""

INITIAL_WINDOW_SCALE = 3.0
"""Factor on PyTorch's initial weights of the window embedding, so that the embeddings of series and time do not
dominate it."""

INITIAL_DAY_STD = 0.1
"""Initial standard deviation of the embeddings of days, and factor on the initial weights of slots of the year.
Training sees few days and years: they start almost equal, so that the model learns first what they have in common, and
does not overfit each of them."""

FEEDFORWARD_ROWS = 2048
"""Tokens that a CPU passes through a feed-forward layer together, without a gradient, so that the hidden units stay in
its cache."""


@dataclass(frozen=True)
class ELinFormerConfig(SeriesSizes):
    """The shape of an ELinFormer; nothing about data or training. Its sizes are those of `SeriesSizes`."""

    n_lags: int = option(
        0,
        "Earlier seasons whose `horizon` steps stand before the window. The head weighs them; they are no part of the "
        "tokens, which would overfit them.",
        at_least=0,
    )
    n_means: int = option(
        0,
        "Means of seasons, whose `horizon` steps stand before those of the lags. They are no inputs of the network: "
        "they belong to the simple forecast that a trained model is blended with.",
        at_least=0,
    )
    n_seasons: int = option(
        0,
        "Slots of a year in the calendar (12 for months); 0 = none. They take the place of a single slot.",
        at_least=0,
    )
    n_past: int = option(0, "Past covariates.", at_least=0)
    n_future: int = option(0, "Future covariates.", at_least=0)
    n_static: int = option(0, "Static covariates.", at_least=0)
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
    covariate_width: int = option(32, "Width of the embedding of covariates; used where there are any.", at_least=1)
    n_layers: int = option(2, "Blocks of attention and feed-forward.", at_least=1)
    n_heads: int = option(8, "Attention heads; they divide `width`.", at_least=1)
    attention: str = option(
        "eala", "Attention across the series, by its name in docs/models.md, or none.", choices=ATTENTIONS
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
    def n_seasonal(self) -> int:
        """Number of means and lags: `horizon` steps of each stand before the window."""
        return self.n_means + self.n_lags

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
        calendar = self.calendar_width * (self.has_slots + bool(self.n_slots) + bool(self.n_seasons))
        covariates = self.covariate_width if self.uses else 0
        return self.window_width + self.series_width + calendar + covariates

    @property
    def has_slots(self) -> bool:
        """True if slots of the day have embeddings. A single slot has none beside slots of the year."""
        return self.n_slots > 1 or (self.n_slots == 1 and not self.n_seasons)

    @property
    def uses(self) -> tuple[str, ...]:
        """Fields of `Batch` with covariates that the model takes."""
        return tuple(name for name in COVARIATES if getattr(self, f"n_{name}"))


@register_model("elinformer", ELinFormerConfig)
class ELinFormer(nn.Module):
    """Forecast of every series from its window, its embedding, the calendar and all other series.

    `forward` is the chain of `embed`, `blocks` and `head`. Series see each other only in the attention of the blocks.
    `elinformer.partition` can therefore compute groups of series one after the other, or on several ranks.

    Args:
        config: Sizes and options.

    Attributes:
        effects: (N, C, F), linear effects of the future covariates, which `ScaledModel` takes out of the values; it is
            measured before training, and absent without such covariates.

    Source: arXiv 2511.03190 for the attention. The embeddings of series and calendar follow STID
    (Shao et al. 2022, arXiv 2208.05233), but are concatenated instead of added.

    Example:
        >>> from elinformer.batch import Batch
        >>> model = ELinFormer(ELinFormerConfig(window=12, horizon=6, n_series=5))
        >>> values = torch.randn(2, 12, 5, 1)  # B=2 windows
        >>> model(Batch(values, mask=torch.ones_like(values, dtype=torch.bool))).shape
        torch.Size([2, 6, 5, 1, 1])
    """

    scales_windows = True
    """Whether each window is scaled by its own level and deviation: see `elinformer.models.scaled`."""

    def __init__(self, config: ELinFormerConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = TokenEmbedding(config)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.norm = nn.LayerNorm(config.width)
        self.output = ForecastHead(config)
        if config.n_future:
            self.register_buffer("effects", torch.zeros(config.n_series, config.n_channels, config.n_future))
        keep_sharpness(self)

    @property
    def per_series(self) -> tuple[str, ...]:
        """Names of the parameters and buffers with one row for each series."""
        effects = ("effects",) if self.config.n_future else ()
        return ("embedding.series.weight", "output.simple", "output.trust", *effects)

    @property
    def uses(self) -> tuple[str, ...]:
        """Fields of `Batch` with covariates that the model takes."""
        return self.config.uses

    @property
    def calibrates(self) -> bool:
        """True if validation chooses the sharpness of the attention after training."""
        return self.config.attention not in {"mean", NO_ATTENTION}

    def set_sharpness(self, sharpness: float) -> None:
        """Set the sharpness of the attention, a share from 0 (the mean over all series) to 1 (the full attention)."""
        set_sharpness(self, sharpness)

    @property
    def tokens_per_window(self) -> int:
        """Number of tokens of a window, or of what takes as much memory, for `TrainingConfig.tokens_at_once`."""
        effects = self.config.n_series * self.config.horizon // STEPS_PER_TOKEN if self.config.n_future else 0
        return self.config.n_tokens + effects

    def forward(self, batch: Batch) -> Float[Tensor, "B S N C K"]:
        """Forecast the `horizon` steps after the window.

        Args:
            batch: Windows with scaled values. The steps of means and lags come first in `values`:
                T = n_seasonal x horizon + window.
                A series without an observation in the window is no key for the others, but still gets a forecast.

        Returns:
            Outputs (B, S, N, C, K), in the scale of the values.

        Raises:
            ValueError: The configuration has slots or covariates, and the batch has no calendar or lacks them.
        """
        x, key_mask = self.embed(batch)
        for block in self.blocks:
            x = block(x, key_mask)
        return self.head(x, batch)

    def embed(self, batch: Batch) -> tuple[Float[Tensor, "B L D"], Bool[Tensor, "B L"]]:
        """Return the tokens, L = patches x series, and a key mask: True = the token is a key for the others."""
        recent = slice(self.config.n_seasonal * self.config.horizon, None)
        values, mask = batch.values[:, recent], batch.mask[:, recent]
        key_mask = mask.any(dim=(1, 3)).repeat(1, self.config.n_patches)
        if missing := [name for name in self.uses if getattr(batch, name) is None]:
            raise ValueError(f"expected {' and '.join(missing)} covariates, which the model was made for, got none")
        level = (
            values.new_zeros(len(values), values.shape[2], 2 * values.shape[3]) if batch.level is None else batch.level
        )
        return self.embedding(batch._replace(values=values, mask=mask), self._calendar(batch), level), key_mask

    def head(self, x: Float[Tensor, "B L D"], batch: Batch) -> Float[Tensor, "B S N C K"]:
        """Forecast from the tokens after the last block."""
        x = x.unflatten(1, (self.config.n_patches, -1)).transpose(1, 2)  # (B, N, P, D)
        earlier = earlier_of(batch, self.config.n_seasonal, self.config.horizon)
        tokens = x.flatten(2)  # concatenates the patches of a series
        ahead = slice(-self.config.horizon, None)
        future = None if batch.future is None else batch.future[:, ahead]
        slots = batch.calendar[:, ahead, 0] if self.config.n_slots and batch.calendar is not None else None
        return self.output(tokens, self.norm(x).flatten(2), earlier, future=future, slots=slots, series=batch.series)

    @torch.no_grad()
    def set_blend(self, simple: Tensor, trust: Tensor) -> None:
        """Set the simple forecast that forecasts are blended with, and the weight of the model beside it.

        Args:
            simple: (N, S, C, n_seasonal + 3), weights of the earlier values, which add up to one.
            trust: (N, S, C), weights of the model, from 0 to 1.
        """
        self.output.simple.copy_(simple)
        self.output.trust.copy_(trust)

    @torch.no_grad()
    def start_from(self, weights: Tensor) -> None:
        """Set the forecast of the untrained model: a weighted sum of the earlier values.

        Args:
            weights: (S, n_lags + 2), the weights at every horizon step.
        """
        self.output.earlier.bias.view(self.config.horizon, self.config.n_channels, -1).copy_(weights[:, None])

    def _calendar(self, batch: Batch) -> Tensor | None:
        """Return the slot, the day and the slot of the year (B, 3) of the last step of the window."""
        if not self.config.n_slots:
            return None
        return calendar_of_window(batch, self.config.n_slots)[:, -1]


class ForecastHead(nn.Module):
    """Weighted sum of earlier values, plus a linear map of the token, for all horizon steps at once.

    Earlier values are those of every lag, the last value and the mean of training. The normalised token determines
    their weights at each horizon step. The lags repeat the same time yesterday or last week; the last value is
    persistence; the mean is where values return to. The linear map begins near zero, and the sum at the last value: an
    untrained model is a simple forecast, which training improves. Earlier values are added to the first output. The
    future covariates of a step change the forecast of this step: see `HorizonEffect`.

    A trained model can be blended with a simple forecast: where validation shows that the model has learned nothing of
    a series, the forecast is the simple one. It weighs the drift of the window and the means of seasons, too.

    Args:
        config: Sizes and options of the model.

    Attributes:
        simple: (N, S, C, n_seasonal + 3), weights of the earlier values in the simple forecast.
        trust: (N, S, C), weight of the model beside the simple forecast; 1 in training.
    """

    simple: Tensor
    trust: Tensor

    def __init__(self, config: ELinFormerConfig) -> None:
        super().__init__()
        self.shape = (config.horizon, config.n_channels, config.n_outputs)
        self.n_read = n_read(config.n_lags)
        width, n_targets = config.n_patches * config.width, config.horizon * config.n_channels
        self.change = nn.Linear(width, n_targets * config.n_outputs)
        self.earlier = nn.Linear(width, n_targets * self.n_read)
        with torch.no_grad():
            for layer in (self.change, self.earlier):
                layer.weight.mul_(INITIAL_CHANGE)
                layer.bias.zero_()
            self.earlier.bias.view(n_targets, -1)[:, -2] = 1
        if config.n_future:
            shape = (config.n_channels, config.n_outputs)
            self.effect = HorizonEffect(config.n_future, width, shape, n_slots=config.n_slots)
        shape = (config.n_series, config.horizon, config.n_channels)
        self.register_buffer("simple", torch.zeros(*shape, n_earlier(config.n_seasonal)))
        self.register_buffer("trust", torch.ones(shape))

    def forward(
        self,
        tokens: Tensor,
        normed: Tensor,
        earlier: Tensor,
        *,
        future: Tensor | None = None,
        slots: Tensor | None = None,
        series: Tensor | None = None,
    ) -> Float[Tensor, "B S N C K"]:
        """Map tokens to outputs.

        Args:
            tokens: (B, N, P*D), all patches of a series.
            normed: (B, N, P*D), the normalised tokens.
            earlier: (B, n_seasonal + 3, S, N, C), see `elinformer.models.inputs.earlier_of`.
            future: (B, S, N, F), covariates of the horizon; needed if the model has them.
            slots: (B, S), slots of the day of the horizon; None without a calendar.
            series: (n,), the numbers of the series; None = all series.
        """
        forecast = self.change(tokens).unflatten(-1, self.shape).transpose(1, 2)
        if future is not None:
            forecast = forecast + self.effect(normed, future, slots)
        weights = self.earlier(normed).unflatten(-1, (*self.shape[:2], -1))  # (B, N, S, C, n_lags + 2)
        location = forecast[..., 0] + _weighted(earlier[:, -self.n_read :], weights.transpose(1, 2))
        if not self.training:
            simple, trust = ((x if series is None else x[series]) for x in (self.simple, self.trust))
            trust = trust.transpose(0, 1)  # (S, N, C)
            location = trust * location + (1 - trust) * _weighted(earlier, simple.transpose(0, 1))
        return torch.cat((location[..., None], forecast[..., 1:]), dim=-1)


def _weighted(earlier: Tensor, weights: Tensor) -> Tensor:
    """Return the sum (B, S, N, C) of earlier values (B, L, S, N, C) by their weights (..., S, N, C, L)."""
    return (weights * earlier.movedim(1, -1)).sum(-1)


class TokenEmbedding(nn.Module):
    """Embedding of the patches of the window, concatenated with embeddings of series and time.

    Args:
        config: Sizes and options of the model.
    """

    def __init__(self, config: ELinFormerConfig) -> None:
        super().__init__()
        self.config = config
        self.window = nn.Linear(2 * config.steps_per_patch * config.n_channels, config.window_width)
        self.level = nn.Linear(2 * config.n_channels, config.window_width, bias=False)
        with torch.no_grad():
            self.window.weight.mul_(INITIAL_WINDOW_SCALE)
        self.position = nn.Parameter(torch.zeros(config.n_patches, 1, config.window_width))
        self.series = ScaledEmbedding(config.n_series, config.series_width, EMBEDDING_RATE)
        if config.n_slots:
            if config.has_slots:
                self.slot = ScaledEmbedding(1 + config.n_slots, config.calendar_width, EMBEDDING_RATE)
            self.day = ScaledEmbedding(1 + DAYS, config.calendar_width, EMBEDDING_RATE)
            self.day.set_rows(INITIAL_DAY_STD * self.day.rows)
            if config.has_slots:
                self.slot.set_rows(periodic_features(config.n_slots, config.calendar_width))
        if config.n_seasons:
            self.season = SeasonEmbedding(config.n_seasons, config.calendar_width)
        if config.uses:
            sizes = {f"n_{name}": getattr(config, f"n_{name}") for name in COVARIATES}
            self.covariates = CovariateEmbedding(config.window, config.horizon, **sizes, width=config.covariate_width)

    def forward(self, batch: Batch, calendar: Tensor | None, level: Tensor) -> Tensor:
        """Return tokens (B, P*N, D).

        Args:
            batch: Windows without lags.
            calendar: (B, 3), of the last step of the window; None without a calendar.
            level: (B, N, 2C), level and deviation of the window; zeros if they are those of training.
        """
        values, mask, series = batch.values, batch.mask, batch.series
        calendar = None if calendar is None else self._drop_calendar(calendar)
        observed = mask.to(values.dtype)
        inputs = torch.stack((torch.where(mask, values, 0), observed), dim=-1)  # (B, T, N, C, 2)
        patches = inputs.unflatten(1, (self.config.n_patches, -1)).transpose(2, 3).flatten(3)  # (B, P, N, L*C*2)
        window = self.window(patches) + self.position + self.level(level)[:, None]
        embeddings = [window, self.series.select_rows(series)]
        if calendar is not None:
            times = [self.slot(calendar[:, 0])] if self.config.has_slots else []
            times.append(self.day(calendar[:, 1]))
            times += [self.season(calendar[:, 2])] if self.config.n_seasons else []
            embeddings += [time[:, None, None] for time in times]
        if self.config.uses:
            embeddings.append(self.covariates(batch)[:, None])
        shape = patches.shape[:3]
        return torch.cat([embedding.expand(*shape, -1) for embedding in embeddings], dim=-1).flatten(1, 2)

    def _drop_calendar(self, calendar: Tensor) -> Tensor:
        """Replace slots and days by the neutral 0, at random in training."""
        if not self.training:
            return calendar
        shown = calendar if self.config.n_seasons else calendar[..., :2]
        dropped = torch.rand(shown.shape, device=shown.device) < NEUTRAL_SHARE
        return torch.cat((shown.masked_fill(dropped, 0), calendar[..., shown.shape[-1] :]), dim=-1)


class SeasonEmbedding(nn.Module):
    """Linear map of a few harmonics of the year. Neighbouring slots have similar rows, and the neutral slot has zeros.

    A slot of the year occurs a few times in training, so that rows of its own would learn single years by heart.

    Args:
        n: Slots of a year.
        width: Width of the embedding.
    """

    features: Tensor

    def __init__(self, n: int, width: int) -> None:
        super().__init__()
        self.register_buffer("features", periodic_features(n, 2 * HARMONICS), persistent=False)
        self.map = nn.Linear(2 * HARMONICS, width, bias=False)
        with torch.no_grad():
            self.map.weight.mul_(INITIAL_DAY_STD)

    def forward(self, season: Tensor) -> Tensor:
        """Return the rows (B, width) of slots (B,), 0 = neutral."""
        return self.map(self.features[season])


class Block(nn.Module):
    """Residual block: attention between normalised tokens, then a feed-forward layer.

    Args:
        config: Sizes and options of the model.

    Attributes:
        attends: False if the model has no attention.
    """

    def __init__(self, config: ELinFormerConfig) -> None:
        super().__init__()
        width = config.width
        self.attends = config.attention != NO_ATTENTION
        if self.attends:
            self.attention_norm = nn.LayerNorm(width)
            self.attention = make_attention(config)
        self.feedforward_norm = nn.LayerNorm(width)
        self.feedforward = GatedFeedForward(width, config.dropout)
        self.dropout = Dropout(config.dropout)

    def forward(
        self, x: Float[Tensor, "B L D"], key_mask: Bool[Tensor, "B L"], exchange: Exchange | None = None
    ) -> Float[Tensor, "B L D"]:
        """Map tokens to tokens.

        Args:
            x: Tokens.
            key_mask: True = the token is a key for the others.
            exchange: Access to the keys of tokens that are not in `x`.
        """
        if self.attends:
            attended = self.attention.attend_to_self(self.attention_norm(x), key_mask=key_mask, exchange=exchange)
            x = x + self.dropout(attended)
        if self.training or torch.is_grad_enabled() or torch.compiler.is_compiling() or x.device.type != "cpu":
            return x + self._feed_forward(x)
        x = x if self.attends else x.clone()
        for rows in x.view(-1, x.shape[-1]).split(FEEDFORWARD_ROWS):
            rows.add_(self._feed_forward(rows))
        return x

    def key_state(self, x: Float[Tensor, "B L D"], key_mask: Bool[Tensor, "B L"]) -> KeyState:
        """Return the key state of tokens. Only blocks with attention have one."""
        return self.attention.key_state(self.attention_norm(x), key_mask=key_mask)

    def _feed_forward(self, x: Tensor) -> Tensor:
        return self.feedforward(self.feedforward_norm(x), x)


def make_attention(config: ELinFormerConfig) -> EntropyLinearAttention:
    """Make the attention layer of a block.

    With EALA, half of the heads (rounded down) apply softplus to queries and keys. The other heads use them unchanged.
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
