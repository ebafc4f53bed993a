"""The folder of a run while it is trained: what is trained on what, and checkpoints of how far it is."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elinformer._files import held_folder
from elinformer._process import is_first_process
from elinformer.data.fingerprint import fingerprint
from elinformer.errors import InputError
from elinformer.run_folder.folder import (
    INTERRUPTED,
    TRAINING,
    begin_run,
    check_run_folder,
    checked_config,
    checkpoint_folder,
    mark_run,
    tidy_run,
)

if TYPE_CHECKING:
    from collections.abc import Generator

    from elinformer.data.panel import Panel
    from elinformer.run_folder.checkpoints import CheckpointFolder


@dataclass(frozen=True)
class UnfinishedRun:
    """A run that training writes itself down in, from before its first step.

    Attributes:
        folder: Of the run.
        config: What goes into `config.json`.
        is_there: Whether it was begun before, and is gone on with.
    """

    folder: Path
    config: dict[str, Any]
    is_there: bool = False

    @classmethod
    def new(cls, folder: str | Path, config: dict[str, Any], *, overwrite: bool = False) -> UnfinishedRun:
        """A run that training will put into `folder`.

        Raises:
            InputError: The folder may not be written to.
        """
        check_run_folder(folder, overwrite=overwrite)
        return cls(Path(folder), config)

    @classmethod
    def open(cls, folder: str | Path) -> UnfinishedRun:
        """A run that was killed, or ended early by Ctrl-C.

        Raises:
            InputError: No run, or one that is finished.
        """
        config = checked_config(Path(folder))
        if config.get("state") not in {TRAINING, INTERRUPTED}:
            raise InputError(
                f"expected an unfinished run, but {folder} is finished: pass data, --out and --overwrite to train it "
                "again"
            )
        return cls(Path(folder), config, is_there=True)

    def checkpoints(self) -> CheckpointFolder:
        """Where its checkpoints are."""
        return checkpoint_folder(self.folder)

    @contextmanager
    def in_training(self) -> Generator[None]:
        """Write the folder, so that the run is known from here on, and keep other processes from training it.

        Raises:
            InputError: Another process trains it.
        """
        if not is_first_process():
            yield
            return
        if not self.is_there:
            self._begin()
        with held_folder(self.folder):
            if self.is_there:
                tidy_run(self.folder)
                mark_run(self.folder, TRAINING)
            yield

    def _begin(self) -> None:
        if self.folder.is_dir():
            with held_folder(self.folder):
                pass  # nobody trains what is going to be replaced
        begin_run(self.folder, self.config)

    def check_data(self, panel: Panel) -> None:
        """Refuse other data than those the run was begun with.

        Raises:
            InputError: Their fingerprint differs.
        """
        before = (self.config.get("data") or {}).get("fingerprint")
        if before not in {None, fingerprint(panel)}:
            raise InputError(
                f"expected the data that {self.folder} was begun with, but those of {panel.name} differ from them: put "
                "the old ones back, or train again with --overwrite"
            )
