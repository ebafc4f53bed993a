"""Forecaster, the class that users train, forecast and save with."""

from elinformer.forecaster.forecaster import Forecaster

__all__ = ["Forecaster"]
