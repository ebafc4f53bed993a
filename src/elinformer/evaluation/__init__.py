"""Scores, and the naive forecasts to compare with. Takes any module and any array."""

from typing import TYPE_CHECKING, Any

from elinformer.evaluation.backtest import backtest
from elinformer.evaluation.blocks import BlockSums, blocks_of
from elinformer.evaluation.metrics import MetricSums, Scores
from elinformer.evaluation.naive import Naive, naives_for, score_naive

if TYPE_CHECKING:
    from elinformer.comparison import compare

__all__ = [
    "BlockSums",
    "MetricSums",
    "Naive",
    "Scores",
    "backtest",
    "blocks_of",
    "compare",
    "naives_for",
    "score_naive",
]


def __getattr__(name: str) -> Any:
    """`compare` stands above this package, which it needs, and is loaded on first use."""
    if name == "compare":
        from elinformer.comparison import compare

        return compare
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
