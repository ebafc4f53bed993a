"""Growth with the number of series: the measured sizes, the sizes left out, and the exponent."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from benchmarks._scaling import BATCH, N_STEPS, write_speeds
from benchmarks.scaling import Row, exponent, growth, over_limit, shown, windows_of

from benchmarks import scaling


def row(series: int, seconds: float | None, *, model: str = "elinformer", part: str = "step") -> Row:
    return {
        "series": series, "model": model, "part": part, "windows": 2, "seconds": seconds, "peak_bytes": 3 << 30,
        "products": 0.5 * (seconds or 1), "failure": None if seconds else "over 30 s", "others": 0.0,
    }  # fmt: skip


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_the_exponent_of_a_power_law_is_found(power: float) -> None:
    assert exponent([row(n, 3e-6 * n**power) for n in (256, 8600, 131_072)]) == pytest.approx(power)


def test_growth_is_shown_over_all_sizes_and_over_large_ones() -> None:
    rows = [row(n, 1e-6 * max(n, 2048)) for n in (512, 1024, 2048, 4096, 8192)] + [row(16_384, None)]
    over_all = f"N ** {exponent(rows[:-1]):.3f} from 512 to 8,192"
    over_long = "N ** 1.000 from 2,048 to 8,192"
    assert growth(rows) == [f"The time of a step of elinformer grows as {over_all}, as {over_long}."]
    assert exponent(rows[:-1]) < 0.7


def test_a_step_has_fewer_windows_with_many_series() -> None:
    assert [windows_of(n, 1) for n in (256, 8600, 16_384, 131_072)] == [BATCH, BATCH, 8, 1]
    assert [windows_of(n, 2) for n in (256, 2048, 8192, 131_072)] == [BATCH, 8, 1, 1]


def test_a_size_that_takes_too_long_is_left_out_and_so_are_larger_ones() -> None:
    after = row(8192, None) | {"windows": 1}
    assert over_limit(row(4096, 2.0), after, 2, 30) is None
    assert over_limit(row(4096, 9.0), after, 2, 30) == "over 30 s (about 36 s)"
    assert over_limit(row(4096, None), after, 2, 30) == "over 30 s"
    assert over_limit(row(256, 9.0), after, 2, 30) is None, "at small sizes, time is no power of the size"


def test_the_text_has_memory_and_ratio_at_8600_series() -> None:
    rows = [row(8600, 4.0, model=model, part=part) for model in scaling.MODELS for part in scaling.PARTS]
    text = shown(rows)
    assert "At N = 8,600, a step of 2 windows takes 3.00 GiB." in text
    assert "At N = 8,600, a forecast takes 2.00 times as long as its matrix products." in text


def test_speeds_of_several_freeways_lie_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks._scaling.LARGEST_NETWORK", 20)
    write_speeds(str(tmp_path / "speeds.npy"), 45)
    speeds = np.load(tmp_path / "speeds.npy")
    assert speeds.shape == (N_STEPS, 45)
    assert not np.array_equal(speeds[:, :20], speeds[:, 20:40], equal_nan=True)


@pytest.mark.slow
def test_both_models_are_measured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["scaling", "--quick", "--series", "12,24", "--seconds", "0.01", "--threads", "1"])
    scaling.main()
    printed = capsys.readouterr().out
    assert "| 24 | " in printed
    assert "fails" not in printed
    for part in scaling.PARTS:
        for model in scaling.MODELS:
            assert f"The time of a {part} of {model} grows as N ** " in printed
