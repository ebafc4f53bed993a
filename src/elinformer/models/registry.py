"""Registry of models by name: a dict and a decorator. docs/models.md shows how to add a model."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, TypeVar

from torch import nn

from elinformer._options import Options, Row, check_names, option, rows
from elinformer.batch import COVARIATES
from elinformer.errors import InputError

Builder = TypeVar("Builder", bound=Callable[[Any], nn.Module])


@dataclass(frozen=True)
class Sizes:
    """Sizes of a forecasting task; the fields are those of `ELinFormerConfig`."""

    window: int
    horizon: int
    n_series: int
    n_channels: int = 1
    n_lags: int = 0
    n_means: int = 0
    n_slots: int = 0
    n_seasons: int = 0
    n_outputs: int = 1
    n_past: int = 0
    n_future: int = 0
    n_static: int = 0


@dataclass(frozen=True)
class SeriesSizes(Options):
    """Sizes that the task gives to a model with embeddings of series and calendar: the first options of its config.

    Attributes:
        window: T, input steps.
        horizon: S, output steps.
        n_series: N, series that have embeddings of their own.
    """

    window: int
    horizon: int
    n_series: int
    n_channels: int = option(1, "C, channels of a series.", at_least=1)
    n_slots: int = option(
        0, "Slots of a day in the calendar (288 for steps of 5 minutes); 0 = no calendar.", at_least=0
    )
    n_outputs: int = option(1, "K, outputs for every target; the loss says how many.", at_least=1)


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
    known = model_rows(name)
    check_names(options, known, "model options", f" for {name}")
    for key, value in options.items():
        known[key].checked(value)
    return MODELS[name]


def model_rows(name: str) -> dict[str, Row]:
    """Return the options of a registered model by name: the fields of its configuration that the task does not give."""
    return {key: row for key, row in rows(MODELS[name].config).items() if key not in Sizes.__annotations__}


def whole_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a model and the defaults of the others, as far as JSON gives them back as they are."""
    check_model(name, options)
    known = model_rows(name)
    defaults = {key: row.default for key, row in known.items() if _is_plain(row.default)}
    return {**defaults, **{key: known[key].checked(value) for key, value in options.items()}}


def _is_plain(value: Any) -> bool:
    return value is None or type(value) in {bool, int, str} or (type(value) is float and math.isfinite(value))


def scales_windows(name: str) -> bool:
    """Return True if a registered model takes windows that are scaled one by one: see `elinformer.models.scaled`."""
    return bool(getattr(MODELS[name].build, "scales_windows", False))


def uses_lags(name: str) -> bool:
    """Return True if a registered model reads lags."""
    return "n_lags" in MODELS[name].config.__dataclass_fields__


def has_outputs(name: str) -> bool:
    """Return True if a registered model can have several outputs for every target."""
    return "n_outputs" in MODELS[name].config.__dataclass_fields__


def build_model(name: str, sizes: Sizes, options: Mapping[str, Any] | None = None) -> nn.Module:
    """Build a new model.

    Raises:
        InputError: No model has this name, or the model does not take these options or sizes.
    """
    entry, options = check_model(name, options or {}), options or {}
    used = {size: value for size, value in asdict(sizes).items() if size in entry.config.__dataclass_fields__}
    if sizes.n_lags and "n_lags" not in used:
        raise InputError(f"expected no lags for {name}, which does not use them, got {sizes.n_lags}: remove the lags")
    if sizes.n_means and "n_means" not in used:
        raise InputError(
            f"expected n_means beside n_lags in the configuration of {name}, got none: horizon steps of each mean "
            "stand before the lags"
        )
    covariates = [name for name in COVARIATES if getattr(sizes, f"n_{name}") and f"n_{name}" not in used]
    if covariates:
        holidays = " or holidays" if "future" in covariates else ""
        raise InputError(
            f"expected no {' and '.join(covariates)} covariates{holidays} for {name}, which does not use them: leave "
            "them out, or choose another model"
        )
    if sizes.n_outputs > 1 and "n_outputs" not in used:
        raise InputError(
            f"expected a loss of one output for {name}, which has no n_outputs, got one of {sizes.n_outputs}"
        )
    try:
        config = entry.config(**used, **options)
    except ValueError as error:
        raise InputError(str(error)) from error
    return entry.build(config)
