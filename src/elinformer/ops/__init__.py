"""Attention as pure functions on tensors; needs torch alone."""

from elinformer.ops.eala import eala_attention

__all__ = ["eala_attention"]
