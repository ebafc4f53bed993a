"""The defaults that runs of earlier schemas had, so that those of today change no forecast."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from elinformer.models.elinformer_config import ELinFormerConfig
from elinformer.models.registry import MODELS, check_model

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULTS_BEFORE: dict[int, dict[str, dict[str, Any]]] = {
    3: {"model": {"feature_map": "relu"}, "training": {"averaged_epochs": 0.0}},
    4: {"model": {"activation": "gelu", "embedding_rate": 1.0}, "training": {}},
    5: {"model": {"calibrated": False}, "training": {}},
    6: {"model": {"normalised": "tokens", "recall": True}, "training": {}},
    7: {"model": {"feature_map": "identity"}, "training": {}},
}
"""What defaults, of an ELinFormer and of training, were before a schema where they are others now.

From schema 3 on a run has all options that there were; before, only those that differed from the defaults. An option
that is new belongs here too, unless its default is what was done before there was one.
"""

NOW_FIXED: dict[int, tuple[str, ...]] = {7: ("feature_map",)}
"""Options that runs of models had before a schema whose names fix them now: twins, which had no use for this one."""


def options_of_run(schema: int, name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the model of a run of `schema`, with the defaults of then and without those that are gone.

    Raises:
        InputError: No model of that name.
    """
    fixed = check_model(name, {}).fixed
    gone = {option for since, names in NOW_FIXED.items() if schema < since for option in names if option in fixed}
    return model_defaults_before(schema, name) | {option: options[option] for option in options if option not in gone}


def model_defaults_before(schema: int, name: str) -> dict[str, Any]:
    """The defaults of that model that a run of `schema` had and that are others now; none but of an ELinFormer."""
    entry = MODELS.get(name)
    if entry is None or not issubclass(entry.config, ELinFormerConfig):
        return {}
    before = _defaults_before(schema, "model")
    return {option: value for option, value in before.items() if option not in entry.fixed}


def training_defaults_before(schema: int) -> dict[str, Any]:
    """The defaults of training that a run of `schema` had and that are others now."""
    return _defaults_before(schema, "training")


def _defaults_before(schema: int, what: Literal["model", "training"]) -> dict[str, Any]:
    before: dict[str, Any] = {}
    for since in sorted(DEFAULTS_BEFORE, reverse=True):  # back in time: what was changed twice ends as it first was
        if schema < since:
            before |= DEFAULTS_BEFORE[since][what]
    return before
