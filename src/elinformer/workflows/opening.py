"""Open a run: its forecaster, and its data with the options that they were read with."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elinformer._console import say
from elinformer._files import read_json
from elinformer._memory import explained_memory
from elinformer._options import check_names, rows
from elinformer.data.address import address_from, is_in_catalogue, load_panel
from elinformer.data.options import ReadingOptions
from elinformer.errors import InputError
from elinformer.run_folder.folder import DATA, PANEL, finished_config

if TYPE_CHECKING:
    from collections.abc import Mapping

    from elinformer.data.panel import Panel
    from elinformer.forecaster import Forecaster

Document = dict[str, Any]


def open_run(run: str | Path, data: str | None = None) -> tuple[Forecaster, Panel]:
    """Return the forecaster of a run and a panel.

    Args:
        run: Folder of the run.
        data: Path, or name of a data set of the catalogue, read with the options of training; the data of training by
            default, in which series that were added without history are missing values.

    Raises:
        InputError: The folder is not a complete run, or the data cannot be read.
    """
    panel = panel_for_run(run, data)

    from elinformer.forecaster import Forecaster

    forecaster = Forecaster.load(run)
    return forecaster, forecaster.info.align(panel) if data is None and forecaster.added else panel


def panel_for_run(run: str | Path, data: str | None = None) -> Panel:
    """Return the panel of `open_run`."""
    return load_panel_of_run(run, finished_config(run), data)


def load_panel_of_run(run: str | Path, config: Document, data: str | None) -> Panel:
    """Return the panel of `open_run`, for a run with this `config.json`."""
    source = source_of(run, config)
    stored = source.pop("data", None)
    if data is not None:
        from elinformer.data.io.frames import as_panel

        step = read_json(Path(run) / PANEL).get("freq") if (Path(run) / PANEL).is_file() else None
        return as_panel(read_data(data, {**_from_json(source), "step": step}), freq=step)
    if (Path(run) / DATA).is_dir():
        return read_data(str(Path(run) / DATA), {})
    if stored is None:
        raise InputError(f"expected data, because {run} was trained on data in memory: pass --data")
    place = address_from(stored, run)
    if not is_in_catalogue(place) and not Path(place).exists():
        raise InputError(
            f"expected the data of {run} at {place}, but there is nothing: if they were moved, pass their place with "
            "--data"
        )
    return read_data(place, _from_json(source))


def source_of(run: str | Path, config: Document) -> Document:
    """Return the address of a run's data, and the options that they were read with.

    Raises:
        InputError: They are not as training writes them.
    """
    source = config.get("source")
    if source is None:
        return {}
    if not isinstance(source, dict) or not isinstance(source.get("data", ""), str):
        raise InputError(f"expected the address of data as text in the config.json of {run}, got another: pass --data")
    options = {name: value for name, value in source.items() if name != "data"}
    check_names(options, rows(ReadingOptions), "options of reading", f" in the config.json of {run}")
    ReadingOptions(**_from_json(options))
    return dict(source)


def read_data(data: str, options: Mapping[str, Any]) -> Panel:
    """Return the panel of data, once what was read and what was guessed about it has been said in one line."""
    remedy = "`elinformer convert` writes a folder of them, which is mapped and not read"
    with explained_memory("the data", remedy):
        panel = load_panel(data, **options)
    say("; ".join([f"read {panel!r}", *panel.notes]), stderr=True)
    return panel


def _from_json(reading: Document) -> Document:
    return {name: math.nan if (name, value) == ("null_value", "nan") else value for name, value in reading.items()}


def as_json(reading: Document) -> Document:
    """Return options of reading as JSON has them, which has no NaN."""
    null_value = reading["null_value"]
    return {**reading, "null_value": null_value if null_value is None or null_value == null_value else "nan"}  # noqa: PLR0124
