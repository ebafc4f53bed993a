"""Losses, scores, backtests and naive forecasts, for forecasts of any model."""

from elinformer.evaluation.backtest import backtest
from elinformer.evaluation.blocks import BlockSums, blocks_of
from elinformer.evaluation.intervals import IntervalSums
from elinformer.evaluation.losses import LOSSES, AbsoluteError, Loss, QuantileLoss, targets_of
from elinformer.evaluation.metrics import MetricSums, Scores
from elinformer.evaluation.naive import Naive, naives_for, score_naive, score_naives
from elinformer.evaluation.ratios import Ratio, best_of, ratio_to
from elinformer.evaluation.verdict import Verdict, judge

__all__ = [
    "LOSSES",
    "AbsoluteError",
    "BlockSums",
    "IntervalSums",
    "Loss",
    "MetricSums",
    "Naive",
    "QuantileLoss",
    "Ratio",
    "Scores",
    "Verdict",
    "backtest",
    "best_of",
    "blocks_of",
    "judge",
    "naives_for",
    "ratio_to",
    "score_naive",
    "score_naives",
    "targets_of",
]
