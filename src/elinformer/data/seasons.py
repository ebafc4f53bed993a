"""Seasons: the periods in which a step of this length repeats, such as a day, a week and a year."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from elinformer.data.frequencies import DAY, days_of_week, days_of_year, months_of, offset, step_length

if TYPE_CHECKING:
    from elinformer.data.panel import Panel

DAYS_OF_YEAR = 365
WEEKS_OF_YEAR = 52


class Season(NamedTuple):
    """Period in which values repeat.

    Attributes:
        name: "day", "week" or "year".
        steps: Number of steps in the period.
        forecast: Name of the forecast that repeats the value one period ago.
    """

    name: str
    steps: int
    forecast: str


def seasons_of(panel: Panel) -> tuple[Season, ...]:
    """Return the seasons that the step of a panel can have, the shortest first; none if its times are unknown.

    Shorter steps than a day have a day and a week, and those of an hour or longer a year; a day has a week and a year;
    longer steps have a year. The table follows those of GluonTS (`get_seasonality`) and of Nixtla.
    """
    if panel.freq is None:
        return ()
    if (day := panel.steps_of_day) is not None and day > 1:
        seasons = (Season("day", day, "same time yesterday"), Season("week", 7 * day, "same time last week"))
        return (*seasons, Season("year", DAYS_OF_YEAR * day, "same time last year")) if day <= 24 else seasons
    return _seasons_of_long_steps(panel.freq)


def _seasons_of_long_steps(freq: str) -> tuple[Season, ...]:
    """Return the seasons of a step of a day or longer."""
    length, step = step_length(freq), offset(freq)
    if length is not None and length < DAY:
        return ()
    if length is not None:
        days = length / DAY
        week = (Season("week", round(7 / days), "same day last week"),) if 7 % days == 0 and days < 7 else ()
        year = round(DAYS_OF_YEAR / days) if days < 7 else round(WEEKS_OF_YEAR * 7 / days)
        name = "same time last year" if days < 7 else "same week last year"
        return (*week, Season("year", year, name)) if year > 1 else week
    if (days := days_of_week(freq)) and (year := days_of_year(freq)):
        return Season("week", days, "same day last week"), Season("year", year, "same time last year")
    if months := months_of(freq):
        return (Season("year", 12 // months, "same month last year"),) if 12 % months == 0 and months < 12 else ()
    for offsets, steps, name in (
        ((pd.offsets.Week,), WEEKS_OF_YEAR, "same week last year"),
        ((pd.offsets.MonthBegin, pd.offsets.MonthEnd, pd.offsets.BusinessMonthBegin, pd.offsets.BusinessMonthEnd), 12,
         "same month last year"),
        ((pd.offsets.QuarterBegin, pd.offsets.QuarterEnd, pd.offsets.BQuarterBegin, pd.offsets.BQuarterEnd), 4,
         "same quarter last year"),
    ):  # fmt: skip
        if isinstance(step, offsets) and steps % step.n == 0 and steps > step.n:
            return (Season("year", steps // step.n, name),)
    return ()
