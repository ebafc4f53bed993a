"""Summarise the measurements of EALA: against softmax, against elu, and as the length grows.

    python -m benchmarks._summary

writes the tables of docs/performance.md from benchmarks/results/ops-cpu.json.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from benchmarks._common import RESULTS, environment_text

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
BEGIN, END = "<!-- written by python -m benchmarks._summary -->", "<!-- end of what it wrote -->"

LONG = (65536, 1048576)  # the lengths between which the exponent of growth is taken


def summary(rows: list[dict[str, Any]]) -> str:
    """Make a Markdown table of forward with backward, one line for each shape and dtype."""
    lines = [
        "## EALA in short, forward + backward",
        "",
        "| (B, H, N, E) | dtype | x faster than softmax | than elu | than float32 | memory, x eight |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for row in (row for row in rows if row["operator"] == "eala" and not row["failure"]):
        softmax, elu = (_same(rows, row, operator=name) for name in ("softmax", "elu"))
        single = _same(rows, row, dtype="float32")
        cells = [
            _shape(row["shape"]),
            row["dtype"],
            softmax["failure"] if softmax and softmax["failure"] else _faster(softmax, row),
            _faster(elu, row),
            _faster(single, row),
            f"{row['peak_bytes'] / row['eight_tensors_bytes']:.2f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", *_growth(rows)])


def _growth(rows: list[dict[str, Any]]) -> list[str]:
    sentences = []
    for dtype in dict.fromkeys(row["dtype"] for row in rows):
        at = {r["shape"][2]: r["both_s"] for r in rows if (r["operator"], r["dtype"]) == ("eala", dtype)}
        if all(at.get(length) for length in LONG):
            exponent = math.log(at[LONG[1]] / at[LONG[0]]) / math.log(LONG[1] / LONG[0])
            sentences.append(f"From N = {LONG[0]:,} to {LONG[1]:,} its time in {dtype} grows as N ** {exponent:.3f}.")
    return sentences


def _same(rows: list[dict[str, Any]], like: dict[str, Any], **but: str) -> dict[str, Any] | None:
    wanted = {name: like[name] for name in ("operator", "shape", "dtype")} | but
    return next((row for row in rows if all(row[name] == value for name, value in wanted.items())), None)


def _faster(other: dict[str, Any] | None, row: dict[str, Any]) -> str:
    return f"{other['both_s'] / row['both_s']:.2f}" if other and other["both_s"] and row["both_s"] else ""


def shown(data: dict[str, Any]) -> str:
    """Make the measured part of docs/performance.md: EALA, and then every attention side by side."""
    rows = data["rows"]
    shapes = list(dict.fromkeys(tuple(row["shape"]) for row in rows))
    parts = [
        environment_text(data["about"]),
        *data["notes"],
        *([] if data.get("ended", True) else ["Shapes are missing: the run has not ended."]),
        _of_eala(rows),
    ]
    for dtype in dict.fromkeys(row["dtype"] for row in rows):
        parts.append(f"Forward + backward of all, {dtype}:")
        parts.append(_side_by_side([row for row in rows if row["dtype"] == dtype], shapes))
    return "\n\n".join([*parts, *_growth(rows)])


def rewritten(page: str, data: dict[str, Any]) -> str:
    """Replace the text between the two marks of the page."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{shown(data)}\n{END}{rest.split(END)[1]}"


def _of_eala(rows: list[dict[str, Any]]) -> str:
    head = (
        "(B, H, N, E)",
        "dtype",
        "forward",
        "+ backward",
        "x floor",
        "softmax takes",
        "elu + 1",
        "float32",
        "memory",
    )
    lines = [f"| {' | '.join(head)} |", "| --- | --- |" + " ---: |" * (len(head) - 2)]
    for row in (row for row in rows if row["operator"] == "eala" and row["both_s"]):
        others = [_same(rows, row, operator=name) for name in ("softmax", "elu")]
        cells = [
            _shape(row["shape"]),
            row["dtype"],
            seconds_text(row["forward_s"]),
            seconds_text(row["both_s"]),
            f"{row['both_s'] / row['floor_both_s']:.1f}" if row["floor_both_s"] else "",
            *(_times(other, row) for other in (*others, _same(rows, row, dtype="float32"))),
            f"{row['peak_bytes'] / row['eight_tensors_bytes']:.2f} x" if row["peak_bytes"] else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _times(other: dict[str, Any] | None, row: dict[str, Any]) -> str:
    """Time of another attention as a multiple of EALA's."""
    if other is None or not other["both_s"]:
        return other["failure"] if other and other["failure"] else ""
    ratio = other["both_s"] / row["both_s"]
    return f"{ratio:,.0f} x" if ratio > 20 else f"{ratio:.2f} x"


def _side_by_side(rows: list[dict[str, Any]], shapes: list[tuple[int, ...]]) -> str:
    lines = [f"| attention | {' | '.join(map(_shape, shapes))} |", "| --- |" + " ---: |" * len(shapes)]
    for operator in dict.fromkeys(row["operator"] for row in rows):
        found = {tuple(row["shape"]): row for row in rows if row["operator"] == operator}
        cells = [_time(found.get(shape)) for shape in shapes]
        lines.append(f"| {operator} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _time(row: dict[str, Any] | None) -> str:
    return "" if row is None else row["failure"] or seconds_text(row["both_s"])


def _shape(shape: Any) -> str:
    return "({}, {}, {:,}, {})".format(*shape)


def seconds_text(seconds: float | None) -> str:
    """Format seconds for a table."""
    if seconds is None:
        return ""
    if seconds < 1e-3:
        return f"{seconds * 1e6:,.0f} us"
    return f"{seconds * 1e3:,.2f} ms" if seconds < 1 else f"{seconds:.2f} s"


def main() -> None:
    """Rewrite the page."""
    data = json.loads((RESULTS / "ops-cpu.json").read_text())
    PAGE.write_text(rewritten(PAGE.read_text(), data))


if __name__ == "__main__":
    main()
