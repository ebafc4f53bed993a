"""Ends a training before its end, and compares what comes of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from elinformer.forecaster import Forecaster

AtStep = Callable[[int | None, Callable[[], Any]], None]


class PowerCutError(Exception):
    """Ends a training without notice."""


def power_cut() -> None:
    raise PowerCutError


def interrupt() -> None:
    """As Ctrl-C does."""
    os.kill(os.getpid(), signal.SIGINT)


def terminate() -> None:
    """As a scheduler does before it kills."""
    os.kill(os.getpid(), signal.SIGTERM)


def weights_of(forecaster: Forecaster) -> dict[str, Tensor]:
    return forecaster.trained.model.state_dict()


def assert_same(forecaster: Forecaster, other: Forecaster) -> None:
    """The same weights, bit by bit."""
    weights, others = weights_of(forecaster), weights_of(other)
    assert weights.keys() == others.keys()
    for name, weight in weights.items():
        assert weight.equal(others[name]), name


def change(path: Path, place: int) -> None:
    """Spoil one byte of a file."""
    content = path.read_bytes()
    path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])


def checkpoints(run: Path) -> list[Path]:
    """Oldest first."""
    return sorted((run / "checkpoints").iterdir())
