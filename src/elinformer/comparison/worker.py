"""One job in a process of its own: `python -m elinformer.comparison.worker JOB.json`.

The file says what to do and where the result goes. Progress is written to standard output, a JSON object a line, and
errors to standard error, of which the last line says what went wrong.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import traceback
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytorch_lightning as pl
from rich.console import Console

from elinformer._allocator import keep_freed_memory
from elinformer.comparison.plan import Job
from elinformer.comparison.scoring import Work, run_job
from elinformer.errors import InputError, MissingExtraError
from elinformer.run_folder.folder import read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Mapping

WATCH = "--end-with-stdin"
"""End as soon as standard input is closed: so does the comparison that started this process when it is killed."""


class EpochLines(pl.Callback):
    """Writes a line after every epoch."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Write the epoch and the validation error."""
        mae = trainer.callback_metrics.get("validation_mae")
        line: dict[str, Any] = {"epoch": trainer.current_epoch + 1, "epochs": trainer.max_epochs}
        line["validation_mae"] = None if mae is None or not mae.isfinite() else float(mae)
        print(json.dumps(line), file=self._stream, flush=True)


def main(arguments: list[str]) -> int:
    """Do the job in the file that is named first."""
    keep_freed_memory()
    if WATCH in arguments:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    try:
        _work(read_json(Path(arguments[0])))
    except (InputError, MissingExtraError) as error:
        return _report(str(error))
    except Exception as error:
        traceback.print_exc()
        return _report(f"{type(error).__name__}: {error}")
    return 0


def _report(message: str) -> int:
    print("error:", " ".join(message.split()), file=sys.stderr)
    return 1


def _work(document: Mapping[str, Any]) -> None:
    console = Console(stderr=True, force_terminal=False)
    lines = EpochLines(sys.stdout)
    job = Job.from_document(document["job"])
    checkpoints, trained = Path(document["checkpoints"]), Path(document["trained"])
    work = Work(job, document["device"], checkpoints, trained, console, [lines])
    write_json(document["result"], run_job(work))


def _end_with_stdin() -> None:
    while os.read(sys.stdin.fileno(), 1024):  # sys.stdin would hold a lock that the interpreter wants at its end
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
