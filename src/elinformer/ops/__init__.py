"""Attention as pure functions on tensors; needs torch alone."""

from elinformer.ops.eala import (
    KeyState,
    attention_entropy,
    backend_for,
    eala_attention,
    eala_theta,
    eala_weights,
)

__all__ = ["KeyState", "attention_entropy", "backend_for", "eala_attention", "eala_theta", "eala_weights"]
