"""The table of options: an option is one row, and the row is a field of a frozen dataclass.

    @dataclass(frozen=True)
    class TrainingConfig(Options):
        epochs: int = option(30, "Passes over the training windows.", at_least=1, flag=True)

The check of its values, the parser of its text, the flag of the command line and the line in docs/options.md are made
from the row.
"""

from __future__ import annotations

import math
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import cache
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from _typeshed import DataclassInstance

Value = TypeVar("Value")

ROW = "elinformer.option"
"""Key of a row in the metadata of its field."""

TRUTHS = {"true": True, "false": False}
NOTHING = "none"
"""Text that stands for None, where an option may be None."""
AUTO = "auto"
"""Value of an option that follows from the data, where its annotation has `Literal["auto"]` beside another type."""

WORDS: dict[type, tuple[str, str]] = {
    int: ("a whole number", "whole numbers such as 24,168"),
    float: ("a number", "numbers such as 0.6,0.2,0.2"),
    str: ("text", "texts"),
    bool: ("true or false", "true or false"),
}
"""Types of options in words: of one value, and of several."""


def option(
    default: Value,
    help: str,  # noqa: A002
    *,
    at_least: float | None = None,
    above: float | None = None,
    below: float | None = None,
    choices: Collection[str] = (),
    check: Callable[[Any], str | None] | None = None,
    flag: bool | str = False,
    compared: bool = True,
) -> Value:
    """Declare an option as the default of a field of a dataclass; the annotation gives its type.

    Args:
        default: Its value where nobody gives one.
        help: One or two sentences for the command line and the documentation.
        at_least: Smallest value.
        above: Number that every value is larger than.
        below: Number that every value is smaller than.
        choices: Its values; those of a `Literal` need not be repeated.
        check: Returns what was expected ("a split that ..."), or None where the value may be used.
        flag: Whether the command line has it as a flag, or the name of its flag if that is another.
        compared: Whether scores depend on it; False for options of where and how fast training runs.
    """
    limits = {"at_least": at_least, "above": above, "below": below}
    row = {"help": help, **limits, "choices": tuple(choices), "check": check, "flag": flag, "compared": compared}
    return field(default=default, metadata={ROW: row})


@dataclass(frozen=True)
class Row:
    """An option: name, type, default, help and check.

    Attributes:
        name: Name of the field.
        kind: int, float, str, bool, or object where the annotation is none of them.
        many: Whether the value is a tuple of such values.
        optional: Whether None is a value.
        automatic: Whether "auto" is a value.
        default: Value where nobody gives one; MISSING for sizes, which have none.
        help: Sentences for people.
        at_least: Smallest value.
        above: Number that every value is larger than.
        below: Number that every value is smaller than.
        choices: All values, or empty.
        check: Further check, see `option`.
        flag: Whether the command line has it, or the name of its flag.
        compared: Whether scores depend on it.
        is_checked: Whether values are checked; not for classes of users, which check their options themselves.
    """

    name: str
    kind: type
    many: bool
    optional: bool
    default: Any
    help: str = ""
    automatic: bool = False
    at_least: float | None = None
    above: float | None = None
    below: float | None = None
    choices: tuple[str, ...] = ()
    check: Callable[[Any], str | None] | None = None
    flag: bool | str = False
    compared: bool = True
    is_checked: bool = True

    @property
    def flag_name(self) -> str:
        """Flag of the command line, such as "--batch-size"."""
        return "--" + (self.flag if isinstance(self.flag, str) else self.name.replace("_", "-"))

    @property
    def expected(self) -> str:
        """Describe the type in words."""
        words = WORDS[self.kind][self.many] if self.kind in WORDS else "a value"
        return f"{words} or {AUTO}" if self.automatic else words

    def checked(self, value: Any) -> Any:
        """Return `value` in the type of the option: NumPy's numbers as Python's, lists and arrays as tuples.

        Raises:
            InputError: The option cannot have this value.
        """
        if not self.is_checked or (value is None and self.optional):
            return value
        if self.automatic and isinstance(value, str) and value == AUTO:
            return value
        if not self.many:
            found = self._one(value, value)
        elif value is not None and not isinstance(value, str) and hasattr(value, "__iter__"):
            found = tuple(self._one(part, value) for part in value)
        else:
            raise self._refusal(f"{self.name} to be {self.expected}", value)
        if self.check is not None and (expected := self.check(found)):
            raise self._refusal(expected, value)
        return found

    def parsed(self, text: str) -> Any:
        """Return the value that `text` stands for: "24", "0.7/0.1/0.2" or "0.7,0.1,0.2", "true", "none".

        Raises:
            InputError: The option cannot have this value.
        """
        text = text.strip()
        if (self.optional or (self.many and self.automatic)) and text.lower() == NOTHING:
            return () if self.many else None
        if self.automatic and text.lower() == AUTO:
            return AUTO
        try:
            numbers = text if self.kind is str else text.replace("/", ",")  # a name may have a slash
            parts = [part.strip() for part in numbers.split(",")] if self.many else [text]
            values = [_from_text(part, self.kind) for part in parts]
        except (KeyError, ValueError) as error:
            raise self._refusal(f"{self.name} to be {self.expected}", text) from error
        return self.checked(values if self.many else values[0])

    def _one(self, value: Any, given: Any) -> Any:
        if self.kind is not object:
            value = _converted(value, self.kind)
            if value is None:
                raise self._refusal(f"{self.name} to be {self.expected}", given)
        if self.choices and value not in self.choices:
            raise self._refusal(f"{self.name} out of {', '.join(self.choices)}", given)
        for limit, words, holds in (
            (self.at_least, "of at least", lambda a, b: b <= a < math.inf),
            (self.above, "above", lambda a, b: b < a < math.inf),
            (self.below, "to be a share below" if (self.at_least, self.below) == (0, 1) else "below", float.__lt__),
        ):
            if limit is not None and not holds(float(value), float(limit)):  # NaN is refused by each of them
                raise self._refusal(f"{self.name} {words} {limit}", given)
        return value

    def _refusal(self, expected: str, value: Any) -> InputError:
        shown = value if isinstance(value, int | float) else repr(value)
        return InputError(f"expected {expected}, got {shown}")


def _converted(value: Any, kind: type) -> Any:
    """Return the value as a `kind`, None where it is none."""
    if isinstance(value, bool) and kind is not bool:
        return None
    if kind is int:
        return int(value) if isinstance(value, Integral) else None
    if kind is float:
        return float(value) if isinstance(value, Real) else None
    return value if isinstance(value, kind) else None


def _from_text(text: str, kind: type) -> Any:
    if kind is bool:
        return TRUTHS[text.lower()]
    return text if kind is object else kind(text)


class Options:
    """Base of frozen dataclasses of options: the rows check the values and complete the docstring.

    A field without a row is a size that the task gives: a whole number of at least 1.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        declared = {name: value for name, value in vars(cls).items() if isinstance(value, Field)}
        lines = [f"        {name}: {value.metadata[ROW]['help']}" for name, value in declared.items() if value.metadata]
        if lines:
            head = "" if "    Attributes:\n" in (cls.__doc__ or "") else "\n    Attributes:\n"
            cls.__doc__ = f"{(cls.__doc__ or '').rstrip()}\n{head}" + "\n".join(lines) + "\n    "

    def __post_init__(self) -> None:
        for name, row in rows(type(self)).items():
            object.__setattr__(self, name, row.checked(getattr(self, name)))  # the dataclass is frozen


@cache
def rows(options: type[DataclassInstance] | type[Options]) -> dict[str, Row]:
    """Return the rows of a dataclass by name, whether its fields were declared by `option` or not."""
    hints, ours = _hints(options), issubclass(options, Options)
    found = [entry for entry in fields(options) if entry.init]  # pyright: ignore[reportArgumentType]
    return {entry.name: _row(entry, hints.get(entry.name, object), is_checked=ours) for entry in found}


def _hints(options: type[Any]) -> dict[str, Any]:
    try:
        return get_type_hints(options)
    except NameError:  # a class of the user's, with types that only a type checker sees
        return {}


def _row(entry: Field[Any], hint: Any, *, is_checked: bool) -> Row:
    optional = automatic = False
    if get_origin(hint) in {Union, UnionType}:
        optional, automatic = NoneType in get_args(hint), Literal["auto"] in get_args(hint)
        (hint, *others) = (kind for kind in get_args(hint) if kind not in {NoneType, Literal["auto"]})
        hint = object if others else hint
    many = get_origin(hint) is tuple
    choices = get_args(hint) if get_origin(hint) is Literal else ()
    kind = str if choices else get_args(hint)[0] if many else hint
    if kind not in WORDS:
        kind = type(entry.default) if type(entry.default) in WORDS else object
    declared = dict(entry.metadata.get(ROW, {}))
    if not declared and entry.default is MISSING and kind is int:
        declared["at_least"] = 1
    declared["choices"] = tuple(declared.get("choices", ())) or choices
    return Row(entry.name, kind, many, optional, entry.default, automatic=automatic, is_checked=is_checked, **declared)


def read_assignments(text: str, known: Mapping[str, Row], whose: str) -> dict[str, Any]:
    """Return the options in "window=24,split=0.7/0.1/0.2" by name.

    Args:
        text: Assignments with commas between them.
        known: Rows by name.
        whose: Words for the message, such as "of data".

    Raises:
        InputError: An option that is not among the rows, or cannot have this value.
    """
    found: dict[str, Any] = {}
    for pair in text.split(","):
        name, equals, value = (part.strip() for part in pair.partition("="))
        if name not in known or not equals:
            raise InputError(
                f"expected options {whose} such as {_example(known)} after the @, got {pair!r}: there are "
                f"{', '.join(known)}"
            )
        found[name] = known[name].parsed(value)
    return found


def _example(known: Mapping[str, Row]) -> str:
    row = next((row for row in known.values() if type(row.default) is int and row.default), next(iter(known.values())))
    return f"{row.name}={row.default}"


def check_names(given: Collection[str], known: Collection[str], what: str, whose: str = "") -> None:
    """Refuse names that no option has; `what` and `whose` are words for the message.

    Raises:
        InputError: Such a name, with those that there are.
    """
    if unknown := [name for name in given if name not in known]:
        raise InputError(f"expected {what} out of {', '.join(known)}{whose}, got {', '.join(unknown)}")
