"""Intervals of forecasts: any quantile from trained ones, calibration on validation, scores, joint scenarios."""

from elinformer.intervals.calibration import Calibration, calibrate
from elinformer.intervals.levels import LEVELS, Wanted, interpolated, wanted_quantiles
from elinformer.intervals.scenarios import scenarios

__all__ = ["LEVELS", "Calibration", "Wanted", "calibrate", "interpolated", "scenarios", "wanted_quantiles"]
