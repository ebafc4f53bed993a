"""All attentions by name, and what has to be known before one takes another's place."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from elinformer.ops import others
from elinformer.ops.eala import eala_attention

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


class Operator(NamedTuple):
    """One attention.

    `call` has the signature of `eala_attention`. `is_causal` says whether it has a causal form;
    `order_dependent`, whether the output changes with the order of the keys; `given` names the tensors that it
    is called with besides, learned ones or drawn ones.
    """

    call: Callable[..., Tensor]
    is_causal: bool = True
    order_dependent: bool = False
    given: tuple[str, ...] = ()


OPERATORS: dict[str, Operator] = {
    "eala": Operator(eala_attention),
    "softmax": Operator(others.softmax_attention),
    "elu": Operator(others.elu_attention),
    "efficient": Operator(others.efficient_attention, is_causal=False),
    "performer": Operator(others.performer_attention, given=("projection",)),
    "linformer": Operator(
        others.linformer_attention,
        is_causal=False,
        order_dependent=True,
        given=("key_projection", "value_projection"),
    ),
    "cosformer": Operator(others.cosformer_attention, order_dependent=True),
    "nystromformer": Operator(others.nystrom_attention, is_causal=False, order_dependent=True),
    "focused": Operator(others.focused_attention, is_causal=False, order_dependent=True, given=("kernel",)),
    "taylor": Operator(others.taylor_attention),
}
