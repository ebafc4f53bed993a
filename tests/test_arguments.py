"""Arguments of the wrong kind: one sentence that names them, from every public function."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elinformer import read_panel
from elinformer.data.panel import Panel
from elinformer.errors import InputError
from elinformer.forecaster import Forecaster

WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("predict", {"horizon": "3"}, "horizon as a whole number"),
    ("predict", {"horizon": True}, "horizon as a whole number"),
    ("predict", {"series_at_once": "a"}, "series_at_once as a whole number"),
    ("finetune", {"new_rows": None, "steps": "a"}, "steps as a whole number"),
    ("recalibrate", {"steps": 2.5}, "steps as a whole number"),
    ("anomalies", {"level": "99"}, "level as a number"),
    ("save", {"folder": 5}, "folder as text or a path"),
    ("save", {"folder": None}, "folder as text or a path"),
    ("load", {"folder": 5}, "folder as text or a path"),
    ("plot", {"history": -1}, "history"),
    ("plot", {"series": "a"}, r"\['a'\]"),
    ("plot", {"series": [None]}, "series out of"),
    ("fit", {"data": None, "run": 5}, "run as text or a path"),
    ("fit", {"data": None, "console": "x"}, "console as Console"),
    ("fit", {"data": None, "futr_exog_list": "a"}, r"\['a'\]"),
    ("tune", {"data": None, "space": 5}, "a space of options"),
    ("cross_validation", {"data": None, "n_windows": "3"}, "n_windows as a whole number"),
]


@pytest.mark.parametrize(("name", "arguments", "words"), WRONG, ids=lambda x: x if isinstance(x, str) else None)
def test_arguments_of_the_wrong_kind_are_named(
    name: str, arguments: dict[str, Any], words: str, trained: Forecaster, hourly_panel: Panel
) -> None:
    data = {key: hourly_panel for key in ("data", "new_rows") if key in arguments}
    with pytest.raises(InputError, match=words):
        getattr(trained, name)(**(arguments | data))


def test_numbers_of_numpy_are_numbers_and_paths_may_be_texts(trained: Forecaster, tmp_path: Path) -> None:
    assert len(trained.predict(horizon=np.int64(2))) == 8
    trained.save(str(tmp_path / "run"))
    assert Forecaster.load(tmp_path / "run").info == trained.info


@pytest.mark.parametrize(
    "arguments", [{"by": 5}, {"step": "1"}, {"step": 99}, {"series": 3}, {"series": "a"}, {"channel": 1.5}]
)
def test_scores_of_something_unknown_are_refused(arguments: dict[str, Any], trained: Forecaster) -> None:
    with pytest.raises(InputError):
        trained.backtest().scores(**arguments)


@pytest.mark.parametrize("arguments", [{"windows": 0}, {"windows": "a"}, {"series": [1.5]}, {"n": "x"}])
def test_a_figure_of_something_unknown_is_refused(arguments: dict[str, Any], trained: Forecaster) -> None:
    with pytest.raises(InputError):
        trained.backtest().plot(**arguments)


@pytest.mark.parametrize(
    "options",
    [
        {"path": None},
        {"path": 5},
        {"null_value": "x"},
        {"sep": ";;"},
        {"sep": ""},
        {"future": "a"},
        {"targets": "a"},
        {"resample": "median", "freq": "1h"},
    ],
    ids=str,
)
def test_options_of_reading_that_cannot_be_used_are_refused(options: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "d.csv"
    file.write_text("ds,a,b\n2024-01-01 00:00,1,2\n2024-01-01 01:00,2,3\n", encoding="utf-8")
    with pytest.raises(InputError):
        read_panel(**({"path": file} | options))


@pytest.mark.parametrize("series", [["a"], "a", [0.5]], ids=str)
def test_series_of_a_panel_are_selected_by_their_numbers(series: Any, hourly_panel: Panel) -> None:
    with pytest.raises(InputError, match="numbers of series"):
        hourly_panel.select(series)


def test_a_message_is_one_line_that_can_be_printed() -> None:
    assert str(InputError("got 'a\nb\x1b[31m\0': drop it")) == "got 'a b [31m ': drop it"
