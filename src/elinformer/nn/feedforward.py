"""The gated feed-forward layer of transformer blocks."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import gelu, linear

from elinformer.nn.dropout import Dropout

ALIGNED = 16
"""The number of hidden units is a multiple of this, so that rows fill whole vector registers."""


class GatedFeedForward(nn.Module):
    """GEGLU layer: gates computed from one input multiply hidden units computed from another.

    The product of two linear maps lets a token combine its series and its time. The gates read the normalised token,
    and the values read the token itself. If the token doubles, the values double: the layer keeps the level of a
    series, and does not square it.

    The layer has three matrices with 4/3 `width` hidden units. They have as many parameters as the two matrices of a
    plain layer with 2 `width` hidden units.

    Args:
        width: D.
        dropout: Dropout of the hidden units, while training.

    Source: Shazeer, GLU Variants Improve Transformer, 2020, arXiv 2002.05202. There, gates and values have the same
    input.
    """

    def __init__(self, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        hidden = max(1, 4 * width // (3 * ALIGNED)) * ALIGNED
        self.expand = nn.Linear(width, 2 * hidden)
        self.dropout = Dropout(dropout)
        self.contract = nn.Linear(hidden, width)

    def forward(self, gate_input: Tensor, value_input: Tensor) -> Tensor:
        """Map the inputs of the gates and of the values, (..., D) each, to (..., D)."""
        gates, values = zip(self.expand.weight.chunk(2), self.expand.bias.chunk(2), strict=True)
        hidden = gelu(linear(gate_input, *gates)) * linear(value_input, *values)
        return self.contract(self.dropout(hidden))
