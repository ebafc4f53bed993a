"""Arguments that a function does not have: one sentence with the nearest name, as for every other wrong input."""

from __future__ import annotations

import inspect
from difflib import get_close_matches
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypedDict, TypeVar

from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from elinformer.data.form import Resample

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


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


def explain_arguments(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Let a function refuse arguments that it does not have with an InputError instead of a TypeError."""
    signature = inspect.signature(function)
    parameters = signature.parameters.values()
    known = [one.name for one in parameters if one.name != "self" and one.kind is not inspect.Parameter.VAR_KEYWORD]
    if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters):
        known += FrameOptions.__annotations__

    @wraps(function)
    def explained(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        unknown = [name for name in kwargs if name not in known]
        if unknown:
            raise InputError(
                f"expected arguments out of {', '.join(known)}, got {unknown[0]}=...{_hint(unknown[0], known)}"
            )
        return function(*args, **kwargs)

    return explained


def _hint(name: str, known: list[str]) -> str:
    near = [SYNONYMS[name]] if SYNONYMS.get(name) in known else get_close_matches(name, known, n=1)
    return f": did you mean {near[0]}?" if near else ": leave it out"
