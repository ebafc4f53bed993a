"""Checksums of a run made anew, as one who wants to mislead would: what is checked beside them shows."""

from __future__ import annotations

import json
from pathlib import Path

from elinformer.run_folder import folder
from elinformer.run_folder.folder import CALIBRATION, CONFIG, METRICS, MODEL, PANEL, SCALER


def seal(run: Path) -> None:
    """Write the checksums of the files as they are now into config.json."""
    config = json.loads((run / CONFIG).read_text(encoding="utf-8"))
    names = [name for name in (PANEL, METRICS, MODEL, SCALER, CALIBRATION) if (run / name).is_file()]
    files = {name: (run / name).read_bytes() for name in names}
    state = config.get("state", "finished") if isinstance(config, dict) else "finished"
    given = {name: config[name] for name in ("format", "schema") if name in config}
    document = json.loads(folder._config_file(config, state, files)) | given
    document["checksums"][CONFIG] = folder.document_digest(folder._checked_part(document))
    (run / CONFIG).write_text(json.dumps(document), encoding="utf-8")
