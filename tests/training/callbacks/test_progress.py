"""The progress of a training on consoles of any width, and in files."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console

from elinformer.training.callbacks.best_weights import BestWeights
from elinformer.training.callbacks.progress import ProgressBar


def show(bar: ProgressBar, *, epochs: int, batches: int) -> None:
    """Call the bar as a training does."""
    trainer: Any = SimpleNamespace(
        num_training_batches=batches, max_epochs=epochs, current_epoch=0, callback_metrics={}
    )
    module: Any = None
    bar.on_train_start(trainer, module)
    for epoch in range(epochs):
        trainer.current_epoch = epoch
        for batch in range(batches):
            bar.on_train_batch_end(trainer, module, {"loss": torch.tensor(0.1234)}, None, batch)
        trainer.callback_metrics = {"validation_mae": torch.tensor(12.3456)}
        bar.on_validation_end(trainer, module)
    bar._progress.refresh()
    bar.teardown(trainer, module, "fit")


@pytest.mark.parametrize("width", [20, 40, 80, 120])
def test_the_bar_is_one_line_of_any_console(width: int) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=width, color_system=None)
    show(ProgressBar(console, BestWeights(), lines=True), epochs=30, batches=4)
    shown = [line for line in screen.getvalue().replace("\r", "\n").split("\n") if "epoch" in line]
    assert shown
    assert screen.getvalue().count("\x1b[1A") == 1  # at the end; a bar of two lines goes up again and again
    assert ("MAE 12.35" in shown[-1]) == (width >= 80)


def test_a_file_gets_a_line_every_tenth() -> None:
    screen = io.StringIO()
    show(ProgressBar(Console(file=screen, width=40), BestWeights(), lines=True), epochs=30, batches=4)
    lines = screen.getvalue().splitlines()
    assert [line.split(":")[0] for line in lines] == [f"training {10 * i} %" for i in range(1, 11)]
    assert "epoch 3/30" in lines[0]


def test_a_console_of_another_program_gets_no_lines() -> None:
    screen = io.StringIO()
    show(ProgressBar(Console(file=screen), BestWeights(), lines=False), epochs=3, batches=1)
    assert not screen.getvalue()
