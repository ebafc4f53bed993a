"""Reports of runs: `report.json` and an HTML file for one run, an HTML file for several."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from elinformer import __version__
from elinformer._files import new_file, read_json, write_json
from elinformer.errors import InputError
from elinformer.report.charts import line
from elinformer.report.html import duration, number, percent, render, report_page
from elinformer.run_folder.folder import METRICS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from elinformer.data.panel import Panel
    from elinformer.forecaster import Forecaster

Document = dict[str, Any]

REPORT, PAGE = "report.json", "report.html"
COLORS = ("model", "naive", "other", "third")
"""Colours of the runs in the chart of a comparison; further runs are in the tables alone."""
MAX_SERIES = 1000


class Table(NamedTuple):
    """Table of a page: title, headings, and rows whose first cell names them."""

    title: str
    headings: tuple[str, ...]
    rows: Sequence[Sequence[str]]


def write_report(
    run: str | Path,
    *,
    data: str | None = None,
    out: str | Path | None = None,
    opened: tuple[Forecaster, Panel] | None = None,
) -> Path:
    """Write `report.json` into the folder of a run, and an HTML file made from it.

    Args:
        run: Folder of a run.
        data: Path of the data of training, if they were moved.
        out: HTML file; `report.html` in the folder of the run by default.
        opened: Forecaster and data of the run, if they are in memory. They are read by default.

    Returns:
        Path of the HTML file.

    Raises:
        InputError: The folder is no finished run, or its data are missing, have changed or have no test part.
    """
    from elinformer.data.panel import fingerprint
    from elinformer.report.document import report_document
    from elinformer.workflows import open_run

    folder = Path(run)
    forecaster, panel = open_run(folder, data) if opened is None else opened
    if (forecaster.trained.data or {}).get("fingerprint") not in {None, fingerprint(panel)}:
        raise InputError(
            f"expected the data that {run} was trained on, but {panel.name} differs from them: use `elinformer "
            "evaluate` to score a run on other data"
        )
    metrics = read_json(folder / METRICS) if (folder / METRICS).is_file() else None
    document = report_document(forecaster, panel, name=folder.resolve().name, metrics=metrics)
    if document is None:
        raise InputError(
            f"expected a test part to report on, but the split of {run} has none: train with another split"
        )
    write_json(folder / REPORT, document)
    return _write(folder / PAGE if out is None else Path(out), report_page(document))


def write_comparison(runs: Sequence[str | Path], out: str | Path) -> Path:
    """Write an HTML file that compares runs, by their `report.json`. A run without one gets one first.

    Raises:
        InputError: A folder is no finished run.
    """
    documents: dict[str, Document] = {}
    for run in runs:
        if not (Path(run) / REPORT).is_file():
            write_report(run)
        documents[str(run)] = read_json(Path(run) / REPORT)
    tables = [_scores(documents), *_series(documents), _trainings(documents)]
    by_step = [
        line(run, document["quality"]["by_horizon"]["elinformer"], color)
        for (run, document), color in zip(documents.items(), COLORS, strict=False)
    ]
    longest = max(len(one["values"]) for one in by_step)
    for one in by_step:
        one["values"] += [None] * (longest - len(one["values"]))
    steps = list(range(1, longest + 1))
    chart = {"x": steps, "xlabel": "step", "series": by_step, "points": True, "from_zero": True, "height": 260}
    return write_tables(out, "Comparison of runs", tables, _notes(documents), {"table-1": chart})


def write_tables(
    out: str | Path, title: str, tables: Sequence[Any], notes: Sequence[str], charts: Mapping[str, Document]
) -> Path:
    """Write an HTML file of tables.

    Args:
        out: The file.
        title: Title of the page.
        tables: Tables with `title`, `headings` and `rows`.
        notes: Sentences below the title.
        charts: Charts that stand below tables, by "table-1" and so on.
    """
    document = {"version": __version__, "created": datetime.now(UTC).isoformat(timespec="seconds")}
    sections = [(f"table-{i}", table.title) for i, table in enumerate(tables, start=1)]
    page = render(
        "comparison.html.jinja", document, charts, sections, title=title, sheets=list(tables), notes=list(notes)
    )
    return _write(Path(out), page)


def _write(out: Path, page: str) -> Path:
    with new_file(out) as file:
        file.write_text(page, encoding="utf-8")
    return out


def _scores(documents: Mapping[str, Document]) -> Table:
    headings = ("run", "MAE", "RMSE", "skill", "95 % over days", "worse than naive", "best naive")
    rows: list[tuple[str, ...]] = []
    for run, document in documents.items():
        quality = document["quality"]
        ours = quality["forecasts"][0]
        interval = f"{percent(quality['skill_low'])} to {percent(quality['skill_high'])}"
        scores = number(ours["mae"]), number(ours["rmse"]), percent(quality["skill"])
        rows.append((run, *scores, interval, percent(quality["worse_than_naive"]), quality["best_naive"]))
    return Table("Scores", headings, rows)


def _series(documents: Mapping[str, Document]) -> list[Table]:
    """Return the errors of the series that all runs have, those with the largest differences first."""
    errors = {
        run: {(row["series"], row["channel"]): row["mae"] for row in document["series"]["rows"]}
        for run, document in documents.items()
    }
    first, *others = errors.values()
    shared = [key for key in first if all(key in other for other in others) and first[key] > 0]
    if not shared or not others:
        return []
    change = {key: others[-1][key] / first[key] - 1 for key in shared}
    shared.sort(key=lambda key: -abs(change[key]))
    names = {key: key[0] if len({channel for _, channel in shared}) == 1 else f"{key[0]}, {key[1]}" for key in shared}
    rows = [
        (names[key], *(number(found[key]) for found in errors.values()), percent(change[key]))
        for key in shared[:MAX_SERIES]
    ]
    return [Table("MAE by series", ("series", *errors, "last against first"), rows)]


def _trainings(documents: Mapping[str, Document]) -> Table:
    headings = ("run", "model", "attention", "window", "horizon", "parameters", "time", "best epoch")
    rows: list[tuple[str, ...]] = []
    for run, document in documents.items():
        training, task = document["training"], document["task"]
        model = training["model"]["name"], str(training["model"].get("attention", "–"))
        seconds = duration(training["train_seconds"]) if "train_seconds" in training else "–"
        sizes = str(task["window"]), str(task["horizon"]), f"{training['parameters']:,}"
        rows.append((run, *model, *sizes, seconds, str(training.get("best_epoch", "–"))))
    return Table("Training", headings, rows)


def _notes(documents: Mapping[str, Document]) -> list[str]:
    """Return in words on what the runs were scored."""

    def scored(document: Document) -> tuple[Any, ...]:
        task, data = document["task"], document["data"]
        return data["name"], data["steps"], data["series"], data["parts"]["test"]["first"], task["horizon"]

    if len({scored(document) for document in documents.values()}) > 1:
        return ["These runs were scored on different data, windows or horizons: their errors do not compare."]
    name, _, n_series, first, horizon = scored(next(iter(documents.values())))
    return [f"All runs were scored on {name}, {n_series} series, {horizon} steps ahead, from {first} on."]
