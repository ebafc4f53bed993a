"""ELinFormers with another attention, each a model by its own name; what they differ in is the attention alone."""

from typing import Any

from elinformer.models.attentions import ATTENTIONS, NO_ATTENTION
from elinformer.models.elinformer import ELinFormer, ELinFormerConfig
from elinformer.models.registry import register_model
from elinformer.ops.registry import OPERATORS

_OF_EALA = {"feature_map": "identity"}
"""Options that are EALA's alone: a twin has no use for them, and so none of them to choose."""

_WITHOUT: dict[str, dict[str, Any]] = {
    "mean": {"calibrated": False},
    NO_ATTENTION: {"calibrated": False, "own_value": False},
}
"""Options that a twin has no use for, as there is nothing to flatten, or nothing to add to."""

TWINS = tuple(name for name in (*ATTENTIONS, NO_ATTENTION) if name != "eala")

for _name in TWINS:
    _operator = OPERATORS.get(str(ATTENTIONS.get(_name)))
    register_model(
        _name,
        ELinFormerConfig,
        fixed=_OF_EALA | {"attention": _name} | _WITHOUT.get(_name, {}),
        order_dependent=_operator is not None and _operator.order_dependent,
    )(ELinFormer)
