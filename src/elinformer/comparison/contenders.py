"""Contenders: models of the registry or of the user, naive forecasts, and models of other libraries."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from dataclasses import field, make_dataclass
from typing import TYPE_CHECKING, Any, cast

from torch import nn

from elinformer.comparison.plan import NAIVES, NAME, Contender
from elinformer.errors import InputError
from elinformer.models import MODELS, register_model
from elinformer.models.registry import check_model
from elinformer.options import split_model

if TYPE_CHECKING:
    from collections.abc import Callable

PEER = "nf:"
DEFAULT_MODELS = (
    "elinformer",
    *(f"elinformer@attention={name}" for name in ("softmax", "elu", "none")),
    "stid",
    "dlinear",
    *NAIVES,
)


def is_peer(name: str) -> bool:
    """Tell if the model of that name is from another library."""
    return name.startswith(PEER)


def make_contenders(models: Any) -> list[Contender]:
    """Return the models of a comparison, checked.

    Args:
        models: Names or classes; or a mapping from labels to names, classes or options, which include a
            `name` if the label is no name. A name may have options after an @: "elinformer@attention=softmax".

    Raises:
        InputError: No models, one of them twice, or one that does not exist or cannot have these options.
    """
    models = [models] if isinstance(models, str) else models
    named = dict(models) if isinstance(models, Mapping) else {_label(model): model for model in models}
    if not named or len(named) != len(models):
        repeated = "none" if not named else "one of them twice"
        raise InputError(f"expected one or more different models to compare, got {repeated}")
    contenders = [_contender(label, what) for label, what in named.items()]
    for contender in contenders:
        check_contender(contender)
    return contenders


def _label(model: Any) -> str:
    return model if isinstance(model, str) else _address_of_class(model).rpartition(":")[2]


def _contender(label: str, what: Any) -> Contender:
    if not NAME.fullmatch(label):
        raise InputError(f"expected a model's name of letters, digits, _ . : + - @ = and commas, got {label!r}")
    if not isinstance(what, str | Mapping):
        return Contender(label, _address_of_class(what), {})
    options = dict(what) if isinstance(what, Mapping) else {}
    name, own = split_model(what if isinstance(what, str) else str(options.pop("name", label)))
    return Contender(label, _address_of_name(name), {**own, **options})


def _address_of_class(model: Any) -> str:
    """Return `module:Class`, by which a worker imports a class of the user."""
    if not (inspect.isclass(model) and issubclass(model, nn.Module)):
        raise InputError(f"expected a model's name or a class of torch.nn.Module, got {model!r}")
    return _address(model, model.__qualname__)


def _address_of_name(name: str) -> str:
    """Return `module:name` for a model that the user registered, which a worker has to import; else the name."""
    build = MODELS[name].build if name in MODELS and ":" not in name else None
    return name if build is None or build.__module__.startswith("elinformer.") else _address(build, name)


def _address(model: Any, name: str) -> str:
    if model.__module__ == "__main__" or "<locals>" in model.__qualname__:
        raise InputError(
            f"expected a model that another process can import, but {model.__qualname__} is defined in "
            f"{model.__module__}: put it into a file of its own and import it"
        )
    return f"{model.__module__}:{name}"


def check_contender(contender: Contender) -> None:
    """Refuse a model that does not exist, or options that it cannot have."""
    if not contender.is_trained:
        if contender.options:
            raise InputError(f"expected no options for {contender.name}, got {', '.join(contender.options)}")
    elif is_peer(contender.name):
        _check_peer(contender)
    else:
        name = registered(contender.name)
        if name not in MODELS:
            raise InputError(
                f"expected a model out of {', '.join([*MODELS, *NAIVES])}, nf:NAME or module:Class, got "
                f"{contender.name!r}"
            )
        check_model(name, contender.options)


def _check_peer(contender: Contender) -> None:
    """Refuse a peer that does not exist, or whose library is not installed."""
    from elinformer.adapters.neuralforecast import PEERS, PeerForecaster

    name = contender.name.removeprefix(PEER)
    if name not in PEERS:
        raise InputError(f"expected a peer out of {', '.join(PEER + peer for peer in PEERS)}, got {contender.name!r}")
    PeerForecaster(name, options=contender.options)


def registered(name: str) -> str:
    """Return the name of a model in the registry; the module of `module:Class` is imported, and its class registered.

    Raises:
        InputError: It cannot be imported, or is no class.
    """
    if ":" not in name or name in MODELS:
        return name
    module_name, _, inside = name.partition(":")
    try:
        model: Any = importlib.import_module(module_name)
        if inside in MODELS and MODELS[inside].build.__module__ == module_name:
            return inside
        for part in inside.split("."):
            model = getattr(model, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"expected a model that can be imported as {name!r}, but {error}") from error
    if not callable(model):
        raise InputError(f"expected {name!r} to be a class of torch.nn.Module, got {model!r}")
    if known := [other for other, entry in MODELS.items() if entry.build is model]:
        return known[0]
    register_user_model(name, cast("Callable[..., nn.Module]", model))
    return name


def register_user_model(name: str, model: Callable[..., nn.Module]) -> None:
    """Register a class whose arguments are sizes and options, with a configuration made from its signature."""

    def build(config: Any) -> nn.Module:
        return model(**vars(config))

    register_model(name, _config_of(model))(build)


def _config_of(model: Callable[..., nn.Module]) -> type[Any]:
    """Make a dataclass of the arguments of a class: the sizes that it asks for by name, and its options."""
    parameters = inspect.signature(model).parameters.values()
    named = [p for p in parameters if p.kind in {p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY}]
    fields: list[Any] = [(p.name, Any) if p.default is p.empty else (p.name, Any, _default(p.default)) for p in named]
    return make_dataclass("Config", fields, kw_only=True)


def _default(value: Any) -> Any:
    return field(default_factory=lambda: value)
