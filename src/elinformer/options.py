"""One table of all options, and what is made from it: settings, flags, and the options after an @.

An option is declared where it is used, as a field of a dataclass: `elinformer.data.options`, `TrainingConfig`, the
configuration of each model. Nothing here names one.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elinformer._options import Row, check_names, read_assignments, rows
from elinformer.data.catalog import CATALOG
from elinformer.data.io.limits import check_regular
from elinformer.data.options import ReadingOptions, TaskOptions
from elinformer.errors import InputError
from elinformer.training.config import TrainingConfig

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TRAINING = rows(TrainingConfig)
"""Options of training, which a settings file has in the table [training]."""

DATA = {**rows(TaskOptions), **rows(ReadingOptions)}
"""Options of the task and of reading, which stand at the top of a settings file."""

TABLES = ("model", "training")

LABEL = Row("name", str, many=False, optional=False, default="")
"""Name of a data set in the tables of a comparison."""


@dataclass(frozen=True)
class Settings(ReadingOptions, TaskOptions):
    """Everything that `elinformer train` can be told, apart from paths.

    Attributes:
        model: The `name` of a model of `elinformer.models.MODELS`, and options of its configuration.
        training: Options of `TrainingConfig`.
    """

    model: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)

    @property
    def reading(self) -> dict[str, Any]:
        """Options of reading by name, as `read_panel` takes them and a run keeps them."""
        found = {name: getattr(self, name) for name in rows(ReadingOptions)}
        return found if self.static is None else found | {"static": str(Path(self.static).expanduser().resolve())}

    def updated(self, changes: Mapping[str, Any]) -> Settings:
        """Return settings with `changes`, in which None changes nothing; `model` and `training` are merged by name.

        Raises:
            InputError: A name that no setting has, or a value that it cannot have.
        """
        check_names(changes, [*DATA, *TABLES], "settings")
        values = {name: value for name, value in changes.items() if value is not None}
        for table in TABLES:
            values[table] = {**getattr(self, table), **_given(table, values.get(table, {}))}
        check_names(values["training"], TRAINING, "training options")
        values["training"] = {name: TRAINING[name].checked(value) for name, value in values["training"].items()}
        return replace(self, **values)


def _given(table: str, changes: Any) -> dict[str, Any]:
    if not isinstance(changes, dict):
        raise InputError(f"expected {table} to be a table of options, got {changes!r}: write [{table}] above them")
    return {name: value for name, value in changes.items() if value is not None}


def read_settings(path: str | Path) -> dict[str, Any]:
    """Read the changes that a TOML file asks for.

    Raises:
        InputError: No such file, or no TOML.
    """
    try:
        check_regular(Path(path))
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"expected TOML in {path}, but {error}") from error
    except (OSError, ValueError) as error:  # no access, no UTF-8, a NUL in the path, a number of 5,000 digits
        raise InputError(f"expected a TOML file at {path}, but it cannot be read ({error})") from error


def catalogue_settings(name: str) -> dict[str, Any]:
    """Return the settings that the literature uses for a data set of the catalogue; none for a path."""
    dataset = CATALOG.get(name.lower())
    if dataset is None:
        return {}
    task = {key: getattr(dataset, key) for key in ("window", "horizon", "split")}
    return task if dataset.homogeneous else {**task, "training": {"loss_scale": "seasonal"}}


def settings_for(data: str, config: str | Path | None, given: Mapping[str, Any]) -> Settings:
    """Return the settings of a command: defaults < catalogue < TOML file < what was given on the command line."""
    settings = Settings().updated(catalogue_settings(data))
    return settings.updated({} if config is None else read_settings(config)).updated(given)


def in_tables(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options by name as changes of settings: those of training go into the table `training`."""
    changes: dict[str, Any] = {name: value for name, value in options.items() if name not in TRAINING}
    return {**changes, "training": {name: value for name, value in options.items() if name in TRAINING}}


def flag_rows(*, compared: bool = False) -> dict[str, Row]:
    """Return the options that the command line has as flags, or those of them that change scores."""
    known = {**DATA, **TRAINING}
    return {name: row for name, row in known.items() if row.flag and (row.compared or not compared)}


def search_space(texts: Sequence[str], model: str) -> dict[str, list[Any] | tuple[Any, ...]]:
    """Return the values to search, by option, from texts such as "n_layers=1,2,3" and "learning_rate=5e-4:1e-2:log".

    Args:
        texts: An option each, with values that have commas between them, or with the lowest and the highest value.
        model: Name of the model, whose options may be searched too.

    Raises:
        InputError: An option that is unknown, or values that it cannot have.
    """
    from elinformer.models.registry import model_rows

    known = {**rows(TaskOptions), **TRAINING, **model_rows(model)}
    space: dict[str, list[Any] | tuple[Any, ...]] = {}
    for text in texts:
        name, _, values = text.partition("=")
        check_names([name], known, "options to search")
        low, *high = values.split(":")
        if not high:
            space[name] = [known[name].parsed(value) for value in values.split(",")]
            continue
        scale = high[1:]
        if scale not in ([], ["log"]):
            raise InputError(f"expected {name}=LOWEST:HIGHEST or {name}=LOWEST:HIGHEST:log, got {text!r}")
        space[name] = (known[name].parsed(low), known[name].parsed(high[0]), *scale)
    return space


def settings_text(settings: Settings) -> str:
    """Return a TOML file with all settings that differ from the defaults."""
    defaults = Settings()
    top = {name: getattr(settings, name) for name in DATA if getattr(settings, name) != getattr(defaults, name)}
    lines = [_assignment(name, value) for name, value in top.items()]
    for table in TABLES:
        lines += ["", f"[{table}]", *(_assignment(name, value) for name, value in getattr(settings, table).items())]
    return "\n".join(lines).strip() + "\n"


def _assignment(name: str, value: Any) -> str:
    return f"{name} = {json.dumps(value)}"  # a value of TOML too


def split_address(text: str) -> tuple[str, dict[str, Any]]:
    """Split `speeds.npz@window=24,split=0.7/0.1/0.2` into a path or name, and changes of its settings.

    The changes may also have a `name`.

    Raises:
        InputError: An option after the @ that data cannot have.
    """
    source, at, rest = text.rpartition("@")
    if not at or "=" not in rest:
        return text, {}
    training = {name: row for name, row in TRAINING.items() if row.compared}
    return source, in_tables(read_assignments(rest, {"name": LABEL, **DATA, **training}, "of data"))


def split_model(text: str) -> tuple[str, dict[str, Any]]:
    """Split "elinformer@attention=softmax,n_layers=2" into the name of a model and its options.

    Raises:
        InputError: No such model, or an option after the @ that it cannot have.
    """
    from elinformer.models.registry import check_model, model_rows

    name, at, rest = text.partition("@")
    if not at:
        return text, {}
    check_model(name, {})
    return name, read_assignments(rest, model_rows(name), f"of {name}")
