"""Cost of a training step on a mesh of ranks: operations, messages and bytes of a rank. See docs/scale.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from elinformer.nn.feedforward import GatedFeedForward
from elinformer.ops.eala.partitioned import numbers_exchanged

if TYPE_CHECKING:
    from elinformer.models import ELinFormerConfig

BACKWARD = 2  # times the operations of the forward: a product has two factors
PER_LAYER = (3, 1)  # messages forward and backward: means, bounds and covariances, then the gradient of the state


@dataclass(frozen=True)
class StepCost:
    """Cost of a step of one rank. A multiply-add counts as two operations; collectives send float32.

    Attributes:
        operations: In matrix products, forward and backward.
        messages: Number of collectives.
        layer_bytes: Sent by each attention layer.
        bytes: Sent by all collectives.
    """

    operations: float
    messages: int
    layer_bytes: int
    bytes: int


def step_cost(config: ELinFormerConfig, windows: int, *, rows: int, columns: int, shared: int, own: int) -> StepCost:
    """Count the cost of a step of `windows` windows on `rows` x `columns` ranks.

    Args:
        config: The model; its `n_series` is that of all ranks together.
        windows: Number of windows in all rows together.
        rows: Number of ranks that windows are split over.
        columns: Number of ranks that series are split over.
        shared: Numbers in parameters that all ranks hold.
        own: Numbers in per-series parameters of all series.
    """
    tokens = windows / rows * config.n_tokens / columns
    head_dim = config.width // config.n_heads
    states = -(-windows // rows) * config.n_heads
    layer = 4 * states * sum(numbers_exchanged(head_dim, head_dim)) if columns > 1 else 0
    messages, numbers = 0, 0
    if rows * columns > 1:
        messages, numbers = 2, shared + 4  # loss and count in float64, gradients
    if columns > 1:
        messages, numbers = messages + 1, numbers + 1  # the norm of the rows of series
    if rows > 1 and columns > 1:
        messages, numbers = messages + 1, numbers + own // columns
    elif rows > 1:
        numbers += own
    return StepCost(
        operations=(1 + BACKWARD) * tokens * forward_operations(config),
        messages=messages + (sum(PER_LAYER) * config.n_layers if columns > 1 else 0),
        layer_bytes=layer,
        bytes=4 * numbers + layer * config.n_layers,
    )


def forward_operations(config: ELinFormerConfig) -> float:
    """Operations in the matrix products of a token; those of the head are shared by the patches of a series."""
    d, e = config.width, config.width // config.n_heads
    block = 8 * d * d + feedforward_operations(d) + 4 * d * e
    embedding = 2 * 2 * config.steps_per_patch * config.n_channels * config.window_width
    targets, earlier = config.horizon * config.n_channels, config.n_lags + 1
    head = 2 * d * targets * (config.n_outputs + earlier) + 2 * targets * earlier / config.n_patches
    return config.n_layers * block + embedding + head


def feedforward_operations(width: int) -> int:
    """Operations in the matrix products of a feed-forward layer for a token: a multiply-add for each weight."""
    return 2 * sum(p.numel() for p in GatedFeedForward(width).parameters() if p.ndim == 2)
