"""The page of a report: whole, safe, small, and without network."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from made_reports import made_report

from elinformer._files import write_json
from elinformer.report.charts import map_of
from elinformer.report.html import embedded_json, report_page
from elinformer.report.run import write_comparison


def headings(page: str) -> list[str]:
    return re.findall(r"<h2[^>]*>([^<]+)<", page)


def test_a_report_answers_in_the_order_of_the_questions() -> None:
    page = report_page(made_report())
    assert headings(page) == [
        "How good is it?",
        "How sure is it?",
        "Where does it fail?",
        "Who moves whom?",
        "What does the attention look at?",
        "How was it trained?",
        "Model card",
    ]
    assert page.index("25.0 %") < page.index("How sure is it?")


def test_a_report_loads_nothing_from_elsewhere() -> None:
    page = report_page(made_report())
    assert "default-src 'none'" in page
    assert re.findall(r'(?:src|href)="(?!#)([^"]*)"', page) == ["https://github.com/leeoniya/uPlot"]  # a link
    assert not re.search(r"url\((?!#)", page)
    assert "fetch(" not in page


def test_names_are_text_and_never_markup() -> None:
    page = report_page(made_report())
    assert "<script>alert" not in page
    assert "north/&lt;script&gt;alert(1)" in page
    assert json.loads(embedded_json({"a": "</script><!--&"})) == {"a": "</script><!--&"}
    assert not set("<>&") & set(embedded_json({"a": "</script><!--&"}))


def test_the_report_of_many_series_is_small_and_says_what_it_left_out() -> None:
    page = report_page(made_report(3000))
    assert len(page.encode()) < 5_000_000
    assert "1,000 of 3,000 series" in page
    assert "30 of 3,000 have a picture" in page
    assert "100 of 900 windows" in page


@pytest.mark.parametrize(
    ("changes", "absent"),
    [
        ({"attention": None}, "What does the attention look at?"),
        ({"by_time": None}, "Errors by time"),
        ({"intervals": None}, "Reliability"),
        ({"anomalies": None}, "Anomalies"),
        ({"influence": None}, "The strongest influences"),
    ],
)
def test_a_part_without_data_is_left_out(changes: dict[str, None], absent: str) -> None:
    assert absent in report_page(made_report())
    assert absent not in report_page(made_report() | changes)


def test_an_anomaly_beyond_an_interval_of_no_width_is_shown() -> None:
    document = made_report()
    document["anomalies"]["rows"][0]["widths"] = None
    assert "it has no width" in report_page(document)


def test_a_report_without_a_history_or_metrics_is_whole() -> None:
    document = made_report()
    for name in ("train_seconds", "best_epoch", "epochs", "peak_memory_bytes"):
        del document["training"][name]
    document["training"]["history"] = []
    assert "Model card" in report_page(document)


def test_places_keep_their_directions_on_the_map() -> None:
    document = made_report()["influence"]
    south, north = {"latitude": 50.0, "longitude": 0.0}, {"latitude": 60.0, "longitude": 5.0}
    places = [{"series": f"north/{i}", "received": 0.0, **(south if i % 2 else north)} for i in range(1, 12)]
    names = {place["series"] for place in places}
    pairs = [pair for pair in document["pairs"] if {pair["from"], pair["to"]} <= names]
    drawn = map_of({**document, "places": places, "pairs": pairs})
    assert drawn is not None
    first, second = drawn["places"][:2]
    assert first["y"] > second["y"]  # north is up
    assert first["x"] < second["x"]  # east is right
    assert all(0 <= place["x"] <= drawn["width"] and 0 <= place["y"] <= drawn["height"] for place in drawn["places"])


def test_runs_are_compared_by_their_reports(tmp_path: Path) -> None:
    runs = [tmp_path / "a", tmp_path / "b"]
    for run, mae in zip(runs, (1.0, 2.0), strict=True):
        run.mkdir()
        document = made_report()
        document["quality"]["forecasts"][0]["mae"] = mae
        document["series"]["rows"][3]["mae"] = 10 * mae
        write_json(run / "report.json", document)
    page = write_comparison(runs, tmp_path / "both.html").read_text(encoding="utf-8")
    assert headings(page) == ["Scores", "MAE by series", "Training"]
    first_row = page[page.index("MAE by series</h2>") :]
    assert "north/3" in first_row[: first_row.index("</tr>", first_row.index("<tbody>"))]
    assert "100.0 %" in page
    assert "do not compare" not in page


def test_runs_on_different_data_are_compared_with_a_warning(tmp_path: Path) -> None:
    runs = [tmp_path / "a", tmp_path / "b"]
    for run, horizon in zip(runs, (6, 12), strict=True):
        run.mkdir()
        document = made_report()
        document["task"]["horizon"] = horizon
        document["quality"]["by_horizon"]["elinformer"] = [1.0] * horizon
        write_json(run / "report.json", document)
    assert "do not compare" in write_comparison(runs, tmp_path / "both.html").read_text(encoding="utf-8")


def test_the_model_card_says_when_errors_are_largest() -> None:
    document = made_report()
    assert "on Monday at 23:00" in report_page(document)
    document["quality"]["worse_than_naive"] = 0.0
    assert "No series has larger errors" in report_page(document)


def test_a_report_without_facts_of_the_training_has_a_page() -> None:
    document = made_report()
    for name in ("refit_steps", "train_seconds", "best_epoch", "peak_memory_bytes"):
        document["training"].pop(name, None)
    assert "Model card" in report_page(document)
