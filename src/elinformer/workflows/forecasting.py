"""Forecast with a run: tables, figures, explanations, and new series."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from elinformer._files import new_file
from elinformer.data.address import portable_address
from elinformer.errors import InputError
from elinformer.run_folder.folder import held_run_folder, read_config
from elinformer.workflows.opening import open_run, source_of
from elinformer.workflows.scoring import windows_to_score

if TYPE_CHECKING:
    import pandas as pd

    from elinformer.explanations import Explanation
    from elinformer.forecaster import Forecaster

Document = dict[str, Any]


def forecast_run(
    run: str | Path,
    out: str | Path,
    *,
    data: str | None = None,
    future_data: str | Path | None = None,
    **options: Any,
) -> int:
    """Forecast the steps after the end of the data, and write them to a file.

    Args:
        run: Folder of the run.
        out: File that ends in `.csv` or `.parquet`.
        data: Path, or name of a data set of the catalogue; the data of training by default.
        future_data: Table with the future covariates of the steps to forecast, `.csv` or `.parquet`.
        options: `level`, `quantiles`, `scenarios` and `seed` of `Forecaster.predict`.

    Returns:
        Number of rows of the file.

    Raises:
        InputError: The file has another suffix, or the data cannot be used.
    """
    check_table(out)
    forecaster, panel = open_run(run, data)
    frame = forecaster.predict(panel, futr_df=_known_ahead(future_data, forecaster), **options)
    write_table(frame, out)
    return len(frame)


def _known_ahead(future_data: str | Path | None, forecaster: Forecaster) -> pd.DataFrame | None:
    """Return the table of future covariates of the steps to forecast, if there is one."""
    from elinformer.data.io.ahead import read_known_ahead

    return None if future_data is None else read_known_ahead(future_data, forecaster.info.form)


def check_table(path: str | Path) -> None:
    """Refuse a file of another format than those of tables.

    Raises:
        InputError: It ends in neither `.csv` nor `.parquet`.
    """
    if Path(path).suffix not in {".csv", ".parquet"}:
        raise InputError(f"expected a file that ends in .csv or .parquet, got {str(path)!r}")


def write_table(frame: pd.DataFrame, path: str | Path) -> None:
    """Write a frame as CSV or Parquet, whole or not at all."""
    with new_file(path) as file:
        frame.to_csv(file, index=False) if Path(path).suffix == ".csv" else frame.to_parquet(file, index=False)


def plot_run(
    run: str | Path,
    out: str | Path,
    *,
    data: str | None = None,
    series: str = "worst",
    n: int = 6,
    future: bool = False,
) -> None:
    """Draw forecasts of a run into a file.

    Args:
        run: Folder of the run.
        out: File that ends in `.png`, `.svg` or `.pdf`.
        data: Path, or name of a data set of the catalogue; the data of training by default.
        series: "worst" or "best", or names with commas between them.
        n: Number of the worst or best series.
        future: True draws the steps after the end of the data; False the last windows that `evaluate_run` scores,
            beside what happened.

    Raises:
        InputError: The data cannot be used, a series is unknown, or the file has another suffix.
    """
    from elinformer.plots import check_suffix, save_figure

    check_suffix(out)
    forecaster, panel = open_run(run, data)
    chosen = series if series in {"worst", "best"} else series.split(",")
    if future:
        names = panel.series[:n] if isinstance(chosen, str) else chosen
        figure = forecaster.plot(panel, series=names)
    else:
        windows = windows_to_score(forecaster, panel, is_other=data is not None)
        figure = forecaster.backtest_of(panel, windows.origins).plot(chosen, n=n)
    save_figure(figure, out)


def explain_run(
    run: str | Path,
    series: str,
    step: int = 1,
    *,
    channel: str | int = 0,
    data: str | None = None,
    future_data: str | Path | None = None,
    out: str | Path | None = None,
) -> Explanation:
    """Explain a forecast of the steps after the end of the data; see `Forecaster.explain`.

    Args:
        run: Folder of the run.
        series: Name of the series.
        step: Step of the forecast, 1 = the first one after the data.
        channel: Name or number of the channel.
        data: Path, or name of a data set of the catalogue; the data of training by default.
        future_data: Table with the future covariates of the steps to forecast, `.csv` or `.parquet`.
        out: File for a figure, that ends in `.png`, `.svg` or `.pdf`.

    Raises:
        InputError: The data cannot be used, the series or step is not forecast, or the file has another suffix.
    """
    if out is not None:
        from elinformer.plots import check_suffix

        check_suffix(out)
    forecaster, panel = open_run(run, data)
    known = _known_ahead(future_data, forecaster)
    explanation = forecaster.explain(series, step, data=panel, channel=channel, futr_df=known)
    if out is not None:
        from elinformer.plots import save_figure

        save_figure(explanation.plot(), out)
    return explanation


def add_series_run(
    run: str | Path, data: str, out: str | Path, *, features: str | Path | None = None, overwrite: bool = False
) -> Document:
    """Add new series to a run, and write the result as another run; see `Forecaster.add_series`.

    Args:
        run: Folder of the run. It does not change.
        data: Path of the history of the new series and of series of training. It is read with the options of training.
        out: Folder of the new run.
        features: CSV file with `unique_id` and columns of numbers.
        overwrite: True replaces a run in `out`.

    Returns:
        Names of the new series, and the measured errors.
    """
    with held_run_folder(out, overwrite=overwrite):
        forecaster, panel = open_run(run, data)
        extended = forecaster.add_series(panel, features=features)
        extended.save(out, source=source_of(run, read_config(Path(run))) | {"data": portable_address(data, out)})
        return dict(extended.added or {})
