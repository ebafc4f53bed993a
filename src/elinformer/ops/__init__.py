"""Attention as pure functions on tensors; needs torch alone."""

from elinformer.ops.backends import backend_for
from elinformer.ops.eala import eala_attention

__all__ = ["backend_for", "eala_attention"]
