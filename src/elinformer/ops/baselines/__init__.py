"""Softmax and other linear attentions, with the call of `eala_attention`; learned tensors are arguments."""

from elinformer.ops.baselines.cosformer import cosformer_attention
from elinformer.ops.baselines.efficient import efficient_attention
from elinformer.ops.baselines.elu import elu_attention
from elinformer.ops.baselines.focused import focused_attention
from elinformer.ops.baselines.linformer import linformer_attention
from elinformer.ops.baselines.mean import mean_attention
from elinformer.ops.baselines.nystromformer import nystromformer_attention
from elinformer.ops.baselines.performer import orthogonal_projection, performer_attention
from elinformer.ops.baselines.softmax import softmax_attention
from elinformer.ops.baselines.taylor import taylor_attention

__all__ = [
    "cosformer_attention",
    "efficient_attention",
    "elu_attention",
    "focused_attention",
    "linformer_attention",
    "mean_attention",
    "nystromformer_attention",
    "orthogonal_projection",
    "performer_attention",
    "softmax_attention",
    "taylor_attention",
]
