"""The content of a report: its numbers are those of the evaluation, and its parts find what they look for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from elinformer.evaluation import score_naives
from elinformer.evaluation.naive import Naive
from elinformer.report.document import report_document, rounded
from elinformer.report.groups import groups_of
from elinformer.report.html import report_page
from elinformer.report.influence import influence
from elinformer.report.intervals import anomalies, intervals
from elinformer.report.window_errors import Outputs, WindowErrors

if TYPE_CHECKING:
    from elinformer.data.panel import Panel
    from elinformer.forecaster import Forecaster


@pytest.fixture(scope="module")
def document(trained: Forecaster, hourly_panel: Panel) -> dict[str, Any]:
    found = report_document(trained, hourly_panel, name="run")
    assert found is not None
    return found


@pytest.fixture(scope="module")
def errors(trained: Forecaster, hourly_panel: Panel) -> WindowErrors:
    return WindowErrors.of(trained.trained, hourly_panel, np.arange(192, 238), 144)


def test_the_errors_are_those_of_the_backtest(
    document: dict[str, Any], trained: Forecaster, hourly_panel: Panel
) -> None:
    expected, quality = trained.backtest(hourly_panel), document["quality"]
    assert quality["forecasts"][0]["mae"] == pytest.approx(expected.scores().mae, rel=1e-4)
    assert quality["by_horizon"]["elinformer"][2] == pytest.approx(expected.scores(step=2).mae, rel=1e-4)
    by_name = {row["series"]: row["mae"] for row in document["series"]["rows"]}
    assert by_name["c"] == pytest.approx(expected.scores(series=[2]).mae, rel=1e-4)
    assert document["task"]["windows"] == document["task"]["of_windows"] == 46


def test_the_skill_is_relative_to_the_best_naive_forecast(document: dict[str, Any], errors: WindowErrors) -> None:
    quality = document["quality"]
    best = {row["name"]: row for row in quality["forecasts"]}[quality["best_naive"]]
    assert best["skill"] == pytest.approx(0, abs=1e-9)
    assert all(row["skill"] <= 1e-9 for row in quality["forecasts"][1:])
    logs = np.log(errors.by_series / errors.naive_by_series)
    assert quality["skill"] == pytest.approx(1 - np.exp(logs.mean()), rel=1e-4)
    assert quality["skill_low"] <= quality["skill"] <= quality["skill_high"]


def test_sums_by_day_add_up_to_those_of_the_evaluation(errors: WindowErrors, hourly_panel: Panel) -> None:
    mean = np.zeros((4, 1))
    day = Naive("same time yesterday", 24)
    assert errors.best_naive in errors.naive
    total = score_naives([day], hourly_panel, errors.origins, 3, mean)[day.name]
    assert total.count.sum() == errors.by_day.counts.sum() == errors.naive_by_day.counts.sum()
    assert len(errors.by_day.by_series) == len(errors.by_day.blocks.labels)


def test_a_report_is_json_and_makes_a_page(document: dict[str, Any]) -> None:
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    page = report_page(document)
    assert "Report of run: hourly" in page
    assert "46 windows are scored" in page


def test_the_entropy_of_attention_is_a_share_of_the_largest(document: dict[str, Any]) -> None:
    shares = np.array(document["attention"]["layers"])
    assert shares.shape == (1, 2)
    assert ((shares > 0) & (shares <= 1)).all()


def test_hours_with_larger_errors_are_found(document: dict[str, Any], errors: WindowErrors) -> None:
    relative = np.array(document["by_time"]["relative"], float)
    assert relative.shape == (7, 24)
    assert np.nanmin(relative) < 1 < np.nanmax(relative)
    assert np.isfinite(relative).sum() == len(np.unique(errors.steps))  # two days of hours


def with_intervals(errors: WindowErrors, half_width: float) -> WindowErrors:
    """Return errors with one interval of level 80, centred on the observed values."""
    centre = np.nan_to_num(errors.target)
    outputs = Outputs(errors.outputs.point, {80.0: (centre - half_width, centre + half_width)})
    return WindowErrors(**{**{name: getattr(errors, name) for name in errors.__dataclass_fields__}, "outputs": outputs})


def test_coverage_and_width_are_measured_on_observed_values(errors: WindowErrors) -> None:
    found = intervals(with_intervals(errors, 0.5))
    assert found is not None
    assert found["levels"] == [
        {"level": 80.0, "coverage": 1.0, "width": pytest.approx(1.0, abs=1e-5), "series_near": 0}
    ]
    assert found["by_step"] == [1.0] * 3
    assert "too wide" in found["meaning"]
    assert intervals(with_intervals(errors, -0.5))["levels"][0]["coverage"] == 0  # pyright: ignore[reportOptionalSubscript]


def test_a_value_far_outside_its_interval_is_an_anomaly(errors: WindowErrors) -> None:
    changed = with_intervals(errors, 0.5)
    low, high = changed.outputs.intervals[80.0]
    window = int(np.flatnonzero(np.isfinite(errors.target[:, 0, 2, 0]))[5])
    low[window, 0, 2, 0] += 8
    high[window, 0, 2, 0] += 8
    found = anomalies(changed)
    assert found is not None
    (row,) = found["rows"]
    assert row["series"] == "c"
    assert found["outside"] == pytest.approx(1 / np.isfinite(errors.target[:, 0]).sum())
    assert row["time"] == str(errors.panel.timestamps[errors.origins[window]].astype("datetime64[s]"))
    assert row["widths"] == pytest.approx(7.5, rel=1e-3)


def test_a_value_outside_an_interval_of_no_width_is_an_anomaly_in_mean_widths(errors: WindowErrors) -> None:
    for share, widths in ((0.5, 8.0), (0.0, np.inf)):
        changed = with_intervals(errors, share)
        low, high = changed.outputs.intervals[80.0]
        window = int(np.flatnonzero(np.isfinite(errors.target[:, 0, 2, 0]))[5])
        low[window, 0, 2, 0] = high[window, 0, 2, 0] = errors.target[window, 0, 2, 0] - 8
        found = anomalies(changed)
        assert found is not None
        assert found["rows"][0]["widths"] == pytest.approx(widths, rel=0.03)
        json.dumps(rounded(found), allow_nan=False)


def test_a_model_without_intervals_has_neither_coverage_nor_anomalies(errors: WindowErrors) -> None:
    changed = with_intervals(errors, 0.5)
    changed.outputs.intervals.clear()
    assert intervals(changed) is None
    assert anomalies(changed) is None


class Copier(torch.nn.Module):
    """Forecasts of series b repeat the last value of series a; all others repeat their own."""

    def forward(self, batch: Any) -> torch.Tensor:
        last = torch.where(batch.mask, batch.values, 0)[:, -1:].clone()
        last[:, :, 1] = last[:, :, 0]
        return last.expand(-1, 3, -1, -1)[..., None]


def test_the_series_that_drives_another_one_is_found(trained: Forecaster, hourly_panel: Panel) -> None:
    from elinformer.evaluation import AbsoluteError

    model = trained.trained.replaced(model=Copier(), loss=AbsoluteError())
    found = influence(model, hourly_panel, np.arange(192, 238))
    assert found is not None
    assert [(pair["from"], pair["to"]) for pair in found["pairs"]] == [("a", "b")]
    assert found["given"][0]["series"] == "a"
    assert found["own"] > found["others"] > 0


def test_groups_are_the_names_before_a_slash() -> None:
    from elinformer.data.panel import Panel

    panel = Panel.from_arrays(np.ones((3, 4)), series=["a/1", "b/1", "a/2", "b/2"])
    assert [(group.name, group.series) for group in groups_of(panel)] == [("a", (0, 2)), ("b", (1, 3))]
    plain = Panel.from_arrays(np.ones((3, 2)), series=["x", "y"])
    assert [(group.name, group.series) for group in groups_of(plain)] == [("all series", (0, 1))]


def test_numbers_are_rounded_and_those_that_are_not_finite_are_none() -> None:
    assert rounded({"a": [1.23456789, float("nan")], "b": np.float32(2.5), "c": 7, "d": "x"}) == {
        "a": [1.2346, None],
        "b": 2.5,
        "c": 7,
        "d": "x",
    }
