"""The gated feed-forward layer of transformer blocks."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import gelu, linear

ALIGNED = 16
"""Hidden units come in multiples of this, so that rows fill whole vector registers."""


class GatedFeedForward(nn.Module):
    """GEGLU: half of what a token is mapped to says how much of the other half goes on.

    Products of two maps of a token are how it can mean something else for every series at every time: a layer
    without them has to piece such products together. With gates that read the normalised token, and the token as it is
    going through them, a level twice as high stays twice as high: the layer neither forgets it nor squares it.

    Its three matrices of 4/3 `width` hidden units have as many parameters as the two of a plain layer with twice
    the width.

    Args:
        width: D.
        dropout: Of hidden units, while training.

    Source: Shazeer, GLU Variants Improve Transformer, 2020, arXiv 2002.05202, where both halves read the same.
    """

    def __init__(self, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        hidden = max(1, 4 * width // (3 * ALIGNED)) * ALIGNED
        self.expand = nn.Linear(width, 2 * hidden)
        self.dropout = nn.Dropout(dropout)
        self.contract = nn.Linear(hidden, width)

    def forward(self, x: Tensor, through: Tensor) -> Tensor:
        """Map what opens the gates and what goes through them, (..., D) each, to (..., D)."""
        gates, values = zip(self.expand.weight.chunk(2), self.expand.bias.chunk(2), strict=True)
        hidden = gelu(linear(x, *gates)) * linear(through, *values)
        return self.contract(self.dropout(hidden))
