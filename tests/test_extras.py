"""What works without the extras, and the sentence that names the extra where something does not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from elinformer import Forecaster, Panel, load_dataset
from elinformer.errors import MissingExtraError
from elinformer.report.outputs import picture_line, write_forecasts


@pytest.fixture
def without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("elinformer.plots", "elinformer.report.pictures", "elinformer.explanations.figure"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)


def test_a_run_has_its_forecast_and_no_picture_without_matplotlib(
    without_matplotlib: None, trained: Forecaster, hourly_panel: Panel, tmp_path: Path
) -> None:
    forecast, picture = write_forecasts(trained, hourly_panel, tmp_path)
    assert forecast.is_file()
    assert picture is None
    assert "elinformer[plots]" in picture_line(picture)


def test_a_figure_without_matplotlib_names_the_extra(
    without_matplotlib: None, trained: Forecaster, hourly_panel: Panel
) -> None:
    with pytest.raises(MissingExtraError, match=r"elinformer\[plots\]"):
        trained.plot(hourly_panel)


def test_the_catalogue_without_pooch_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(MissingExtraError, match=r"elinformer\[catalog\]"):
        load_dataset("metr-la", cache_dir=tmp_path)
    assert load_dataset("nyc-airports").n_steps
