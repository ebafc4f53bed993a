"""Layers on top of the operators; needs torch alone."""

from elinformer.nn.attention import EntropyLinearAttention

__all__ = ["EntropyLinearAttention"]
