"""Explanations of a forecaster: why a forecast is what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from elinformer._arguments import explain_arguments
from elinformer.backtests import place_of
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
        return explain(self.trained.latest, self.info.align(panel.last_steps(self.reach.history)), target)
