"""Settings of a run, from the weakest voice to the strongest: defaults, catalogue, TOML file, command line."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

TABLES = ("model", "training")

TYPES: dict[str, tuple[type, ...]] = {
    "window": (int,),
    "horizon": (int,),
    "lags": (list, tuple),
    "split": (list, tuple),
    "null_value": (float, int),
    "start": (str,),
    "freq": (str,),
    "steps_per_day": (int,),
    "scale_per": (str,),
    "model": (dict,),
    "training": (dict,),
}


@dataclass(frozen=True)
class Settings:
    """Everything that `elinformer train` can be told, apart from where things are.

    Attributes:
        window: Input steps.
        horizon: Output steps.
        lags: Seasons, in steps, whose values at the hours to forecast are read too.
        split: Fractions for training, validation and test.
        null_value: A number that stands for missing.
        start: Time of the first step, for files that do not say.
        freq: Step as pandas writes it, for files that do not say.
        steps_per_day: Where only a part of every day is recorded.
        scale_per: "series" or "channel".
        model: The `name` of a model of `elinformer.models.MODELS`, and options of its configuration.
        training: Options of `TrainingConfig`.
    """

    window: int = 12
    horizon: int = 12
    lags: tuple[int, ...] = ()
    split: tuple[float, ...] = (0.6, 0.2, 0.2)
    null_value: float | None = None
    start: str | None = None
    freq: str | None = None
    steps_per_day: int | None = None
    scale_per: Literal["series", "channel"] = "series"
    model: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)

    def updated(self, changes: Mapping[str, Any]) -> Settings:
        """With `changes`, of which None says nothing; the tables `model` and `training` are merged.

        Raises:
            InputError: A name that is no setting, or a value of the wrong type.
        """
        unknown = [name for name in changes if name not in TYPES]
        if unknown:
            raise InputError(f"expected settings out of {', '.join(TYPES)}, got {', '.join(unknown)}")
        values = {name: value for name, value in changes.items() if value is not None}
        for name, value in values.items():
            _check_type(name, value, TYPES[name])
        for table in TABLES:
            said = {k: v for k, v in values.get(table, {}).items() if v is not None}
            values[table] = {**getattr(self, table), **said}
        values.update({name: tuple(values.get(name, getattr(self, name))) for name in ("lags", "split")})
        return replace(self, **values)


def _check_type(name: str, value: object, types: tuple[type, ...]) -> None:
    if not isinstance(value, types) or isinstance(value, bool):
        expected = " or ".join(kind.__name__ for kind in types)
        raise InputError(f"expected {name} to be {expected}, got {value!r}")


def read_settings(path: str | Path) -> dict[str, Any]:
    """The changes that a TOML file asks for.

    Raises:
        InputError: No such file, or no TOML.
    """
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"expected a TOML file at {path}, but it cannot be read ({error})") from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"expected TOML in {path}, but {error}") from error


def parse_lags(text: str) -> tuple[int, ...]:
    """Whole numbers out of "24,168"."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"expected lags in steps such as 24,168, got {text!r}") from error


def parse_split(text: str) -> tuple[float, ...]:
    """Three fractions out of "0.6,0.2,0.2"."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(f"expected a split of three numbers such as 0.6,0.2,0.2, got {text!r}") from error


def catalogue_settings(name: str) -> dict[str, Any]:
    """What the literature does with a data set of the catalogue; nothing for a path."""
    from elinformer.data.catalog import CATALOG

    dataset = CATALOG.get(name.lower())
    if dataset is None:
        return {}
    loss_scale = None if dataset.homogeneous else "seasonal"
    said = {key: getattr(dataset, key) for key in ("window", "horizon", "split")}
    return {**said, "training": {"loss_scale": loss_scale}}
