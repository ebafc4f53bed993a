"""EALA, Entropy-Aware Linear Attention: the operator, its state, its diagnostics. README.md says what each file is."""

from elinformer.ops.eala.attention import backend_for, eala_attention
from elinformer.ops.eala.diagnostics import attention_entropy, eala_theta, eala_weights
from elinformer.ops.eala.key_state import KeyState

__all__ = ["KeyState", "attention_entropy", "backend_for", "eala_attention", "eala_theta", "eala_weights"]
