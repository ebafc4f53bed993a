"""Checks that frozen dataclasses of options share."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import TYPE_CHECKING

from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection

    from _typeshed import DataclassInstance

KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "str": ((str,), "text"),
    "bool": ((bool,), "true or false"),
}


def check_types(options: DataclassInstance) -> None:
    """Refuse options that are no number, or no text, where their annotation says so.

    Options come from TOML and JSON files too, which no type checker has seen.

    Raises:
        InputError: Such an option, with what it is.
    """
    for field in fields(options):
        types, words = KINDS.get(str(field.type), ((object,), ""))
        value = getattr(options, field.name)
        if not isinstance(value, types) or (words and isinstance(value, bool) and bool not in types):
            raise InputError(f"expected {field.name} to be {words}, got {value!r}")


def check_sizes(options: DataclassInstance, *, shares: Collection[str] = (), may_be_zero: Collection[str] = ()) -> None:
    """Refuse numbers below 1, or below 0 where they may be zero, and shares that are not in [0, 1).

    Raises:
        InputError: Such an option, or one of the wrong type.
    """
    check_types(options)
    for field in fields(options):
        value, least = getattr(options, field.name), 0 if field.name in {*shares, *may_be_zero} else 1
        if isinstance(value, str | bool):
            continue
        if not least <= value < math.inf:  # NaN is neither
            raise InputError(f"expected {field.name} of at least {least}, got {value}")
        if field.name in shares and value >= 1:
            raise InputError(f"expected {field.name} to be a share below 1, got {value}")
