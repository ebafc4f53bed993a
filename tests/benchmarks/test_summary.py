"""The tables that benchmarks write into docs/performance.md."""

from __future__ import annotations

import pytest
from benchmarks._summary import BEGIN, END, rewritten, shown


def row(operator, both_s, *, dtype="float32", length=65536, failure=None):
    return {
        "operator": operator, "shape": [1, 4, length, 32], "dtype": dtype, "backend": None, "failure": failure,
        "forward_s": both_s, "both_s": both_s, "floor_forward_s": 1e-3, "floor_both_s": 2e-3,
        "peak_bytes": 12, "eight_tensors_bytes": 8, "note": None,
    }  # fmt: skip


def data(*rows):
    about = {"date": "today", "processor": "one", "cores": 2, "threads": 2, "memory_gib": 8, "accelerator": None}
    about |= {"system": "Linux", "python": "3.11", "torch": "2", "elinformer": "0"}
    return {"about": about, "notes": [], "rows": list(rows), "ended": True}


def test_the_text_between_the_marks_is_replaced_and_the_rest_stays():
    page = rewritten(f"before\n{BEGIN}\nold\n{END}\nafter\n", data(row("eala", 0.004)))
    assert page.startswith(f"before\n{BEGIN}\n")
    assert page.endswith(f"{END}\nafter\n")
    assert "4.00 ms" in page
    assert "old" not in page


def test_other_attentions_are_shown_as_a_multiple_of_ours():
    text = shown(data(row("eala", 0.004), row("softmax", 0.4), row("elu", 0.01), row("eala", 0.002, dtype="bfloat16")))
    assert "| float32 | 4.00 ms | 4.00 ms | 2.0 | 100 x | 2.50 x | 1.00 x | 1.50 x |" in text
    assert "| bfloat16 | 2.00 ms | 2.00 ms | 1.0 |  |  | 2.00 x | 1.50 x |" in text


def test_a_measurement_over_the_limit_is_shown_as_such():
    failed = row("softmax", None, failure="over 60 s (about 600 s)")
    assert shown(data(row("eala", 0.004), failed)).count("over 60 s (about 600 s)") == 2


@pytest.mark.parametrize("exponent", [0.9, 1.1])
def test_growth_is_the_slope_of_the_logarithms(exponent):
    rows = row("eala", 0.07), row("eala", 0.07 * 16**exponent, length=1048576)
    assert f"grows as N ** {exponent:.3f}." in shown(data(*rows))


def test_an_unfinished_run_is_marked():
    assert "has not ended" in shown(data(row("eala", 0.004)) | {"ended": False})
