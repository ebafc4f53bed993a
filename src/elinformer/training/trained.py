"""What can be asked of a forecaster once it is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from elinformer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from elinformer.data.panel import Panel
    from elinformer.data.series_info import SeriesInfo
    from elinformer.training.fit import FitResult
    from elinformer.training.fitted import Fitted
    from elinformer.training.module import ForecastModule


class Trained:
    """Holds what training gave; InputError where there was none so far."""

    _fitted: Fitted | None = None

    def forecasts(self, panel: Panel, origins: np.ndarray) -> np.ndarray:
        """Forecasts (n, S, N, C) whose first target steps are `origins` (n,) of a panel like that of training."""
        return self._trained().forecasts(self.info.align(panel), origins)

    @property
    def batch_size(self) -> int:
        """Windows that are forecast together."""
        return self._trained().batch_size

    @property
    def module(self) -> ForecastModule:
        """What was trained: a function from a `Batch` of windows to forecasts (B, S, N, C) in the data's units."""
        return self._trained().module

    @property
    def n_parameters(self) -> int:
        """Trainable numbers of the model."""
        return sum(p.numel() for p in self._trained().model.parameters())

    @property
    def info(self) -> SeriesInfo:
        """Names, time and calendar of training."""
        return self._trained().info

    @property
    def fit_result(self) -> FitResult:
        """How training went; an error for a forecaster that was loaded."""
        result = self._trained().result
        if result is None:
            raise InputError("expected a forecaster that was fitted here, got one that was loaded")
        return result

    @property
    def added(self) -> Mapping[str, Any] | None:
        """The series that were added last, and the errors that were measured then: see docs/new_series.md."""
        return self._trained().added

    def _trained(self) -> Fitted:
        if self._fitted is None:
            raise InputError("expected a trained forecaster: call fit(...) first, or Forecaster.load(...)")
        return self._fitted
