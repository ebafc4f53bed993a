"""Table of all attentions by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from elinformer.ops import baselines
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
    "softmax": Operator(baselines.softmax_attention),
    "elu": Operator(baselines.elu_attention),
    "efficient": Operator(baselines.efficient_attention, is_causal=False),
    "performer": Operator(baselines.performer_attention, given=("projection",)),
    "linformer": Operator(
        baselines.linformer_attention,
        is_causal=False,
        order_dependent=True,
        given=("key_projection", "value_projection"),
    ),
    "cosformer": Operator(baselines.cosformer_attention, order_dependent=True),
    "nystromformer": Operator(baselines.nystromformer_attention, is_causal=False, order_dependent=True),
    "focused": Operator(baselines.focused_attention, is_causal=False, order_dependent=True, given=("kernel",)),
    "taylor": Operator(baselines.taylor_attention),
    "mean": Operator(baselines.mean_attention),
}
