"""Arguments that a function does not have, or whose kind it cannot use: one sentence, as for all wrong input."""

from __future__ import annotations

import inspect
import os
import re
from dataclasses import fields
from difflib import get_close_matches
from functools import wraps
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ParamSpec, TypedDict, TypeVar

from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from _typeshed import DataclassInstance

    from elinformer.data.form import Resample

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
Record = TypeVar("Record", bound="DataclassInstance")


class FrameOptions(TypedDict, total=False):
    """Options of reading a frame, as in `panel_from_frame`: names of columns, zone, and steps of irregular times."""

    id_col: str
    time_col: str
    target_col: str
    targets: Sequence[str]
    tz: str
    resample: Resample


SYNONYMS = {
    "part": "split",
    "h": "horizon",
    "input_size": "window",
    "dataset": "data",
    "df": "data",
    "frequency": "freq",
}
"""Words that other versions and libraries use."""


KINDS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "int": (Integral, "a whole number"),
    "float": (Real, "a number"),
    "bool": (bool, "True or False"),
    "str": (str, "text"),
    "Path": (os.PathLike, "a path"),
    "None": (type(None), "None"),
}
"""Words of an annotation that are checked, with their types and their names in a sentence."""
TOO_LARGE = 1 << 1024
"""Whole number that is too large for a float."""
CLASSES = ("Console", "Machines", "TrainedModel", "UnfinishedRun")
"""Classes of an annotation that are checked by their names, so that they need not be imported."""


def explain_arguments(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Let a function refuse wrong arguments with an InputError instead of a TypeError.

    These are arguments that it does not have, and those of another kind than their annotation, if that consists of
    numbers, text, paths and a few classes. Text is no list.
    """
    signature = inspect.signature(function)
    parameters = signature.parameters.values()
    known = [
        one.name
        for one in parameters
        if one.name not in {"self", "cls"} and one.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    annotations = {one.name: one.annotation for one in parameters if isinstance(one.annotation, str)}
    if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters):
        known += FrameOptions.__annotations__

    @wraps(function)
    def explained(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        unknown = [name for name in kwargs if name not in known]
        if unknown:
            raise InputError(
                f"expected arguments out of {', '.join(known)}, got {unknown[0]}=...{_hint(unknown[0], known)}"
            )
        for name, value in zip(signature.parameters, args, strict=False):
            _check_kind(name, value, annotations.get(name, ""))
        for name, value in kwargs.items():
            _check_kind(name, value, annotations.get(name, ""))
        return function(*args, **kwargs)

    return explained


def _check_kind(name: str, value: Any, annotation: str) -> None:
    """Refuse a value of another kind than its annotation.

    Raises:
        InputError: It is of another kind.
    """
    words = re.split(r"\s*\|\s*", re.sub(r"\[.*?\]", "", annotation))
    if not all(word in KINDS or word in CLASSES or word == "Sequence" for word in words):
        return
    if "Sequence" in words and not isinstance(value, str | Real):
        return
    if words[0] == "Sequence" and (isinstance(value, str) or not {"int", "float"} & {*words}):
        raise InputError(f"expected a list as {name}, got {value!r}: pass {name}=[{value!r}]")
    names = {kind.__name__ for kind in type(value).__mro__}
    if any(word in names for word in words if word in CLASSES):
        return
    kinds = [KINDS[word] for word in words if word in KINDS]
    flag = isinstance(value, bool)
    if any(isinstance(value, kind) for kind, _ in kinds) and (not flag or "bool" in words):
        if "float" in words and isinstance(value, Integral) and abs(int(value)) >= TOO_LARGE:
            raise InputError(f"expected {name} as a number that a float can hold, got one of many digits")
        return
    expected = " or ".join(dict.fromkeys(text for _, text in kinds if text != "None")) or " or ".join(words)
    if hasattr(value, "columns") or hasattr(value, "column_names"):
        raise InputError(f"expected {name} as {expected}, got a data frame: pass it to Forecaster(...).fit")
    raise InputError(f"expected {name} as {expected}, got {value!r}")


def check_fields(record: Record) -> Record:
    """Return a record that was made of a document, after a check of the kinds of its fields.

    Raises:
        TypeError: A field is of another kind than its annotation, as in `explain_arguments`.
    """
    for field in fields(record):
        try:
            _check_kind(field.name, getattr(record, field.name), str(field.type))
        except InputError as error:
            raise TypeError(str(error)) from error
    return record


def _hint(name: str, known: list[str]) -> str:
    near = [SYNONYMS[name]] if SYNONYMS.get(name) in known else get_close_matches(name, known, n=1)
    return f": did you mean {near[0]}?" if near else ": leave it out"
