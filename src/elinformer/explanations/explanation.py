"""Explanation of one forecast: its attributions as frames, text, a figure and JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from matplotlib.figure import Figure

    from elinformer.data.panel import Panel
    from elinformer.data.reach import Reach
    from elinformer.data.series_info import SeriesInfo

KINDS = ("window", "lag", "mean", "covariate")
SHOWN = 5
"""Other series, and covariates, in the text of an explanation."""
MAX_IN_JSON = 100
"""Series in the JSON document at most."""


class Inputs(NamedTuple):
    """Numbers that the model read, by field of its batch: values (T, N, C), past, future and static covariates.

    Attributes:
        attributions: Attributions, in the units of the forecast; 0 for what is missing.
        read: Numbers that were read.
        baseline: Numbers in their place in the baseline.
    """

    attributions: Mapping[str, np.ndarray]
    read: Mapping[str, np.ndarray]
    baseline: Mapping[str, np.ndarray]


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """Attributions of a forecast to what the model read: `forecast` = `baseline` + their sum + `remainder`.

    Attributes:
        target: Name of the series that is forecast.
        channel: Name of its channel.
        step: Step of the forecast, 1 = the first one after the data.
        time: Time of this step.
        forecast: The point forecast, as `predict` returns it.
        baseline: Forecast of a window in which nothing happens: every series stays at the level of its window, and
            covariates are at their means in training.
        points: Number of points on the path from the baseline to what was read.
        remainder: Difference of the two forecasts that the attributions miss.
        rows: See `frame`.

    Example:
        >>> from elinformer import Forecaster, Panel
        >>> waves = np.sin(np.arange(240)[:, None] / 4 + np.arange(3))  # 240 hours of three series
        >>> panel = Panel.from_arrays(waves, start="2024-01-01", freq="1h", series=["a", "b", "c"])
        >>> forecaster = Forecaster(12, 2, model="dlinear", training={"epochs": 3, "learning_rate": 0.02}).fit(panel)
        >>> explanation = forecaster.explain("a", step=2)
        >>> explanation.series()["unique_id"].tolist()  # a model without attention reads one series
        ['a']
        >>> difference = explanation.forecast - explanation.baseline
        >>> bool(abs(explanation.frame()["attribution"].sum() - difference) < 0.01 * abs(difference))
        True
    """

    target: str
    channel: str
    step: int
    time: Any
    forecast: float
    baseline: float
    points: int
    remainder: float
    rows: pd.DataFrame

    def __repr__(self) -> str:
        series, covariates = self.series(), self.covariates()
        values = series.set_index("unique_id")[["window", "lag", "mean"]].sum(axis=1)
        lines = [
            f"Forecast of {self.target}, step {self.step} ({_text(self.time)}): {self.forecast:.4g}",
            f"{self.baseline:>12.4g}  if every series stayed at the level of its window",
            f"{values.get(self.target, 0.0):>+12.4g}  values of {self.target}",
            *_lines(values.drop(self.target, errors="ignore").items(), "series"),
            *_lines(covariates[["name", "attribution"]].itertuples(index=False), "covariates"),
            f"{self.remainder:>+12.1g}  not attributed ({self.points} points)",
        ]
        return "\n".join(lines)

    def frame(self) -> pd.DataFrame:
        """Return a row for each number that the model read and that moved the forecast.

        The columns are `unique_id` (the series that was read; none for a covariate that all series share), `kind`
        ("window", "lag", "mean" of a season, or "covariate"), `name` (of the channel or the covariate), `step` (0 = the
        last one before the forecast, 1 = the first one of the horizon; of a mean the newest one in it; none for a
        static covariate), `ds` (its time), `value`, `baseline` and `attribution`.
        """
        return self.rows.copy()

    def series(self, top: int | None = None) -> pd.DataFrame:
        """Return the sums by series that was read, the largest first: `unique_id`, one column for each kind, all.

        Covariates that all series share are not among them.

        Args:
            top: Number of series; None = all that moved the forecast.

        Raises:
            InputError: `top` is below 1.
        """
        if top is not None and top < 1:
            raise InputError(f"expected at least one series, got top={top}: leave it out for all series")
        sums = self.rows.pivot_table("attribution", "unique_id", "kind", "sum", fill_value=0.0, sort=False)
        sums = sums.reindex(columns=list(KINDS), fill_value=0.0)
        sums["attribution"] = sums.sum(axis=1)
        sums = sums.sort_values("attribution", key=np.abs, ascending=False)
        return sums.rename_axis(columns=None).reset_index().head(top if top is not None else len(sums))

    def steps(self) -> pd.DataFrame:
        """Return the sums by step, in the order of time: `step`, `ds`, `own` values, `others`, `covariates`, all.

        Static covariates have no step and stand in the last row.
        """
        source = np.where(self.rows["unique_id"] == self.target, "own", "others")
        source = np.where(self.rows["kind"] == "covariate", "covariates", source)
        parts = {name: self.rows["attribution"].where(source == name, 0.0) for name in ("own", "others", "covariates")}
        sums = self.rows[["step", "ds"]].assign(**parts, attribution=self.rows["attribution"])
        return sums.groupby(["step", "ds"], dropna=False).sum().reset_index()

    def covariates(self) -> pd.DataFrame:
        """Return the sums by covariate, the largest first: `name`, `own` (and shared), `others`, `attribution`."""
        table = self.rows[self.rows["kind"] == "covariate"]
        is_other = table["unique_id"].notna() & (table["unique_id"] != self.target)
        sums = pd.DataFrame(
            {
                "own": table["attribution"].where(~is_other, 0.0).groupby(table["name"]).sum(),
                "others": table["attribution"].where(is_other, 0.0).groupby(table["name"]).sum(),
            }
        )
        sums["attribution"] = sums["own"] + sums["others"]
        return sums.sort_values("attribution", key=np.abs, ascending=False).reset_index()

    def plot(self, top: int = 10) -> Figure:
        """Draw the sums by step, and those of the series and covariates that moved the forecast most.

        Args:
            top: Number of series and covariates.

        Returns:
            A figure of Matplotlib: `figure.savefig("why.png")` writes it.

        Raises:
            InputError: `top` is below 1.
        """
        from elinformer.explanations.figure import figure_of

        return figure_of(self, top)

    def to_document(self) -> dict[str, Any]:
        """Return a JSON document with the sums by series (a hundred at most), step and covariate."""
        numbers = {name: getattr(self, name) for name in ("forecast", "baseline", "points", "remainder")}
        series = self.series()
        return {
            "series": self.target,
            "channel": self.channel,
            "step": self.step,
            "time": _text(self.time),
            **numbers,
            "by_series": _records(series.head(MAX_IN_JSON)),
            "series_that_moved_it": len(series),
            "by_step": _records(self.steps()),
            "by_covariate": _records(self.covariates()),
        }


def rows_of(panel: Panel, info: SeriesInfo, reach: Reach, inputs: Inputs) -> pd.DataFrame:
    """Return the rows of `Explanation.frame`.

    Args:
        panel: History before the forecast, with the series of training in their order.
        info: Names of training.
        reach: Steps that the model reads.
        inputs: Numbers that it read.
    """
    steps = np.concatenate([reach.means, reach.inputs, np.arange(reach.horizon)])
    n_lag_steps = len(reach.inputs) - reach.window
    kinds = np.repeat(["mean", "lag", "window"], [len(reach.means), n_lag_steps, reach.window])
    times = pd.Series(np.concatenate([panel.timestamps, panel.future_timestamps(reach.horizon)]))
    frames: list[pd.DataFrame] = []
    for field, attributions in inputs.attributions.items():
        if field == "values":
            names, is_shared = panel.channels, np.zeros(panel.n_channels, bool)
        else:
            names = getattr(info.covariates, field).names
            is_shared = _is_shared(panel, field, names)
        moved = attributions.reshape(-1, *attributions.shape[-2:]).copy()  # (T, N, F); static covariates have one step
        moved[:, :1, is_shared] = moved[..., is_shared].sum(1, keepdims=True)
        moved[:, 1:, is_shared] = 0
        t, n, c = np.nonzero(moved)
        columns: dict[str, Any] = {
            "unique_id": pd.Series(np.asarray(panel.series, object)[n]).mask(is_shared[c]),
            "kind": kinds[t] if field == "values" else "covariate",
            "name": np.asarray(names, object)[c],
        }
        relative, at = pd.array(steps[t] + 1, dtype="Int64"), times.iloc[np.maximum(panel.n_steps + steps[t], 0)]
        at = at.reset_index(drop=True) if panel.has_time else at.reset_index(drop=True).astype("Int64")
        if field == "static":
            relative[:], at[:] = pd.NA, None
        read, baseline = (x[field].reshape(moved.shape)[t, n, c] for x in (inputs.read, inputs.baseline))
        columns |= {"step": relative, "ds": at, "value": read, "baseline": baseline, "attribution": moved[t, n, c]}
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def _is_shared(panel: Panel, role: str, names: Sequence[str]) -> np.ndarray:
    """Return for each covariate if all of several series share it."""
    blocks = () if role == "static" or panel.n_series == 1 else getattr(panel, role)
    shared = {name for block in blocks if block.values.shape[1] == 1 for name in block.names}
    return np.array([name in shared for name in names], bool)


def _lines(sums: Iterable[Any], kind: str) -> list[str]:
    """Return lines of the first sums (name, number), and one of the sum of the others."""
    pairs = list(sums)
    lines = [f"{number:>+12.4g}  {name}" for name, number in pairs[:SHOWN]]
    if len(pairs) > SHOWN:
        lines.append(f"{sum(number for _, number in pairs[SHOWN:]):>+12.4g}  {len(pairs) - SHOWN} other {kind}")
    return lines


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a frame for JSON, with times as text and None for what is missing."""
    columns = {
        name: [None if pd.isna(cell) else _text(cell) if name == "ds" else cell for cell in frame[name].tolist()]
        for name in frame.columns
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _text(time: Any) -> Any:
    return int(time) if isinstance(time, int | np.integer) else pd.Timestamp(time).isoformat()
