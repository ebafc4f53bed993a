"""Lines of JSON about a training, for the process that started it."""

from __future__ import annotations

import json
from typing import IO, Any

import pytorch_lightning as pl


class EpochLines(pl.Callback):
    """Callback that writes a line after every epoch."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the epoch and the validation error."""
        mae = trainer.callback_metrics.get("validation_mae")
        line: dict[str, Any] = {"epoch": trainer.current_epoch + 1, "epochs": trainer.max_epochs}
        line["validation_mae"] = None if mae is None or not mae.isfinite() else float(mae)
        print(json.dumps(line), file=self._stream, flush=True)
