"""Loggers of other libraries, made quiet for a while."""

from __future__ import annotations

import logging

import pytest
import pytorch_lightning as pl
from pytorch_lightning.utilities.seed import isolate_rng

from elinformer._quiet import LIGHTNING, quiet


class Kept(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@pytest.fixture
def messages(monkeypatch):
    """What Lightning's logger of seeds says; whatever it sets is set back."""
    for name in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS"):
        monkeypatch.setenv(name, "0")
    kept, logger = Kept(), logging.getLogger("lightning_fabric.utilities.seed")
    logger.addHandler(kept)
    with isolate_rng():
        yield kept.messages
    logger.removeHandler(kept)


def test_lightning_tells_no_seed_while_it_is_quiet_but_does_before_and_after(messages):
    pl.seed_everything(1)
    with quiet(*LIGHTNING):
        pl.seed_everything(2)
    pl.seed_everything(3)
    assert messages == ["Seed set to 1", "Seed set to 3"]


def test_what_weighs_enough_is_said_and_an_error_ends_the_quiet():
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
