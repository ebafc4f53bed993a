"""Registry of models by name: a dict and a decorator. docs/models.md shows how to add a model."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from torch import nn

from elinformer.batch import COVARIATES
from elinformer.errors import InputError

if TYPE_CHECKING:
    from elinformer.batch import Batch

Builder = TypeVar("Builder", bound=Callable[[Any], nn.Module])


@dataclass(frozen=True)
class Sizes:
    """Sizes of a forecasting task; the fields are those of `ELinFormerConfig`."""

    window: int
    horizon: int
    n_series: int
    n_channels: int = 1
    n_lags: int = 0
    n_slots: int = 0
    n_outputs: int = 1


class ModelEntry(NamedTuple):
    """Function that builds a model, and the dataclass of the sizes and options that it takes."""

    build: Callable[[Any], nn.Module]
    config: type[Any]


MODELS: dict[str, ModelEntry] = {}


def register_model(name: str, config: type[Any]) -> Callable[[Builder], Builder]:
    """Return a decorator that registers a class, or a function, which makes a model from a `config`."""

    def register(build: Builder) -> Builder:
        MODELS[name] = ModelEntry(build, config)
        return build

    return register


def check_model(name: str, options: Mapping[str, Any]) -> ModelEntry:
    """Return the entry of a model.

    Raises:
        InputError: No model has this name, or the model does not have these options.
    """
    if not isinstance(name, str) or name not in MODELS:
        raise InputError(
            f"expected a model out of {', '.join(MODELS)}, got {name!r}: docs/models.md shows how to add one"
        )
    entry = MODELS[name]
    defaults = _defaults(entry)
    if unknown := [option for option in options if option not in defaults]:
        raise InputError(f"expected model options out of {', '.join(defaults)} for {name}, got {', '.join(unknown)}")
    return entry


def whole_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return all options of a model, with the defaults that JSON can store."""
    defaults = _defaults(check_model(name, options))
    return {**{option: value for option, value in defaults.items() if _is_plain(value)}, **options}


def _defaults(entry: ModelEntry) -> dict[str, Any]:
    sizes = Sizes.__annotations__
    return {f.name: f.default for f in fields(entry.config) if f.init and f.name not in sizes}


def _is_plain(value: Any) -> bool:
    return value is None or type(value) in {bool, int, str} or (type(value) is float and math.isfinite(value))


def build_model(name: str, sizes: Sizes, options: Mapping[str, Any] | None = None) -> nn.Module:
    """Build a new model.

    Raises:
        InputError: No model has this name, or the model does not take these options or sizes.
    """
    entry, options = check_model(name, options or {}), options or {}
    used = {size: value for size, value in asdict(sizes).items() if size in entry.config.__dataclass_fields__}
    if sizes.n_lags and "n_lags" not in used:
        raise InputError(f"expected no lags for {name}, which does not use them, got {sizes.n_lags}: remove the lags")
    if sizes.n_outputs > 1 and "n_outputs" not in used:
        raise InputError(
            f"expected a loss of one output for {name}, which has no n_outputs, got one of {sizes.n_outputs}"
        )
    try:
        config = entry.config(**used, **options)
    except ValueError as error:
        raise InputError(str(error)) from error
    return entry.build(config)


def refuse_unused(model: nn.Module, batch: Batch) -> None:
    """Refuse covariates that a model does not use.

    Raises:
        InputError: The batch has such covariates.
    """
    uses = getattr(model, "uses", ())
    unused = [name for name in COVARIATES if getattr(batch, name) is not None and name not in uses]
    if unused:
        raise InputError(
            f"expected no {' and '.join(unused)} covariates for {type(model).__name__}, which does not use them: "
            "remove them, or choose another model"
        )
