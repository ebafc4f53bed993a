"""Explanations of a forecaster: why a forecast is what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from elinformer._arguments import explain_arguments
from elinformer.backtests import place_of
from elinformer.data.reach import window_origins
from elinformer.errors import InputError
from elinformer.forecaster.predicting import Predicting

if TYPE_CHECKING:
    from elinformer.data.panel import Panel
    from elinformer.data.steps import Freq
    from elinformer.explanations import Explanation


class Explaining(Predicting):
    """Explanations of a forecaster, beside its forecasts."""

    @explain_arguments
    def explain(
        self,
        series: str | int,
        step: int = 1,
        *,
        data: Panel | Any | None = None,
        channel: str | int = 0,
        futr_df: Any | None = None,
        static_df: Any | None = None,
        freq: Freq | None = None,
    ) -> Explanation:
        """Explain a point forecast: which past steps, which covariates and which other series moved it, and how far.

        The attributions are integrated gradients. They add up to the difference between the forecast and that of a
        baseline, in which every series stays at the level of its window: see docs/explain.md.

        Args:
            series: Name or number of the series.
            step: Step of the forecast, 1 = the first one after the data.
            data: Recent history, as in `predict`; the data of `fit` by default.
            channel: Name or number of the channel.
            futr_df: Future covariates of the steps to forecast, as in `predict`.
            static_df: Static covariates, if they differ from those of training.
            freq: Time between the steps of a data frame; that of training by default.

        Returns:
            Explanation with `series()`, `steps()`, `covariates()`, `frame()` and `plot()`.

        Raises:
            InputError: The series or the step is not forecast, or the history cannot be used.
        """
        from elinformer.explanations import Target, explain

        if not 1 <= step <= self.reach.horizon:
            raise InputError(f"expected a step from 1 to {self.reach.horizon}, the horizon of training, got {step}")
        panel = self._known_ahead(self._as_panel(data, freq, static_df), futr_df, self.reach.horizon)
        name = panel.series[place_of(series, panel.series, "series")]
        target = Target(step - 1, self.info.series.index(name), place_of(channel, self.info.channels, "channels"))
        return explain(self.trained.latest, self.info.align(panel.last_steps(self.reach.usable_history)), target)

    @explain_arguments
    def influences(self, data: Panel | Any | None = None, *, top: int = 20, freq: Freq | None = None) -> pd.DataFrame:
        """Return who moves whom: the largest influences of a series on the forecasts of another one.

        The influence is the mean absolute change of the forecasts of `target` over the last windows, at most eight, a
        horizon apart, when `source` has no observation in the window. Of many series, those that move the others most
        are tried: see docs/explain.md.

        Args:
            data: Data with the series of training; those of `fit` by default.
            top: Number of pairs.
            freq: Time between the steps of a data frame; that of training by default.

        Returns:
            A frame with `source`, `target` and `change`, in standard deviations of the target within a window.

        Raises:
            InputError: The data have no window, or `top` is below 1.
        """
        from elinformer.explanations import influences, n_windows

        if top < 1:
            raise InputError(f"expected at least one pair, got top={top}")
        panel = self.info.align(self._as_panel(data, freq))
        origins = window_origins((0, panel.n_steps), self.reach)[:: -self.reach.horizon][: n_windows(panel.n_series)]
        if not len(origins):
            raise InputError(f"expected a window of {self.reach.window} steps and its horizon, got {panel.n_steps}")
        sources, changes = influences(self.trained, panel, origins[::-1])
        changes[np.arange(len(sources)), sources] = 0
        places = [divmod(int(place), panel.n_series) for place in np.argsort(changes, axis=None)[::-1][:top]]
        rows = [
            (panel.series[sources[i]], panel.series[j], float(changes[i, j])) for i, j in places if changes[i, j] > 0
        ]
        return pd.DataFrame(rows, columns=["source", "target", "change"])
