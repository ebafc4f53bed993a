"""Layers around the operators. They need torch and numpy alone."""

from elinformer.nn.attention import EntropyLinearAttention
from elinformer.nn.operators import EalaOperator, FocusedOperator, LinformerOperator, PerformerOperator
from elinformer.nn.sharpness import keep_sharpness, set_sharpness
from elinformer.nn.swap import swap_attention

__all__ = [
    "EalaOperator",
    "EntropyLinearAttention",
    "FocusedOperator",
    "LinformerOperator",
    "PerformerOperator",
    "keep_sharpness",
    "set_sharpness",
    "swap_attention",
]
