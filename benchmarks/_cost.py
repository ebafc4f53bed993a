"""What a training step on a mesh of ranks costs, counted: operations, messages and bytes a rank. docs/scale.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from elinformer.nn.feedforward import gated_width
from elinformer.ops.eala.partitioned import numbers_exchanged

if TYPE_CHECKING:
    from elinformer.models import ELinFormerConfig

BACKWARD = 2  # times the operations of the forward: a product has two factors
PER_LAYER = (3, 1)  # messages forward and backward: means, bounds and covariances, then the gradient of the state


@dataclass(frozen=True)
class StepCost:
    """A step of one rank: multiply-adds counted twice, numbers of float32 handed to collectives.

    Attributes:
        operations: In matrix products, forward and backward.
        messages: How many collectives.
        layer_bytes: Handed in by each attention layer.
        bytes: Handed in by all collectives.
    """

    operations: float
    messages: int
    layer_bytes: int
    bytes: int


def step_cost(config: ELinFormerConfig, windows: int, *, rows: int, columns: int, shared: int, own: int) -> StepCost:
    """The cost of a step of `windows` windows on `rows` x `columns` ranks.

    Args:
        config: The model; its `n_series` is that of all ranks together.
        windows: In all rows together.
        rows: Over how many ranks windows are spread.
        columns: Over how many ranks series are spread.
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
    """Operations in matrix products a token; the head's are of a series, spread over its patches."""
    d, e = config.width, config.width // config.n_heads
    block = 8 * d * d + feedforward_operations(config) + 4 * d * e
    embedding = 2 * 2 * config.steps_per_patch * config.n_channels * config.window_width
    outputs = config.horizon * config.n_channels
    head = 2 * d * outputs * (1 + config.n_recalled) + 2 * outputs * config.n_recalled / config.n_patches
    return config.n_layers * block + embedding + head


def feedforward_operations(config: ELinFormerConfig) -> float:
    """Operations of the matrix products of a feed-forward layer, three where it is gated, a token."""
    d, ratio = config.width, config.feedforward_ratio
    return 6 * d * gated_width(d, ratio) if config.activation == "geglu" else 4 * ratio * d * d
