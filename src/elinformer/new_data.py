"""Workflows of a run that lives with its data: update, finetune, fill and anomalies.

New rows are appended to the data of the run, which then lie in the folder `data` of the run.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from elinformer._files import held_folder
from elinformer.data.address import portable_address
from elinformer.errors import InputError
from elinformer.run_folder.folder import DATA, held_run_folder, read_config
from elinformer.workflows import check_table, open_run, panel_for_run, source_of, write_table

if TYPE_CHECKING:
    from elinformer.data.panel import Panel
    from elinformer.forecaster import Forecaster

Document = dict[str, Any]


def update_run(run: str | Path, data: str, *, revise: bool = False) -> Document:
    """Append new rows to the data of a run. Commands on the run then use all of them; nothing is trained.

    Args:
        run: Folder of the run. The rows are kept in its folder `data`.
        data: Path of the new rows, which follow the data or overlap with them.
        revise: True takes the new value where rows contradict the data; False refuses them.

    Returns:
        Name of the run, number of steps before and after, and the last time.

    Raises:
        InputError: The rows contradict the data, begin before them, or lie on other steps.
    """
    read_config(Path(run))
    with held_folder(run):
        known, new = _with_its_data(run), panel_for_run(run, data)
        panel = known.update(new, revise=revise).panel
        _keep(panel, run)
    return {
        "run": str(run),
        "steps_before": known.panel.n_steps,
        "steps": panel.n_steps,
        "last": str(pd.Timestamp(panel.timestamps[-1])) if panel.has_time else str(panel.timestamps[-1]),
    }


def finetune_run(
    run: str | Path,
    data: str,
    out: str | Path,
    *,
    steps: int | None = None,
    features: str | Path | None = None,
    overwrite: bool = False,
) -> Document:
    """Train a run further with new rows, and write the result as another run; see `Forecaster.finetune`.

    Args:
        run: Folder of the run. It does not change.
        data: Path of the new rows, which may have new series.
        out: Folder of the new run, with all rows in its folder `data`.
        steps: Number of optimiser steps; see `Forecaster.finetune`.
        features: CSV file with `unique_id` and columns that describe each series.
        overwrite: True replaces a run in `out`.

    Returns:
        The errors before and after, and the names of new series.
    """
    with held_run_folder(out, overwrite=overwrite):
        known, new = _with_its_data(run), panel_for_run(run, data)
        tuned = known.finetune(new, **({} if steps is None else {"steps": steps}), features=features)
        if tuned.finetuning is None:
            raise AssertionError("finetune reports its errors")
        source = source_of(run, read_config(Path(run))) | {"data": portable_address(data, out)}
        tuned.save(out, source=source)
        _keep(tuned.panel, out)
    return {**asdict(tuned.finetuning), "new_series": [s for s in tuned.info.series if s not in known.info.series]}


def fill_run(run: str | Path, out: str | Path, *, data: str | None = None) -> Document:
    """Fill the missing values of data, and write all values as a long table with a column `filled`.

    Args:
        run: Folder of the run.
        out: File that ends in `.csv` or `.parquet`.
        data: Path, or name of a data set of the catalogue; the data of the run by default.

    Returns:
        Number of values, and of those that were filled.

    Raises:
        InputError: A series has no reading, or the file has another suffix.
    """
    from elinformer.data.io.output import in_form
    from elinformer.gaps import filled_frame

    check_table(out)
    forecaster, panel = open_run(run, data)
    write_table(in_form(filled_frame(forecaster.fill(panel), panel.mask), panel.form, panel.freq), out)
    return {"values": int(panel.mask.size), "filled": int((~panel.mask).sum())}


def anomalies_run(run: str | Path, *, data: str | None = None, level: float = 99) -> pd.DataFrame:
    """Return the readings of data that lie outside of the usual errors of a run; see `Forecaster.anomalies`.

    Args:
        run: Folder of the run.
        data: Path, or name of a data set of the catalogue; the data of the run by default.
        level: Share of the usual errors that are not reported, in percent. They are measured on the data of the run,
            or on `data` if those of the run are not there.

    Raises:
        InputError: The level is not between 50 and 100, or the data are too short.
    """
    if data is None:
        forecaster, panel = open_run(run)
        return forecaster.anomalies(panel, level)
    try:
        forecaster = _with_its_data(run)
    except InputError:
        forecaster, panel = open_run(run, data)
    else:
        panel = panel_for_run(run, data)
    return forecaster.anomalies(panel, level)


def _with_its_data(run: str | Path) -> Forecaster:
    forecaster, panel = open_run(run)
    return forecaster.update(panel)


def _keep(panel: Panel, run: str | Path) -> None:
    from elinformer.data.io.folder import write_panel

    write_panel(panel, Path(run) / DATA, overwrite=True)
