"""Forecasts of a trained forecaster: of the next steps, of past windows, of missing values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from elinformer._arguments import explain_arguments
from elinformer._console import say
from elinformer.backtests import Backtest, place_of, sums_of
from elinformer.data.io.ahead import check_known_ahead, with_future
from elinformer.data.io.frames import long_frame
from elinformer.data.io.output import in_form
from elinformer.data.panel import Panel
from elinformer.data.reach import PartName, part_origins
from elinformer.errors import InputError
from elinformer.forecaster.state import ForecasterState
from elinformer.gaps import anomaly_frame, fill, filled_frame, unusual
from elinformer.intervals import LEVELS, wanted_quantiles

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.figure import Figure

    from elinformer.data.steps import Freq

N_OBSERVED = "n_observed"
"""Column of the number of steps with a reading, where a series has none."""
MAX_RECURSIVE_WINDOWS = 256
"""Windows at most of a backtest with a longer horizon than that of training."""


class Predicting(ForecasterState):
    """Forecasts and scores with the trained model."""

    @explain_arguments
    def predict(
        self,
        data: Panel | Any | None = None,
        *,
        horizon: int | None = None,
        recursive: bool = False,
        futr_df: Any | None = None,
        static_df: Any | None = None,
        level: Sequence[float] | float | None = None,
        quantiles: Sequence[float] | float | None = None,
        scenarios: int | None = None,
        seed: int = 0,
        freq: Freq | None = None,
        series_at_once: int | None = None,
    ) -> pd.DataFrame:
        """Forecast the `horizon` steps after the end of the data. The point forecast is the median.

        The weights have seen all data of `fit` (see the option `refit`), so forecasts of past steps are no test, but
        `backtest` and `cross_validation` are. docs/intervals.md tells how intervals and scenarios are made, and how
        good they are.

        Args:
            data: Recent history of series of training, in any order; the data of `fit` by default. It needs the steps
                of the window; lags that reach back farther count as missing, and a line says so. A series of training
                that is missing counts as not observed, and is not forecast.
            horizon: Number of steps; that of training by default.
            recursive: True allows more steps than the model was trained for: it then reads its own forecasts. Their
                errors add up; `backtest(horizon=..., recursive=True)` measures them.
            futr_df: Frame with `unique_id`, `ds` and the future covariates of the steps to forecast; without
                `unique_id`, all series share them. The first two may have their names in the data of `fit`. It is not
                needed if the data go on with the covariates.
            static_df: Frame with static covariates, if they differ from those of training.
            level: Levels of intervals in percent: 80 adds `elinformer-lo-80` and `elinformer-hi-80`.
            quantiles: Numbers between 0 and 1, instead of levels: 0.1 adds `elinformer-q-10`.
            scenarios: Number of joint scenarios: paths that hang together across series and steps, so that sums,
                maxima and differences have intervals too. They add `elinformer-scenario-1` and so on.
            seed: Seed of the scenarios.
            freq: Time between the steps of a data frame; that of training by default.
            series_at_once: Number of series in a partition: it limits the memory, and does not change the forecast. By
                default all series are computed together, if a window has at most four times the `tokens_at_once` of the
                training options.

        Returns:
            A long frame of the library of the data, with their types of names and times: `unique_id`, `ds` (or what
            these columns are called in the data) and the name of the model (`elinformer_<channel>` with several
            channels). If a series has no reading in the window, there is also `n_observed`, the number of steps of the
            window with a reading of the series: a row with 0 is forecast from the calendar, the lags and the others.

        Raises:
            InputError: The history is too short, or does not match the training data; or the horizon, a level, a
                quantile or the number of scenarios cannot be used.
        """
        wanted = wanted_quantiles(level, quantiles)
        n_scenarios = _checked_scenarios(scenarios, seed)
        trained, n_steps = self.trained.latest, self._checked_horizon(horizon, recursive)
        panel = self._known_ahead(self._as_panel(data, freq, static_df), futr_df, max(n_steps, self.reach.horizon))
        if self.reach.window <= panel.n_steps < self.reach.history:
            words = f"the data have {panel.n_steps} steps, fewer than the longest lag ({self.reach.history})"
            say(f"{words}: a longer history makes a better forecast", stderr=True)
        if not wanted.quantiles and not n_scenarios:
            columns = {"": trained.next_steps(panel, series_at_once, horizon=n_steps)}  # (S, n, C)
        elif n_steps > self.reach.horizon:
            raise InputError(
                f"expected at most {self.reach.horizon} steps with levels, quantiles or scenarios, got {n_steps}: "
                "leave them out, because the errors of forecasts from forecasts were not measured"
            )
        else:
            outputs = trained.next_quantiles(panel, series_at_once)  # (S, n, C, K)
            paths = trained.scenarios(outputs, panel, n_scenarios, seed)
            between = wanted.columns(outputs, trained.loss.quantiles)
            columns = {
                "": outputs[..., len(trained.loss.quantiles) // 2],
                **{name: trained.raised(values, panel) for name, values in between.items()},
                **{f"-scenario-{i}": path for i, path in enumerate(paths, 1)},
            }
        times, columns = panel.future_timestamps(n_steps), {name: x[:n_steps] for name, x in columns.items()}
        frame = long_frame(columns, times, panel.series, panel.channels, self.model_name)
        readings = readings_of(panel.mask[-self.reach.window :])
        if not readings.all():
            frame[N_OBSERVED] = np.repeat(readings, n_steps)
        return in_form(frame, panel.form, panel.freq)

    @explain_arguments
    def backtest(
        self,
        data: Panel | Any | None = None,
        *,
        split: PartName | None = "test",
        horizon: int | None = None,
        recursive: bool = False,
        freq: Freq | None = None,
        series_at_once: int | None = None,
    ) -> Backtest:
        """Forecast all windows of a split, and return the sums of the errors.

        The result has `scores()`, `scores(by="series")` and `frame()`: see `elinformer.backtests.Backtest`.

        Args:
            data: A panel or frame with the series of training; the data of `fit` by default.
            split: "train", "validation" or "test"; None = all windows of the data.
            horizon: Number of steps; that of training by default.
            recursive: True allows a longer horizon than that of training, as in `predict`, of 256 windows at most.
            freq: Time between the steps of a data frame; that of training by default.
            series_at_once: Number of series in a partition, as in `predict`.

        Raises:
            InputError: The split has no window, or fine-tuning has learned from all windows of the test part.
        """
        panel = self.info.align(self._as_panel(data, freq))
        origins = part_origins(panel.n_steps, self.split, split, self.reach)
        if split == "test":
            origins = self.trained.unseen(panel, origins)
        n_steps = self._checked_horizon(horizon, recursive)
        if n_steps > self.reach.horizon:
            origins = origins[origins <= origins[-1] + self.reach.horizon - n_steps]
            origins = origins[:: max(1, -(-len(origins) // MAX_RECURSIVE_WINDOWS))]
            if not len(origins):
                raise InputError(
                    f"expected a part with a window of {n_steps} steps to score, got none: choose a shorter one"
                )
        return self.backtest_of(panel, origins, horizon=n_steps, series_at_once=series_at_once)

    def backtest_of(
        self, panel: Panel, origins: np.ndarray, *, horizon: int | None = None, series_at_once: int | None = None
    ) -> Backtest:
        """Forecast the windows with the first target steps `origins` (n,) of a panel; see `backtest`."""
        panel, trained = self.info.align(panel), self.trained
        n_steps = self.reach.horizon if horizon is None else horizon

        def forecast(origins: np.ndarray) -> np.ndarray:
            return trained.long_forecasts(panel, origins, n_steps, series_at_once)

        if n_steps == self.reach.horizon:
            sums = trained.scores(panel, origins, series_at_once)
        else:
            sums = sums_of(forecast, panel, origins, n_steps)
        return Backtest(sums, trained, panel, origins, forecast, name=self.model_name)

    def forecasts(self, panel: Panel, origins: np.ndarray) -> np.ndarray:
        """Return point forecasts (n, S, N, C), in the units of the data.

        Args:
            panel: A panel with series of training.
            origins: (n,), the first target steps.
        """
        return self.trained.forecasts(self.info.align(panel), origins)

    @explain_arguments
    def plot(
        self,
        data: Panel | Any | None = None,
        *,
        series: Sequence[str | int] | None = None,
        channel: str | int = 0,
        history: int | None = None,
        level: Sequence[float] | float | None = LEVELS,
        freq: Freq | None = None,
    ) -> Figure:
        """Draw the forecasts of the steps after the end of the data. `backtest().plot()` draws past windows.

        Args:
            data: Recent history, as in `predict`; the data of `fit` by default.
            series: Names or numbers of series; the first six by default.
            channel: Name or number of the channel.
            history: Number of steps before the forecast that are drawn; by default the window, or three horizons if
                that is more.
            level: Levels of the bands in percent; None = no bands.
            freq: Time between the steps of a data frame; that of training by default.

        Returns:
            A figure of Matplotlib: `figure.savefig("forecast.png")` writes it.

        Raises:
            InputError: The history is too short, or a series or a level is unknown.
        """
        from elinformer.plots import Forecasts, figure_of

        trained, panel = self.trained.latest, self._as_panel(data, freq)
        names = range(min(6, panel.n_series)) if series is None else series
        chosen = [place_of(name, panel.series, "series") for name in names]
        outputs, wanted = trained.next_quantiles(panel), wanted_quantiles(level)
        columns = {"": trained.next_steps(panel), **wanted.columns(outputs, trained.loss.quantiles)}
        raised = {suffix: trained.raised(values, panel)[None] for suffix, values in columns.items()}
        shown = Forecasts.of(np.array([panel.n_steps]), raised)
        history = max(self.reach.window, 3 * self.reach.horizon) if history is None else history
        if history < 0:
            raise InputError(f"expected at least 0 steps of history, got {history}")
        number = place_of(channel, panel.channels, "channels")
        return figure_of(panel, shown, chosen, history=history, channel=number)

    @explain_arguments
    def fill(self, data: Panel | Any | None = None, *, freq: Freq | None = None) -> Any:
        """Fill the missing values by the forecasts of the model and by the readings beside them: see docs/gaps.md.

        Args:
            data: A panel or frame with series of training; the data of `fit` by default.
            freq: Time between the steps of a data frame; that of training by default.

        Returns:
            A panel of a panel. Of a frame a long one, `unique_id`, `ds`, `y` (`y_<channel>` with several channels) and
            `filled`, True where a value is not a reading.

        Raises:
            InputError: A series has no reading, or the data do not match those of training.
        """
        given = self._as_panel(data, freq)
        chosen = [self.info.series.index(name) for name in given.series]
        panel = fill(self.trained.latest, self.info.align(given).select(chosen))
        if data is None or isinstance(data, Panel):
            return panel
        return in_form(filled_frame(panel, given.mask), given.form, given.freq)

    @explain_arguments
    def anomalies(
        self, data: Panel | Any | None = None, level: float = 99, *, freq: Freq | None = None
    ) -> pd.DataFrame:
        """Return the readings that lie outside of the usual errors of a forecast of one step: see docs/gaps.md.

        Args:
            data: A panel or frame with the series of training; the data of `fit` by default.
            level: Share of the usual errors that are not reported, in percent. Usual are the errors in the data of
                `fit`; a loaded forecaster has none, so that they are those of `data`.
            freq: Time between the steps of a data frame; that of training by default.

        Returns:
            A long frame, a row for each reading: `unique_id`, `ds`, `channel`, `y`, `expected`, `low`, `high`, and
            `distance`, by how many widths of the usual range the reading lies outside. The farthest comes first.

        Raises:
            InputError: The level is not between 50 and 100, or the data are too short.
        """
        panel = self.info.align(self._as_panel(data, freq))
        usual = panel if self._panel is None else self.info.align(self._panel)
        return in_form(anomaly_frame(panel, unusual(self.trained, panel, usual, level)), panel.form, panel.freq)

    def _checked_horizon(self, horizon: int | None, recursive: bool) -> int:
        n_steps = self.reach.horizon if horizon is None else horizon
        if n_steps < 1:
            raise InputError(f"expected a horizon of at least 1 step, got {n_steps}")
        if n_steps > self.reach.horizon and not recursive:
            raise InputError(
                f"expected a horizon of at most {self.reach.horizon} steps, as in training, got {n_steps}: train with "
                f"horizon={n_steps}, or pass recursive=True, which forecasts from forecasts with a larger error"
            )
        return n_steps

    def _known_ahead(self, panel: Panel, futr_df: Any | None, n_steps: int) -> Panel:
        """Return the panel with the future covariates of the next `n_steps`.

        Raises:
            InputError: They are missing.
        """
        if futr_df is not None:
            return with_future(panel.last_steps(self.reach.usable_history), futr_df, n_steps, self.info.form)
        if panel.future:
            check_known_ahead(panel.last_steps(self.reach.usable_history), n_steps)
        return panel


def _checked_scenarios(n: int | None, seed: int) -> int:
    for name, value, least in (("scenarios", 0 if n is None else n, 0 if n is None else 1), ("seed", seed, 0)):
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
            raise InputError(f"expected {name} as a whole number of at least {least}, got {value!r}")
    return n or 0


def readings_of(mask: np.ndarray) -> np.ndarray:
    """Return the number (N,) of steps of a mask (T, N, C) with a reading of each series."""
    return np.count_nonzero(mask.any(2), axis=0)
