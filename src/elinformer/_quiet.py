"""Suppression of log messages of other libraries."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

LIGHTNING = tuple(
    logging.getLogger(name)
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning_fabric", "lightning.fabric")
)


@contextmanager
def quiet(*loggers: logging.Logger, below: int = logging.ERROR) -> Generator[None]:
    """Suppress messages of loggers below a level, within a context."""
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(below)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
