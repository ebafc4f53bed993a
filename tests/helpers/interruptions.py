"""Interruptions of a training, and comparisons of the results."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from elinformer.forecaster import Forecaster

CallAtStep = Callable[[int | None, Callable[[], Any]], None]


class CrashError(Exception):
    """Ends a training without notice."""


def crash() -> None:
    raise CrashError


def interrupt() -> None:
    """Send SIGINT to this process, as Ctrl-C does."""
    os.kill(os.getpid(), signal.SIGINT)


def terminate() -> None:
    """Send SIGTERM to this process, as a scheduler does before it kills."""
    os.kill(os.getpid(), signal.SIGTERM)


def weights_of(forecaster: Forecaster) -> dict[str, Tensor]:
    return forecaster.trained.model.state_dict()


def assert_same_weights(forecaster: Forecaster, other: Forecaster) -> None:
    """Compare the weights of two forecasters bit by bit."""
    weights, others = weights_of(forecaster), weights_of(other)
    assert weights.keys() == others.keys()
    for name, weight in weights.items():
        assert weight.equal(others[name]), name


def flip_bit(path: Path, position: int) -> None:
    """Change one bit of a file in the byte at `position`."""
    content = path.read_bytes()
    path.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])


def checkpoint_names(run: Path) -> list[str]:
    """Return the names of the checkpoints of a run, oldest first."""
    return [path.name for path in checkpoint_files(run)]


def checkpoint_files(run: Path) -> list[Path]:
    """Return the checkpoints of a run, oldest first."""
    return sorted((run / "checkpoints").iterdir())
