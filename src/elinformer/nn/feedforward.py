"""Feed-forward layers of transformer blocks: plain, and gated."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import gelu, linear

from elinformer.errors import InputError

ACTIVATIONS = ("geglu", "gelu")

ALIGNED = 16
"""Hidden units of a gated layer come in multiples of this, so that rows fill whole vector registers."""


def feedforward(width: int, ratio: int, activation: str, dropout: float = 0.0) -> nn.Module:
    """A feed-forward layer (..., width) -> (..., width).

    Args:
        width: D.
        ratio: Hidden units of the plain layer over `width`. The gated one has two thirds as many, in three matrices
            rather than two, so that both have about as many parameters and take about as long, from a width of 96 on.
        activation: "gelu", or "geglu" for `GatedFeedForward`.
        dropout: Of hidden units, while training.

    Raises:
        InputError: Another activation.
    """
    check_activation(activation)
    if activation == "geglu":
        return GatedFeedForward(width, gated_width(width, ratio), dropout)
    between = nn.Sequential(nn.GELU(), nn.Dropout(dropout))
    return nn.Sequential(nn.Linear(width, ratio * width), between, nn.Linear(ratio * width, width))


def gated_width(width: int, ratio: int) -> int:
    """Hidden units of the gated layer that costs what the plain one of `ratio` does, in whole `ALIGNED`."""
    return max(1, 2 * ratio * width // (3 * ALIGNED)) * ALIGNED


def check_activation(activation: str) -> None:
    """Refuse what is no activation.

    Raises:
        InputError: It is none.
    """
    if activation not in ACTIVATIONS:
        raise InputError(f"expected activation to be one of {', '.join(ACTIVATIONS)}, got {activation!r}")


class GatedFeedForward(nn.Module):
    """GEGLU: half of what a token is mapped to says how much of the other half goes on.

    Products of two maps of a token are how it can mean something else for every series at every time: a layer
    without them has to piece such products together. With gates that read the normalised token, and the token as it is
    going through them, a level twice as high stays twice as high: the layer neither forgets it nor squares it.

    Source: Shazeer, GLU Variants Improve Transformer, 2020, arXiv 2002.05202, where both halves read the same.
    """

    def __init__(self, width: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.expand = nn.Linear(width, 2 * hidden)
        self.dropout = nn.Dropout(dropout)
        self.contract = nn.Linear(hidden, width)

    def forward(self, x: Tensor, through: Tensor | None = None) -> Tensor:
        """What opens the gates, and what goes through them, x itself where not given, (..., D) each -> (..., D)."""
        gates, values = zip(self.expand.weight.chunk(2), self.expand.bias.chunk(2), strict=True)
        hidden = gelu(linear(x, *gates)) * linear(x if through is None else through, *values)
        return self.contract(self.dropout(hidden))
