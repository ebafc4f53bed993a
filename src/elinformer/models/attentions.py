"""The attentions an ELinFormer can have, by the names of its twins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from elinformer.errors import InputError
from elinformer.nn import EalaOperator, LinformerOperator
from elinformer.ops.checks import check_feature_map

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from elinformer.ops.features import FeatureMap

NO_ATTENTION = "none"
"""No attention sublayer at all: every token by itself."""


def mean_attention(
    query: Tensor, key: Tensor, value: Tensor, *, key_mask: Tensor | None = None, is_causal: bool = False
) -> Tensor:
    """The mean of the values that take part, for every query alike: the member of EALA's family with c = infinity.

    Shapes and masks as `elinformer.ops.eala_attention`; no key that takes part gives zeros.

    Raises:
        InputError: With `is_causal`.
    """
    if is_causal:
        raise InputError("expected is_causal=False, got True: mean_attention is over all keys")
    seen = torch.ones_like(key[..., :1], dtype=torch.bool) if key_mask is None else key_mask[..., None]
    mean = torch.where(seen, value, 0).sum(-2, keepdim=True) / seen.sum(-2, keepdim=True).clamp_min(1)
    return mean.expand(*query.shape[:-1], -1)


ATTENTIONS: dict[str, str | Callable[..., Tensor]] = {
    "eala": "eala",
    "softmax": "softmax",
    "linear": "elu",
    "efficient": "efficient",
    "performer": "performer",
    "linformer": "linformer",
    "cosformer": "cosformer",
    "nystrom": "nystromformer",
    "focused": "focused",
    "taylor": "taylor",
    "mean": mean_attention,
}
"""What stands for the name in `EntropyLinearAttention(operator=...)`."""


def check_attention(name: str, feature_map: FeatureMap) -> None:
    """Raise InputError for a name that no attention has, or no feature map."""
    check_feature_map(feature_map)
    if name not in {*ATTENTIONS, NO_ATTENTION}:
        raise InputError(f"expected attention out of {', '.join(ATTENTIONS)}, {NO_ATTENTION}, got {name!r}")


def attention_operator(name: str, length: int, feature_map: FeatureMap) -> str | Callable[..., Tensor]:
    """The operator of that name, for `length` tokens; `feature_map` is that of EALA."""
    if name == "eala":
        return EalaOperator(feature_map)
    return LinformerOperator(length) if name == "linformer" else ATTENTIONS[name]
