"""Calendar numbers: times that are written as one whole number, such as 202001 or 2024010100.

They look like step numbers, but the one after 202012 is 202101. They are refused, since they may be either.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Hashable

PARTS = {
    "YYYY": (1900, 2100),
    "YY": (0, 99),
    "Q": (1, 4),
    "MM": (1, 12),
    "WW": (1, 53),
    "DDD": (1, 366),
    "DD": (1, 31),
    "hh": (0, 23),
    "mm": (0, 59),
    "ss": (0, 59),
}
"""Least and largest number of every part of a date."""
MAX_GROUPS = 10_000
"""Largest unit in which numbers are grouped."""


class Form(NamedTuple):
    """Form of a calendar number.

    Attributes:
        parts: Parts of the date, the largest first.
        only_if_carried: Whether numbers of this form are refused only if they jump as a calendar does.
    """

    parts: tuple[str, ...]
    only_if_carried: bool = False


FORMS = (
    Form(("YYYY", "MM")),
    Form(("YYYY", "MM", "DD")),
    Form(("YYYY", "MM", "DD", "hh")),
    Form(("YYYY", "MM", "DD", "hh", "mm")),
    Form(("YYYY", "MM", "DD", "hh", "mm", "ss")),
    Form(("YYYY", "WW")),
    Form(("YYYY", "DDD")),
    Form(("YYYY", "Q"), only_if_carried=True),
    Form(("YY", "MM", "DD")),
    Form(("YY", "MM", "DD", "hh"), only_if_carried=True),
    Form(("YY", "MM"), only_if_carried=True),
    Form(("YY", "WW"), only_if_carried=True),
    Form(("YY", "DDD"), only_if_carried=True),
)


def refuse_calendar_numbers(name: Hashable, steps: np.ndarray) -> np.ndarray:
    """Return step numbers, unless they are calendar numbers.

    Raises:
        InputError: All of them have the form of a date, or they jump by the same amount again and again, where a digit
            is carried as at the end of a month.
    """
    distinct = np.unique(steps)
    if len(distinct) < 2:
        return steps
    form = next((form for form in FORMS if _has_form(distinct, form)), None)
    if form is not None or _is_carried_at_tens(distinct):
        written = f", which looks like a date written as {''.join(form.parts)}" if form else (
            " and so on, which jump as a calendar does"
        )  # fmt: skip
        raise InputError(
            f"expected times or step numbers in column {name!r}, got {distinct[0]}{written}: write times as ISO 8601, "
            "such as '2013-01-31' or '2013-01', or number the steps 0, 1, 2, ..."
        )
    return steps


def _has_form(numbers: np.ndarray, form: Form) -> bool:
    """Tell whether all numbers are dates of this form."""
    digits = sum(map(len, form.parts))
    if numbers[0] < 10 ** (digits - len(form.parts[0])) or numbers[-1] >= 10**digits:
        return False
    rest, rows = numbers, {}
    for part in reversed(form.parts):
        rest, rows[part] = np.divmod(rest, 10 ** len(part))
    if not all((PARTS[part][0] <= row).all() and (row <= PARTS[part][1]).all() for part, row in rows.items()):
        return False
    if not form.only_if_carried:
        return True
    last, (least, most) = rows[form.parts[-1]], PARTS[form.parts[-1]]
    carried = (last[1:] == least) & (last[:-1] >= most - (1 if most > 24 else 0)) & (np.diff(numbers) > 1)  # 365 or 366
    return bool(carried.any())


def _is_carried_at_tens(numbers: np.ndarray) -> bool:
    """Tell whether numbers grow by one within every ten, hundred or thousand, each time over the same numbers."""
    unit = 10
    while unit <= MAX_GROUPS:
        group, place = np.divmod(numbers, unit)
        starts = np.flatnonzero(np.diff(group, prepend=group[0] - 1))
        if 3 <= len(starts) <= len(numbers) // 3:
            first, last = place[starts][1:], place[np.append(starts[1:], len(place)) - 1][:-1]
            same = len(np.unique(first)) == len(np.unique(last)) == 1
            whole = (np.diff(starts)[1:] == last[0] - first[0] + 1).all()
            if same and whole and first[0] <= 1 and last[0] < unit - 1 and (np.diff(group) <= 1).all():
                return True
        unit *= 10
    return False


def looks_like_time(text: str) -> bool:
    """Tell whether a text begins as a time in ISO 8601, such as "2024-01" or "2024/1/31 00:00"."""
    return re.match(r"\s*\d{4}[-/]\d{1,2}([-/T ]|$|\s)", text) is not None
