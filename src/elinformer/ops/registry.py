"""Table of all attentions by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from elinformer.ops.baselines.cosformer import cosformer_attention
from elinformer.ops.baselines.efficient import efficient_attention
from elinformer.ops.baselines.elu import elu_attention
from elinformer.ops.baselines.focused import focused_attention
from elinformer.ops.baselines.linformer import linformer_attention
from elinformer.ops.baselines.mean import mean_attention
from elinformer.ops.baselines.nystromformer import nystromformer_attention
from elinformer.ops.baselines.performer import performer_attention
from elinformer.ops.baselines.softmax import softmax_attention
from elinformer.ops.baselines.taylor import taylor_attention
from elinformer.ops.eala import eala_attention

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


class Operator(NamedTuple):
    """One attention.

    `call` has the signature of `eala_attention`. `is_causal` says if it has a causal form; `order_dependent`, if
    the output changes with the order of the keys; `given` names the tensors it needs besides, learned or drawn.
    The module that holds these is in `elinformer.nn.operators`, since nothing here learns.
    """

    call: Callable[..., Tensor]
    is_causal: bool = True
    order_dependent: bool = False
    given: tuple[str, ...] = ()


OPERATORS: dict[str, Operator] = {
    "eala": Operator(eala_attention),
    "softmax": Operator(softmax_attention),
    "elu": Operator(elu_attention),
    "efficient": Operator(efficient_attention, is_causal=False),
    "performer": Operator(performer_attention, given=("projection",)),
    "linformer": Operator(
        linformer_attention,
        is_causal=False,
        order_dependent=True,
        given=("key_projection", "value_projection"),
    ),
    "cosformer": Operator(cosformer_attention, order_dependent=True),
    "nystromformer": Operator(nystromformer_attention, is_causal=False, order_dependent=True),
    "focused": Operator(focused_attention, is_causal=False, order_dependent=True, given=("kernel",)),
    "taylor": Operator(taylor_attention),
    "mean": Operator(mean_attention),
}
