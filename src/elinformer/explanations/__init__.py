"""Explanations of forecasts: attributions of one forecast to what the model read, and influences between series."""

from elinformer.explanations.attributions import Target, explain
from elinformer.explanations.explanation import Explanation

__all__ = ["Explanation", "Target", "explain"]
