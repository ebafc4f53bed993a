"""Tests of the suppression of log messages."""

from __future__ import annotations

import logging

import pytest
import pytorch_lightning as pl
from pytorch_lightning.utilities.seed import isolate_rng

from elinformer._quiet import LIGHTNING, quiet


class StoredMessages(logging.Handler):
    """Handler that stores the messages."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@pytest.fixture
def messages(monkeypatch):
    """Collect the seed messages of Lightning, and restore the random state and the environment."""
    for name in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS"):
        monkeypatch.setenv(name, "0")
    handler, logger = StoredMessages(), logging.getLogger("lightning_fabric.utilities.seed")
    logger.addHandler(handler)
    with isolate_rng():
        yield handler.messages
    logger.removeHandler(handler)


def test_messages_of_lightning_are_suppressed_only_within_the_context(messages):
    pl.seed_everything(1)
    with quiet(*LIGHTNING):
        pl.seed_everything(2)
    pl.seed_everything(3)
    assert messages == ["Seed set to 1", "Seed set to 3"]


def test_messages_of_a_higher_level_pass_and_an_exception_ends_the_context():
    logger = logging.getLogger("some.library")
    logger.setLevel(logging.INFO)

    def fail_in_quiet() -> None:
        with quiet(logger, below=logging.WARNING):
            assert logger.isEnabledFor(logging.WARNING)
            assert not logger.isEnabledFor(logging.INFO)
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        fail_in_quiet()
    assert logger.isEnabledFor(logging.INFO)
