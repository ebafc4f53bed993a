"""Layers on top of the operators; needs torch alone."""

from elinformer.nn.attention import EntropyLinearAttention
from elinformer.nn.swap import swap_attention

__all__ = ["EntropyLinearAttention", "swap_attention"]
