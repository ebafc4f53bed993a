"""Tell what a run, or the folder of a panel, holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from elinformer._files import read_json
from elinformer.run_folder.folder import CHECKPOINTS, METRICS, TRAINING, read_config, read_progress

Document = dict[str, Any]


def information(path: str | Path, *, check: bool = False) -> Document:
    """Return what a run or the folder of a panel holds.

    Args:
        path: The folder.
        check: True compares all of a panel with its fingerprint, and the checkpoints of a run with their checksums. The
            other files of a run are always compared.

    Raises:
        InputError: The folder holds neither, or something is damaged.
    """
    if not Path(path).is_dir():
        read_config(Path(path))
    from elinformer.data.io.folder import check_panel, is_panel_folder, open_panel

    if not is_panel_folder(Path(path)):
        return run_information(path, check=check)
    panel = check_panel(path) if check else open_panel(path)
    return {
        "panel": str(path),
        "name": panel.name,
        "shape": list(panel.values.shape),
        "freq": panel.freq,
        "first": str(panel.timestamps[0]),
        "last": str(panel.timestamps[-1]),
        "channels": list(panel.channels),
        "checked": "all" if check else "sizes, times and a sample",
    }


def run_information(run: str | Path, *, check: bool = False) -> Document:
    """Return settings, series and scores of a run, or settings and progress of an unfinished run; see `information`."""
    config = read_config(Path(run))
    if check:
        from elinformer.run_folder.checkpoints import CheckpointFolder, read_checkpoint

        for file in CheckpointFolder(Path(run) / CHECKPOINTS).files():
            read_checkpoint(file)
    if config.get("state") == TRAINING:
        return {"run": str(run), "config": config, "progress": read_progress(run)}

    from elinformer.forecaster import Forecaster

    forecaster = Forecaster.load(run)
    metrics = Path(run) / METRICS
    return {
        "run": str(run),
        "config": config,
        "panel": forecaster.info.to_document(),
        "parameters": forecaster.n_parameters,
        "metrics": read_json(metrics) if metrics.is_file() else None,
    }
