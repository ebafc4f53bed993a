"""What the numbers say of EALA: against softmax, against elu + 1, and as the length grows."""

from __future__ import annotations

import math
from typing import Any

LONG = (65536, 1048576)  # the lengths between which the exponent of growth is taken


def summary(rows: list[dict[str, Any]]) -> str:
    """A Markdown table, forward with backward, one line for each shape and dtype."""
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
            "({}, {}, {:,}, {})".format(*row["shape"]),
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
