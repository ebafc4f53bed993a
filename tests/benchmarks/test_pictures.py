"""Pictures show the numbers of their documents and come out the same each time."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from benchmarks._common import RESULTS
from benchmarks.pictures.__main__ import PICTURES, draw, main, source_of
from benchmarks.pictures._style import spread, style
from benchmarks.pictures.accuracy import draw_accuracy, draw_horizon
from benchmarks.pictures.ops import draw_ops
from benchmarks.pictures.scaling import draw_scaling
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SOFTMAX, NONE = "elinformer@attention=softmax", "elinformer@attention=none"
ERRORS = {"elinformer": (5.0, 5.2), NONE: (5.6,), "stid": (5.3, 5.5), SOFTMAX: (5.2,), "dlinear": (40.0,)}
NAIVE_ERRORS = {"last_value": (30.0,), "seasonal_naive": (6.0,)}


def comparison(data: str, factor: float = 1.0) -> dict[str, Any]:
    runs = [
        {"data": data, "model": model, "name": model, "seed": seed, "test": scores(factor * error)}
        for model, errors in (ERRORS | NAIVE_ERRORS).items()
        for seed, error in enumerate(errors)
    ]
    return {"data": {data: {}}, "runs": runs}


def scores(mae: float) -> dict[str, Any]:
    return {"mae": mae, "by_horizon": {str(step): {"mae": mae + (step - 6.5) / 10} for step in range(1, 13)}}


def operators() -> dict[str, Any]:
    rows = [
        operator_row(name, n, seconds * n**order if order * n < 200_000 else None)
        for name, seconds, order in (("eala", 1e-7, 1), ("elu", 3e-7, 1), ("taylor", 1e-6, 1), ("softmax", 1e-8, 2))
        for n in (1_000, 10_000, 100_000)
    ]
    about = {"processor": "any", "threads": 1, "torch": "2"}
    return {"about": about, "rows": [*rows, operator_row("eala", 207, 1.0, B=32), operator_row("elu", 207, 1.0, B=32)]}


def operator_row(name: str, n: int, seconds: float | None, B: int = 1) -> dict[str, Any]:
    memory = seconds and 1024 * n
    row = {"operator": name, "shape": [B, 4, n, 32], "dtype": "float32", "both_s": seconds, "peak_bytes": memory}
    return row | {"eight_tensors_bytes": 1000 * n}


def growing() -> dict[str, Any]:
    rows = []
    for model, power in (("elinformer", 1), (SOFTMAX, 2)):
        for part in ("step", "forecast"):
            for n in (2**k for k in range(8, 18)):
                ended = power == 2 and n > 20_000
                seconds, products = (
                    1e-6 * (n + (n / 500) ** power),
                    1e-6 * n if part == "forecast" and power == 1 else None,
                )
                row = {
                    "series": n,
                    "model": model,
                    "part": part,
                    "windows": 16 if n < 9_000 else 1,
                    "products": products,
                }
                rows.append(row | {"seconds": None if ended else seconds, "peak_bytes": None if ended else 40_000 * n})
    return {"about": {"processor": "any", "threads": 1, "torch": "2"}, "rows": rows}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Folder with measurements for every picture."""
    folder = tmp_path / "results"
    folder.mkdir()
    documents = {
        "compare-hangzhou": comparison("hangzhou_metro"),
        "compare-other": comparison("of_my_own", 0.5),
        "ops-cpu": operators(),
        "scaling": growing(),
    }
    for name, document in documents.items():
        (folder / f"{name}.json").write_text(json.dumps(document))
    return folder


def drawn(function: Callable[..., Figure], *documents: dict[str, Any]) -> Figure:
    with style():
        return function(documents)


def lines(axis: Axes) -> list[np.ndarray]:
    return [np.asarray(line.get_xydata()) for line in axis.lines]


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_the_same_each_time_and_names_its_files(name, results, tmp_path):
    first, second = (draw(name, results, tmp_path / folder) for folder in ("a", "b"))
    assert first is not None
    assert second is not None
    assert first.read_bytes() == second.read_bytes()
    assert ET.parse(first).getroot().tag.endswith("svg")
    assert source_of(sorted(results.glob(PICTURES[name].files))) in first.read_text()


def test_other_numbers_give_another_picture(results, tmp_path):
    before = draw("accuracy", results, tmp_path)
    assert before is not None
    old = before.read_text()
    (results / "compare-hangzhou.json").write_text(json.dumps(comparison("hangzhou_metro", 1.1)))
    draw("accuracy", results, tmp_path)
    assert before.read_text() != old


def test_models_are_sorted_by_their_mean_and_naive_ones_come_last():
    (axis,) = drawn(draw_accuracy, comparison("hangzhou_metro")).axes
    shown = ["elinformer", "softmax", "STID", "no attention", "DLinear", "seasonal naive", "last value"]
    assert [tick.get_text() for tick in axis.get_yticklabels()] == shown
    numbers = [text.get_text() for text in axis.texts]
    assert numbers == ["5.100", "5.200", "5.400", "5.600", "40.00", "6.000", "30.00"]


def test_variants_of_one_model_have_a_row_each():
    document = comparison("hangzhou_metro")
    tuned = [run | {"model": "stid-tuned"} for run in document["runs"] if run["name"] == "stid"]
    assert tuned
    (axis,) = drawn(draw_accuracy, document | {"runs": document["runs"] + tuned}).axes
    labels = [label.get_text() for label in axis.get_yticklabels()]
    assert {"STID", "STID, tuned"} <= set(labels)


def test_a_far_higher_error_is_an_arrow_and_no_dot_lies_outside():
    (axis,) = drawn(draw_accuracy, comparison("hangzhou_metro")).axes
    low, high = axis.get_xlim()
    assert all(low < x < high for line in lines(axis) for x in line[:, 0])
    assert sum(line.get_marker() == ">" for line in axis.lines) == 2


def test_each_data_set_has_a_panel_in_a_fixed_order():
    documents = [comparison(name) for name in ("of_my_own", "nyc-airports", "hangzhou_metro")]
    axes = drawn(draw_accuracy, *documents).axes
    assert [axis.get_title(loc="left") for axis in axes] == ["Hangzhou metro", "New York airports", "of_my_own"]


def test_errors_by_step_are_means_over_seeds_and_the_best_naive_forecast_is_beside_them():
    (axis,) = drawn(draw_horizon, comparison("hangzhou_metro")).axes
    at_the_end = sorted(line[-1, 1] for line in lines(axis))
    assert at_the_end == pytest.approx([5.65, 5.75, 5.95, 6.15, 6.55])


def test_an_operator_ends_where_it_was_not_measured():
    time, memory = drawn(draw_ops, operators()).axes
    assert sorted(len(line) for line in lines(time)) == [2, 3, 3, 3]
    assert len(lines(memory)) == 5
    assert time.get_xscale() == time.get_yscale() == "log"


def test_each_model_has_a_line_of_its_measured_sizes_and_the_products_have_one():
    step, forecast, *memory = drawn(draw_scaling, growing()).axes
    assert [len(line) for line in lines(step)] == [10, 7]
    assert [len(line) for line in lines(forecast)] == [10, 10, 7]
    assert [[len(line) for line in lines(axis)] for axis in memory] == [[6, 6], [6, 6]]  # of as many windows


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9), st.floats(0.01, 0.3))
def test_labels_are_a_gap_apart_in_their_order_and_move_only_if_they_must(wanted, gap):
    placed = np.array(spread(wanted, gap))
    order = np.argsort(wanted, kind="stable")
    assert (np.diff(placed[order]) >= gap - 1e-9).all()
    if len(wanted) == 1 or np.diff(np.sort(wanted)).min() >= gap:
        np.testing.assert_allclose(placed, wanted, atol=1e-9)
    assert placed.mean() == pytest.approx(np.mean(wanted))


@pytest.mark.parametrize("name", PICTURES)
def test_no_label_of_a_committed_picture_covers_another(name):
    documents = [json.loads(file.read_text()) for file in sorted(RESULTS.glob(PICTURES[name].files))]
    figure = drawn(PICTURES[name].draw, *documents)
    FigureCanvasAgg(figure)
    for axis in figure.axes:
        boxes = [text.get_window_extent() for text in axis.texts]
        assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_a_picture_without_measurements_is_skipped_with_a_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["pictures", "ops", "--results", str(tmp_path), "--images", str(tmp_path)])
    main()
    assert capsys.readouterr().out.startswith("ops: skipped, for there is no ops-cpu.json in ")
    assert not any(tmp_path.iterdir())


def test_an_unknown_picture_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["pictures", "opps"])
    with pytest.raises(SystemExit):
        main()
    assert "got opps" in capsys.readouterr().err
