"""Attention as pure functions on tensors; needs torch alone."""

from elinformer.ops.backends import backend_for
from elinformer.ops.diagnostics import attention_entropy, eala_theta, eala_weights
from elinformer.ops.eala import eala_attention
from elinformer.ops.state import KeyState

__all__ = ["KeyState", "attention_entropy", "backend_for", "eala_attention", "eala_theta", "eala_weights"]
