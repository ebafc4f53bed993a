"""Models by name: a dict and a decorator. docs/models.md says how to write one's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple, TypeVar

from torch import nn

from elinformer.errors import InputError

Builder = TypeVar("Builder", bound=Callable[[Any], nn.Module])


@dataclass(frozen=True)
class Sizes:
    """Sizes of a task; the words are those of `ELinFormerConfig`."""

    window: int
    horizon: int
    n_series: int
    n_channels: int = 1
    n_lags: int = 0
    n_slots: int = 0
    n_outputs: int = 1


class ModelEntry(NamedTuple):
    """Builder of a model, and the dataclass of sizes and options that it is built from."""

    build: Callable[[Any], nn.Module]
    config: type[Any]


MODELS: dict[str, ModelEntry] = {}


def register_model(name: str, config: type[Any]) -> Callable[[Builder], Builder]:
    """Decorate a class, or a function, that makes a model from a `config`."""

    def register(build: Builder) -> Builder:
        MODELS[name] = ModelEntry(build, config)
        return build

    return register


def check_model(name: str, options: Mapping[str, Any]) -> ModelEntry:
    """Return the entry of a model.

    Raises:
        InputError: No model has this name, or it does not have these options.
    """
    if not isinstance(name, str) or name not in MODELS:
        raise InputError(f"expected a model out of {', '.join(MODELS)}, got {name!r}: see docs/models.md for your own")
    entry = MODELS[name]
    known = _defaults(entry)
    if unknown := [option for option in options if option not in known]:
        raise InputError(f"expected model options out of {', '.join(known)} for {name}, got {', '.join(unknown)}")
    return entry


def whole_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return all options of a model, defaults included, as far as JSON can hold them."""
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
        InputError: No model has this name, or it cannot have these options or sizes.
    """
    entry, options = check_model(name, options or {}), options or {}
    used = {size: given for size, given in asdict(sizes).items() if size in entry.config.__dataclass_fields__}
    if sizes.n_lags and "n_lags" not in used:
        raise InputError(f"expected no lags for {name}, which does not use them, got {sizes.n_lags}: leave them out")
    if sizes.n_outputs > 1 and "n_outputs" not in used:
        raise InputError(
            f"expected a loss of one output for {name}, which has no n_outputs, got one of {sizes.n_outputs}"
        )
    try:
        config = entry.config(**used, **options)
    except ValueError as error:
        raise InputError(str(error)) from error
    return entry.build(config)
