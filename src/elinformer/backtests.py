"""Backtest: errors of the forecasts of past windows by horizon, series, channel and time, and the forecasts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
import pandas as pd
import torch

from elinformer._arguments import explain_arguments
from elinformer.data.io.output import in_form
from elinformer.data.reach import chronological_split
from elinformer.data.scaling import Scaler, measure
from elinformer.errors import InputError
from elinformer.evaluation import MetricSums, Scores, judge
from elinformer.evaluation.metrics import COUNTS, SUMS
from elinformer.intervals import LEVELS, wanted_quantiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from matplotlib.figure import Figure

    from elinformer.data.panel import Panel
    from elinformer.evaluation import Verdict
    from elinformer.trained_model import TrainedModel

Key = Literal["horizon", "series", "channel", "weekday", "hour"]
Choice = Literal["worst", "best"]
TIMES: tuple[Key, ...] = ("weekday", "hour")
AXES: dict[Key, int] = {"weekday": 0, "hour": 0, "horizon": 1, "series": 2, "channel": 3}
"""Axis of each key in the sums (G, S, N, C) over G groups of time."""
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class Backtest(MetricSums):
    """Sums of the errors over past windows. They know the windows, so that scores are grouped and forecasts shown.

    Args:
        sums: Sums of the errors of the windows.
        trained: Model that forecasts them.
        panel: The data, with the series of the model in their order.
        origins: (n,), the first target steps of the windows.
        forecast: Function from origins (n,) to forecasts (n, S, N, C), in the units of the data.
        name: Name of the forecasts in `frame`.

    Example:
        >>> from elinformer import Forecaster, Panel
        >>> from elinformer.training import TrainingConfig
        >>> waves = np.sin(np.arange(240)[:, None] / 4 + np.arange(3))  # 240 hours of three series
        >>> panel = Panel.from_arrays(waves, start="2024-01-01", freq="1h", series=["a", "b", "c"])
        >>> backtest = Forecaster(12, 2, model="dlinear", training=TrainingConfig(epochs=1)).fit(panel).backtest()
        >>> backtest.scores(by="series")["count"].tolist()  # 47 windows of 2 steps
        [94, 94, 94]
        >>> backtest.frame().columns.tolist()
        ['unique_id', 'ds', 'cutoff', 'y', 'dlinear']
    """

    def __init__(
        self,
        sums: MetricSums,
        trained: TrainedModel,
        panel: Panel,
        origins: np.ndarray,
        forecast: Callable[[np.ndarray], np.ndarray],
        *,
        name: str = "elinformer",
    ) -> None:
        super().__init__(*sums.count.shape)
        vars(self).update(vars(sums))
        self.trained, self.panel, self.origins, self.name = trained, panel, origins, name
        self._forecast = forecast

    def __repr__(self) -> str:
        steps, n_series, n_channels = self.count.shape
        first, last = (_text(time) for time in self.panel.timestamps[[self.origins[0], self.origins[-1] + steps - 1]])
        channels = f" x {n_channels} channels" if n_channels > 1 else ""
        return (
            f"Backtest({len(self.origins)} windows of {steps} steps x {n_series} series{channels}, {first} to {last}: "
            f"{self._scores_text()})"
        )

    def _scores_text(self) -> str:
        """Return the scores in words; channels have units of their own, which have no common mean."""
        if len(names := self.panel.channels) == 1:
            scores = self.scores()
            return f"MAE {scores.mae:.4g}, RMSE {scores.rmse:.4g}, MAPE {scores.mape:.4g} %"
        return "MAE " + ", ".join(f"{name} {self.scores(channel=i).mae:.4g}" for i, name in enumerate(names))

    @overload
    def scores(
        self,
        by: None = None,
        *,
        step: int | None = None,
        series: Sequence[int | str] | None = None,
        channel: int | str | None = None,
    ) -> Scores: ...

    @overload
    def scores(self, by: Key | Sequence[Key]) -> pd.DataFrame: ...

    @explain_arguments
    def scores(
        self,
        by: Key | Sequence[Key] | None = None,
        *,
        step: int | None = None,
        series: Sequence[int | str] | None = None,
        channel: int | str | None = None,
    ) -> Scores | pd.DataFrame:
        """Return the scores over all errors or a selection, or a frame of the scores of groups.

        Args:
            by: Keys of the groups: "horizon" (1 = first step), "series", "channel", and "weekday" and "hour" of the
                target. For weekday and hour, the windows are forecast again.
            step: Horizon step, from 0; None = all steps.
            series: Names or numbers of series; None = all series.
            channel: Name or number of a channel; None = all channels.

        Raises:
            InputError: A key, a series or a channel is unknown, or the data have no times for weekday and hour.
        """
        if by is None:
            if step is not None and not 0 <= step < len(self.count):
                raise InputError(f"expected a step from 0 to {len(self.count) - 1}, got {step}")
            places = None if series is None else [place_of(one, self.panel.series, "series") for one in series]
            number = None if channel is None else place_of(channel, self.panel.channels, "channels")
            return super().scores(step=step, series=places, channel=number)
        if not isinstance(by, str | Sequence):
            raise InputError(f"expected by as one of {', '.join(AXES)}, or a list of them, got {by!r}")
        return self._scores_by([by] if isinstance(by, str) else list(by))

    def frame(
        self, *, level: Sequence[float] | float | None = None, quantiles: Sequence[float] | float | None = None
    ) -> pd.DataFrame:
        """Return the forecasts beside the observed values: `unique_id`, `ds`, `cutoff`, `y` and name of the model.

        `cutoff` is the last step before a window. With several channels, the columns are `y_<channel>` and
        `<model>_<channel>`. The windows are forecast again.

        Args:
            level: Levels of intervals in percent: 80 adds `elinformer-lo-80` and `elinformer-hi-80`.
            quantiles: Numbers between 0 and 1, instead of levels: 0.1 adds `elinformer-q-10`.

        Raises:
            InputError: A level or a quantile cannot be used.
        """
        wanted = wanted_quantiles(level, quantiles)
        if wanted.quantiles and len(self.count) != self.trained.reach.horizon:
            raise InputError(f"expected no intervals for a horizon other than {self.trained.reach.horizon} steps")
        columns = {"": self._forecast(self.origins)}
        if wanted.quantiles:
            outputs = self.trained.quantile_forecasts(self.panel, self.origins, at=wanted.quantiles)
            columns |= {suffix: outputs[..., k] for k, suffix in enumerate(wanted.suffixes)}
        frame = windows_frame(self.panel, self.origins, self.name, columns)
        return in_form(frame, self.panel.form, self.panel.freq)

    def verdict(self) -> Verdict:
        """Return the verdict on the errors, beside those of naive forecasts: see `elinformer.evaluation.Verdict`."""
        trained = self.trained
        split = chronological_split(self.panel.n_steps, trained.config["forecaster"]["split"])
        return judge(
            self,
            self.panel,
            self.origins,
            known_steps=split.train[1],
            scaler=trained.scaler,
            reads=trained.reach.history,
        )

    @explain_arguments
    def plot(
        self,
        series: Choice | Sequence[int | str] = "worst",
        *,
        n: int = 6,
        windows: int = 5,
        channel: int | str = 0,
        level: Sequence[float] | float | None = LEVELS,
    ) -> Figure:
        """Draw the last windows: forecasts beside what happened. `figure.savefig("picture.png")` writes the figure.

        Args:
            series: "worst" or "best": series by their error, in units of the standard deviation of their targets.
                Or names or numbers of series.
            n: Number of the worst or best series.
            windows: Number of windows, a horizon apart.
            channel: Name or number of the channel.
            level: Levels of the bands in percent; None = no bands. There are none for a horizon other than that of
                training.

        Raises:
            InputError: A series, the channel or a level is unknown, or there are too many series for a figure.
        """
        from elinformer.plots import Forecasts, figure_of

        if windows < 1:
            raise InputError(f"expected at least one window to draw, got windows={windows}")
        number = place_of(channel, self.panel.channels, "channels")
        errors = self._relative_errors()[:, number]
        ranked = [int(i) for i in np.argsort(errors) if np.isfinite(errors[i])]
        if isinstance(series, str):
            if series not in {"worst", "best"} or n < 1:
                raise InputError(f"expected series to be worst, best or a list of names, got {series!r} and n={n}")
            chosen = ranked[:n] if series == "best" else ranked[::-1][:n]
        else:
            chosen = [place_of(one, self.panel.series, "series") for one in series]
        origins = _apart(self.origins, len(self.count), windows)
        notes = [f"error {errors[i]:.2f} of its deviation" for i in chosen]
        if len(self.count) == self.trained.reach.horizon:
            columns = self.trained.columns(self.panel, origins, wanted_quantiles(level))
        else:
            columns = {"": self._forecast(origins)}
        shown = Forecasts.of(origins, columns)
        return figure_of(self.panel, shown, chosen, history=2 * len(self.count), channel=number, notes=notes)

    def _relative_errors(self) -> np.ndarray:
        """Return the mean absolute errors (N, C) in units of the standard deviation of the targets of each series."""
        targets = slice(int(self.origins.min()), int(self.origins.max()) + len(self.count))
        values, mask = self.panel.values[targets], self.panel.mask[targets]
        return self.mae_by_series().numpy() / Scaler.of(measure(values, mask)).std

    def _scores_by(self, keys: list[Key]) -> pd.DataFrame:
        unknown = [key for key in keys if key not in AXES]
        if unknown or not keys or len(set(keys)) < len(keys):
            raise InputError(f"expected different keys out of {', '.join(AXES)}, got {', '.join(map(str, keys))!r}")
        times: list[Key] = [key for key in TIMES if key in keys]
        groups, sums = self._sums_by_time(times)
        kept = sorted({AXES[key] for key in keys})
        totals = {name: array.sum(tuple({0, 1, 2, 3} - set(kept))) for name, array in sums.items()}
        places = dict(zip(kept, np.indices(totals["count"].shape).reshape(len(kept), -1), strict=True))
        codes = {key: groups[places[0], TIMES.index(key)] if key in times else places[AXES[key]] for key in keys}
        order = np.lexsort([codes[key] for key in reversed(keys)])
        labels = self._labels()
        named = {key: labels[key][codes[key][order]] for key in keys}
        return pd.DataFrame({**named, **_ratios({name: array.ravel()[order] for name, array in totals.items()})})

    def _labels(self) -> dict[Key, np.ndarray]:
        return {
            "horizon": np.arange(1, len(self.count) + 1),
            "series": np.asarray(self.panel.series, object),
            "channel": np.asarray(self.panel.channels, object),
            "weekday": np.asarray(WEEKDAYS, object),
            "hour": np.arange(24),
        }

    def _sums_by_time(self, times: Sequence[Key]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Return the groups (G, 2), weekday and hour of each, and the sums (G, S, N, C) by name."""
        if not times:
            return np.zeros((1, 2), int), {name: getattr(self, name).numpy()[None] for name in (*SUMS, *COUNTS)}
        if not self.panel.has_time:
            raise InputError(f"expected data with times for scores by {' and '.join(times)}, got step numbers")
        of_step = np.stack([_time_codes(self.panel.timestamps, key, used=key in times) for key in TIMES], axis=1)
        groups, group_of_step = np.unique(of_step, axis=0, return_inverse=True)
        cells: dict[tuple[int, int], MetricSums] = defaultdict(lambda: MetricSums(1, *self.count.shape[1:]))
        for origins, forecast, target, mask in self._batches():
            for step in range(forecast.shape[1]):
                group_of_window = group_of_step[origins + step]
                for group in np.unique(group_of_window):
                    rows = np.flatnonzero(group_of_window == group)
                    cells[group, step].update(*(x[rows, step : step + 1] for x in (forecast, target, mask)))
        sums = {name: np.zeros((len(groups), *self.count.shape)) for name in (*SUMS, *COUNTS)}
        for (group, step), cell in cells.items():
            for name, array in sums.items():
                array[group, step] = getattr(cell, name)[0]
        targeted = np.unique(np.array([group for group, _ in cells]))
        return groups[targeted], {name: array[targeted] for name, array in sums.items()}

    def _batches(self) -> Iterator[tuple[np.ndarray, torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Yield origins (B,), forecasts, targets and their mask (B, S, N, C) of a batch of windows."""
        size = self.trained.batch_size
        for start in range(0, len(self.origins), size):
            origins = self.origins[start : start + size]
            steps = origins[:, None] + np.arange(len(self.count))
            values, mask = self.panel.values[steps], self.panel.mask[steps]
            yield origins, torch.from_numpy(self._forecast(origins)), torch.from_numpy(values), torch.from_numpy(mask)


def sums_of(
    forecast: Callable[[np.ndarray], np.ndarray], panel: Panel, origins: np.ndarray, horizon: int
) -> MetricSums:
    """Return the sums of the errors of forecasts (n, S, N, C), from origins (n,), of any horizon."""
    sums = MetricSums(horizon, panel.n_series, panel.n_channels)
    for origin in origins:
        steps = np.array([origin])[:, None] + np.arange(horizon)
        arrays = forecast(np.array([origin])), panel.values[steps], panel.mask[steps]
        sums.update(*(torch.from_numpy(array) for array in arrays))
    return sums


def windows_frame(panel: Panel, origins: np.ndarray, name: str, forecasts: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Return forecasts beside the observed values as a long frame: see `Backtest.frame`.

    Args:
        panel: The data.
        origins: (n,), the first target steps of the windows.
        name: Name of the model.
        forecasts: Arrays (n, S, N, C) in the units of the data, by the ends of their names: "" for the point forecast.
    """
    steps = origins[:, None] + np.arange(next(iter(forecasts.values())).shape[1])  # (n, S)
    n_rows = steps.size
    observed = np.where(panel.mask[steps], panel.values[steps], panel.values.dtype.type(np.nan))
    frame = pd.DataFrame(
        {
            "unique_id": np.repeat(np.asarray(panel.series, object), n_rows),
            "ds": np.tile(panel.timestamps[steps].ravel(), panel.n_series),
            "cutoff": np.tile(np.repeat(panel.timestamps[origins - 1], steps.shape[1]), panel.n_series),
        }
    )
    columns = [("y", "", observed), *((name, suffix, values) for suffix, values in forecasts.items())]
    for start, suffix, values in columns:
        by_series = values.transpose(2, 0, 1, 3).reshape(-1, panel.n_channels)
        for i, channel in enumerate(panel.channels):
            frame[f"{start}{suffix}" if panel.n_channels == 1 else f"{start}_{channel}{suffix}"] = by_series[:, i]
    return frame


def _ratios(sums: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return the scores of groups, with NaN for those without a target."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "mae": sums["absolute"] / sums["count"],
            "rmse": np.sqrt(sums["squared"] / sums["count"]),
            "mape": 100 * sums["relative"] / sums["count_nonzero"],
            "count": sums["count"].astype(np.int64),
        }


def _time_codes(timestamps: np.ndarray, key: Key, *, used: bool) -> np.ndarray:
    """Return the weekday (Monday = 0) or the hour of every step; zeros if the key is not used."""
    if not used:
        return np.zeros(len(timestamps), int)
    times = pd.DatetimeIndex(timestamps)
    return (times.day_of_week if key == "weekday" else times.hour).to_numpy()


def place_of(name: int | str, names: Sequence[str], kind: str) -> int:
    """Return the number of a series or channel that is given by name or number.

    Raises:
        InputError: There is no such name or number.
    """
    if isinstance(name, str) and name in names:
        return names.index(name)
    if isinstance(name, int | np.integer) and not isinstance(name, bool) and -len(names) <= name < len(names):
        return int(name)
    raise InputError(f"expected {kind} out of {', '.join(names[:5])} ({len(names)} in all), got {name!r}")


def _apart(origins: np.ndarray, horizon: int, n: int) -> np.ndarray:
    """Return the last `n` origins that are at least a horizon apart, in the order of time."""
    chosen: list[int] = []
    for origin in sorted(origins.tolist(), reverse=True):
        if len(chosen) < n and (not chosen or chosen[-1] - origin >= horizon):
            chosen.append(origin)
    return np.array(chosen[::-1])


def _text(time: np.generic) -> str:
    return np.datetime_as_string(time, unit="m") if isinstance(time, np.datetime64) else f"step {time}"
