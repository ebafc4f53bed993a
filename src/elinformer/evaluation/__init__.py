"""Scores, and the naive forecasts to compare with. Takes any module and any array."""

from elinformer.evaluation.backtest import backtest
from elinformer.evaluation.blocks import BlockSums, blocks_of
from elinformer.evaluation.metrics import MetricSums, Scores
from elinformer.evaluation.naive import Naive, naives_for, score_naive

__all__ = [
    "BlockSums",
    "MetricSums",
    "Naive",
    "Scores",
    "backtest",
    "blocks_of",
    "naives_for",
    "score_naive",
]
