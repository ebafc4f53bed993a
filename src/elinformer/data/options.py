"""Options of reading data, and of the task: what is forecast from what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from elinformer._options import Options, option
from elinformer.data.reach import Reach


def _unlike_a_split(fractions: tuple[float, ...]) -> str | None:
    if len(fractions) == 3 and fractions[0] > 0 and abs(sum(fractions) - 1) <= 1e-6:
        return None
    return "a split of three fractions (training, validation, test) that add up to 1, such as 0.6,0.2,0.2"


def _unknown_holidays(regions: tuple[str, ...]) -> None:
    """Refuse regions that have no holidays here, with the reason."""
    if regions:
        from elinformer.data.public_holidays import check_regions

        check_regions(regions)


@dataclass(frozen=True)
class ReadingOptions(Options):
    """Tell how a file is read; data sets of the catalogue and panels on disk know it themselves."""

    null_value: float | None = option(None, "Number that stands for a missing value, often 0.", flag=True)
    start: str | None = option(None, "Time of the first step, for a file without times.", flag=True)
    freq: str | None = option(
        None,
        "Step, such as 5min, 1d, MS or NYSE. Default: found from the times, if the file has them.",
        flag=True,
    )
    steps_per_day: int | None = option(
        None, "Steps of a day, where only a part of every day is recorded.", at_least=1, flag=True
    )
    time_col: str | None = option(None, "Column with the times, if it has an unusual name.", flag="time")
    id_col: str | None = option(None, "Column with the names of the series, in a long table.", flag="id")
    targets: tuple[str, ...] = option(
        (),
        "Columns with the values: channels of a long table, series of a wide one. Others are left out.",
        flag="target",
    )
    tz: str | None = option(
        None, "Zone by whose clock times with a zone are read, such as Europe/Berlin. Default: their own.", flag=True
    )
    resample: Literal["mean", "sum"] | None = option(
        None, "Bring irregular times to the steps of freq: the mean or the sum of the values of a step.", flag=True
    )
    sep: str | None = option(None, "Separator of the columns of a CSV file. Default: found from the file.", flag=True)
    decimal: Literal[".", ","] | None = option(
        None, "Point or comma before the decimals of a CSV file. Default: found from the file.", flag=True
    )
    future: tuple[str, ...] = option(
        (),
        "Columns that are known over the horizon too, such as a weather forecast; a * stands for any text.",
        flag=True,
    )
    past: tuple[str, ...] = option((), "Columns that are known up to the present.", flag=True)
    static: str | None = option(
        None,
        "CSV or Parquet file with unique_id and static covariates of every series, numbers or categories.",
        flag=True,
    )


@dataclass(frozen=True)
class TaskOptions(Options):
    """Tell what is forecast from what, and which steps train, validate and test."""

    window: int | Literal["auto"] = option(
        "auto", "Input steps. auto: two horizons, at least 12 steps.", at_least=1, flag=True
    )
    horizon: int = option(12, "Output steps.", at_least=1, flag=True)
    lags: tuple[int, ...] | Literal["auto"] = option(
        "auto",
        "Seasons, in steps, whose values at the forecast hours are inputs too: 168 for last week in hourly data. auto: "
        "seasons of the step that the training part confirms. none: no lags.",
        at_least=1,
        flag=True,
    )
    split: tuple[float, ...] = option(
        (0.6, 0.2, 0.2),
        "Fractions of the steps for training, validation and test, oldest first.",
        at_least=0,
        check=_unlike_a_split,
        flag=True,
    )
    scale_per: Literal["series", "channel"] = option(
        "series", "Whether each series or each channel has a mean and a deviation of its own.", flag=True
    )
    minimum: float | Literal["auto"] | None = option(
        "auto",
        "Number that no forecast, quantile or scenario is below. auto: 0 for a series whose training values are never "
        "negative, unless its window has a negative value; none: no minimum.",
        check=lambda value: None if value in {"auto", None} or abs(value) < 1e38 else "a minimum that float32 holds",
        flag=True,
    )

    holidays: tuple[str, ...] = option(
        (),
        "Countries or regions whose public holidays are known ahead, such as DE or US-NY.",
        check=_unknown_holidays,
        flag=True,
    )

    @property
    def reach(self) -> Reach | None:
        """Window, horizon and lags; None if the window or the lags are "auto".

        Raises:
            InputError: A lag is below 1.
        """
        if isinstance(self.window, str) or isinstance(self.lags, str):
            return None
        return Reach(self.window, self.horizon, self.lags)
