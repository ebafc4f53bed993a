"""Softmax and the other linear attentions, with the call of `eala_attention`; what a method learns is given."""

from elinformer.ops.others.cosformer import cosformer_attention
from elinformer.ops.others.efficient import efficient_attention
from elinformer.ops.others.focused import focused_attention
from elinformer.ops.others.linear import elu_attention
from elinformer.ops.others.linformer import linformer_attention
from elinformer.ops.others.mean import mean_attention
from elinformer.ops.others.nystromformer import nystrom_attention
from elinformer.ops.others.performer import orthogonal_projection, performer_attention
from elinformer.ops.others.softmax import softmax_attention
from elinformer.ops.others.taylor import taylor_attention

__all__ = [
    "cosformer_attention",
    "efficient_attention",
    "elu_attention",
    "focused_attention",
    "linformer_attention",
    "mean_attention",
    "nystrom_attention",
    "orthogonal_projection",
    "performer_attention",
    "softmax_attention",
    "taylor_attention",
]
