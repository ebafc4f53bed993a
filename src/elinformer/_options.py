"""Checks that frozen dataclasses of options share."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from elinformer.errors import InputError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "str": ((str,), "text"),
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
        if not isinstance(value, types) or (words and isinstance(value, bool)):
            raise InputError(f"expected {field.name} to be {words}, got {value!r}")
