"""Trace the training step of one batch: calls of the library's functions, their files, and the moves between files.

    python -m research.trace_batch --layers 1 3 --list

A step is `training_step` of the Lightning module on one micro-batch, without the backward. A call is that of a function
or property that is defined in the package; comprehensions, generator expressions and code that `@dataclass` writes do
not count. A move is a call in another file than the call before. The script drives `Forecaster.fit` alone, so that it
runs on other checkouts too: put their `src` on PYTHONPATH.
"""

from __future__ import annotations

import argparse
import sys
from itertools import groupby, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
from rich.console import Console

import elinformer
from elinformer.data.panel import Panel
from elinformer.forecaster import Forecaster
from elinformer.training import TrainingConfig

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

PACKAGE = Path(elinformer.__file__).parent
N_STEPS, N_SERIES = 200, 8


class Call(NamedTuple):
    """Call of a function: its file in the package, and its name."""

    file: str
    function: str


class TracedStep(pl.Callback):
    """Callback that records the calls of the last training step."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def on_fit_start(self, trainer: pl.Trainer, pl_module: Any) -> None:  # noqa: ARG002 the signature of Lightning
        """Put the recorder around `training_step`."""
        pl_module.training_step = self._traced(pl_module.training_step)

    def _traced(self, step: Callable[..., Any]) -> Callable[..., Any]:
        def traced(*arguments: Any) -> Any:
            self.calls = []
            sys.setprofile(self._record)
            try:
                return step(*arguments)
            finally:
                sys.setprofile(None)

        return traced

    def _record(self, frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and not code.co_name.startswith("<") and Path(code.co_filename).is_relative_to(PACKAGE):
            self.calls.append(Call(str(Path(code.co_filename).relative_to(PACKAGE)), code.co_qualname))


def traced(n_layers: int) -> list[Call]:
    """Return the calls of a training step of an ELinFormer."""
    rng, step = np.random.default_rng(0), TracedStep()
    panel = Panel.from_arrays(rng.standard_normal((N_STEPS, N_SERIES)), start="2024-01-01", freq="1h")
    training = TrainingConfig(epochs=1, device="cpu")
    forecaster = Forecaster(12, 12, model={"n_layers": n_layers}, training=training)
    forecaster.fit(panel, console=Console(quiet=True), callbacks=[step])
    return step.calls


def n_moves(calls: list[Call]) -> int:
    """Count the calls in another file than the call before."""
    return sum(before.file != after.file for before, after in pairwise(calls))


def summary(calls: list[Call]) -> str:
    """Write the three counts."""
    return f"{len(calls)} calls, {len({call.file for call in calls})} files, {n_moves(calls)} moves"


def listing(calls: list[Call]) -> str:
    """Write a line for each stay in a file, with the functions that were called there."""
    stays = [(file, [call.function for call in group]) for file, group in groupby(calls, lambda call: call.file)]
    return "\n".join(f"{i:3} {file}: {', '.join(functions)}" for i, (file, functions) in enumerate(stays))


def main() -> None:
    """Trace and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, nargs="+", default=[1, 3])
    parser.add_argument("--list", action="store_true", help="print the stays in files in order")
    options = parser.parse_args()
    for n_layers in options.layers:
        calls = traced(n_layers)
        print(f"{n_layers} layers: {summary(calls)}")
        if options.list:
            print(listing(calls))


if __name__ == "__main__":
    main()
