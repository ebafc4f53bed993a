"""Workflows of the command line: train, resume, evaluate and forecast, from a data file and the folder of a run.

Data and settings are checked before torch is imported, so that an error in the input is reported at once.
"""

from elinformer.workflows.forecasting import (
    add_series_run,
    check_table,
    explain_run,
    forecast_run,
    plot_run,
    write_table,
)
from elinformer.workflows.information import information, run_information
from elinformer.workflows.opening import open_run, panel_for_run, source_of
from elinformer.workflows.scoring import evaluate_run
from elinformer.workflows.training import cross_validate_data, forecaster_for, resume_run, train_run, tune_data

__all__ = [
    "add_series_run",
    "check_table",
    "cross_validate_data",
    "evaluate_run",
    "explain_run",
    "forecast_run",
    "forecaster_for",
    "information",
    "open_run",
    "panel_for_run",
    "plot_run",
    "resume_run",
    "run_information",
    "source_of",
    "train_run",
    "tune_data",
    "write_table",
]
