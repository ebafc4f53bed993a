"""New data for a trained forecaster: newer steps, newer errors, more training, more series."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from elinformer._arguments import explain_arguments
from elinformer.data.appending import append
from elinformer.data.panel import Panel, data_description, time_from
from elinformer.data.reach import window_origins
from elinformer.errors import InputError
from elinformer.finetuning import STEPS as FINETUNING_STEPS
from elinformer.finetuning import finetuned
from elinformer.forecaster.state import ForecasterState
from elinformer.new_series import STEPS, with_new_series
from elinformer.trained_model import LEARNED_UNTIL
from elinformer.unseen_series import with_unseen_series

if TYPE_CHECKING:
    from elinformer.data.steps import Freq


class Adapting(ForecasterState):
    """Changes of a trained forecaster by new data. Each method returns another forecaster."""

    @explain_arguments
    def recalibrate(
        self, data: Panel | Any | None = None, *, steps: int | None = None, freq: Freq | None = None
    ) -> Self:
        """Return a forecaster whose intervals and scenarios follow the newest errors. Nothing is trained.

        Use it when the errors have changed since the validation part: in another season, or after months. The point
        forecast stays the same. This forecaster does not change.

        Args:
            data: Data with the newest steps; those of `fit` by default.
            steps: Number of steps at the end of the data whose windows are forecast; by default the share that the
                validation part has of the data. They should not be steps of training.
            freq: Time between the steps of a data frame; that of training by default.

        Raises:
            InputError: The steps have no window.
        """
        panel = self.info.align(self._as_panel(data, freq))
        newest = round(self.split[1] * panel.n_steps) if steps is None else steps
        origins = window_origins((panel.n_steps - newest, panel.n_steps), self.reach)
        if not len(origins):
            raise InputError(
                f"expected at least {self.reach.horizon} steps to calibrate on, with {self.reach.history} steps of "
                f"history before them, got {newest} of {panel.n_steps}"
            )
        recalibrated = copy.copy(self)
        vars(recalibrated)["_trained"] = self.trained.calibrated(panel, origins)
        return recalibrated

    @explain_arguments
    def update(self, new_rows: Panel | Any, *, freq: Freq | None = None, revise: bool = False) -> Self:
        """Return a forecaster whose data go on with new rows, without training. This forecaster does not change.

        `predict()` then forecasts the steps after the new rows. Steps that no row has are missing values.

        Args:
            new_rows: Rows of series of training, that follow the data or overlap with them. A loaded forecaster has no
                data; its first rows have to be the recent history.
            freq: Time between the steps of a data frame; that of training by default.
            revise: True takes the new value where rows contradict the data; False refuses them.

        Raises:
            InputError: The rows contradict the data, begin before them, or lie on other steps.
        """
        new = self.info.align(self._as_panel(new_rows, freq))
        if self._panel is None and new.n_steps < self.reach.history:
            raise InputError(
                f"expected at least {self.reach.history} steps, because a loaded forecaster has no data, got "
                f"{new.n_steps}: pass the recent history first"
            )
        panel = new if self._panel is None else append(self.info.align(self._panel), new, revise=revise)
        updated = copy.copy(self)
        vars(updated).update(_panel=panel, _split_panel=None)
        return updated

    @explain_arguments
    def finetune(
        self,
        new_rows: Panel | Any,
        steps: int = FINETUNING_STEPS,
        *,
        freq: Freq | None = None,
        features: Any | None = None,
    ) -> Self:
        """Return a forecaster that was trained further, with new rows. This forecaster does not change.

        Half of the windows are old ones, and the weights before and after are averaged so that the error on the old
        validation windows grows by half a percent at most. Intervals are calibrated anew. New series are added first,
        as by `add_series`. It goes on from the weights before a refit, and its result forecasts and is scored with
        the same weights. They have seen all rows: only `finetuning`, and a backtest of later rows, say how good they
        are.

        Args:
            new_rows: Rows that follow the data or overlap with them. They may have new series. Rows that `update` has
                appended since the training are new, too.
            steps: Number of optimiser steps, of 16 windows each. They are taken twice: for the errors, and for the
                result.
            freq: Time between the steps of a data frame; that of training by default.
            features: Features of all series, if there are new ones: see `add_series`.

        Returns:
            A forecaster with the errors before and after in `finetuning`.

        Raises:
            InputError: The forecaster has no data, or the new rows are too few or contradict them.
        """
        if self._panel is None:
            raise InputError(
                "expected data, because a loaded forecaster has no data: call update with the old data first"
            )
        new = self._as_panel(new_rows, freq)
        info = self.info.with_series(self.info.new_series(new), new)
        panel = append(info.align(self._panel), info.align(new))
        n_old = self._n_learned(panel) or self._panel.n_steps
        base = self if info.series == self.info.series else self.add_series(panel, features=features, steps=steps)
        trained, report = finetuned(base.trained, panel, n_old, self.split, steps=steps, seed=self.training.seed)
        tuned = copy.copy(base)
        known = data_description(panel)
        trained = trained.replaced(data=known | {LEARNED_UNTIL: known["last"]})
        vars(tuned).update(_trained=trained, _result=None, _split_panel=None, _panel=panel, finetuning=report)
        return tuned

    def _n_learned(self, panel: Panel) -> int:
        """Return the number of steps that training knew, of a panel that begins with them; 0 = it does not."""
        known = self.trained.data or {}
        if known.get("first") is None or time_from(known["first"], panel) != panel.timestamps[0]:
            return 0
        return int(np.searchsorted(panel.timestamps, time_from(known["last"], panel), "right"))

    @explain_arguments
    def add_series(
        self,
        data: Panel | Any | None = None,
        *,
        freq: Freq | None = None,
        features: Any | None = None,
        steps: int = STEPS,
    ) -> Self:
        """Return a forecaster with more series, without training the model again. This forecaster does not change.

        The embeddings of the new series are learned from their history. All weights and all other embeddings stay the
        same. The errors to expect are measured first, on the last fifth of the history: see `added`.

        Args:
            data: History of the new series and of the series of training. All of it is used for learning. Without new
                series in it, those of `features` are added, from their features alone. The data of `fit` by default.
            freq: Time between the steps of a data frame; that of training by default.
            features: A frame with `unique_id` and columns of numbers or categories, one row for each series of `data`,
                of training too if some have no history. They are the static covariates, if training had some. Locations
                of a panel are used too.
            steps: Number of optimiser steps, of 16 windows each. They are taken twice: for the errors, and for the
                result.

        Raises:
            InputError: There is no new series, a new series has less than a day of history, or the model has to be
                trained again.
        """
        panel = self._as_panel(data, freq, features if self.info.covariates.static.names else None)
        if features is not None and not self.info.new_series(panel):
            trained = with_unseen_series(self.trained, panel, features, scale_per=self.scale_per)
            panel = trained.info.align(panel)
        else:
            trained = with_new_series(
                self.trained, panel, scale_per=self.scale_per, features=features, steps=steps, seed=self.training.seed
            )
        extended = copy.copy(self)
        vars(extended).update(_trained=trained, _result=None, _split_panel=None, _panel=panel)
        return extended
