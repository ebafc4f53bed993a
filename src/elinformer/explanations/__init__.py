"""Explanations of forecasts: attributions of one forecast to what the model read, and influences between series."""

from elinformer.explanations.attributions import Target, explain
from elinformer.explanations.explanation import Explanation
from elinformer.explanations.influences import Influences, influences, n_windows

__all__ = ["Explanation", "Influences", "Target", "explain", "influences", "n_windows"]
