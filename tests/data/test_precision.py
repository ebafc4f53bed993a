"""Numbers that float32 does not hold are kept in float64, and all others in float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from elinformer.data.io.convert import convert_panel
from elinformer.data.io.folder import write_blocks
from elinformer.data.io.frames import panel_from_frame
from elinformer.data.io.read import read_panel
from elinformer.data.panel import Panel, fingerprint
from elinformer.errors import InputError

STEPS = np.arange(300)[:, None]
LARGE = 1e9 + 5 * np.sin(STEPS)


@pytest.mark.parametrize(
    "values",
    [
        LARGE, np.where(STEPS % 2, LARGE, np.nan), np.where(STEPS % 50, LARGE, 0), 1e5 + 0.01 * np.sin(STEPS),
        np.full((300, 1), 2**24 + 1), 2**30 + STEPS, np.hstack([np.sin(STEPS), LARGE]),
    ],
)  # fmt: skip
def test_numbers_that_rounding_would_change_are_kept_exact(values: np.ndarray) -> None:
    panel = Panel.from_arrays(values)
    assert panel.values.dtype == np.float64
    np.testing.assert_array_equal(panel.values[..., 0], values)


@pytest.mark.parametrize(
    "values",
    [
        10 + 5 * np.sin(STEPS), 3e7 + 1e7 * np.sin(STEPS), 101325 + 50 * np.sin(STEPS), np.full((300, 1), 0.1),
        np.where(STEPS % 100 < 90, 0.1, 0.2), np.where(STEPS % 100, 0.0, 3.3), LARGE.astype(np.float32), STEPS,
    ],
)  # fmt: skip
def test_usual_numbers_take_the_memory_of_float32(values: np.ndarray) -> None:
    assert Panel.from_arrays(values).values.dtype == np.float32


def test_a_number_that_stands_for_missing_does_not_count() -> None:
    values = np.where(STEPS % 2, 2**24 + 1, 10)
    assert Panel.from_arrays(values, null_value=2**24 + 1).values.dtype == np.float32


@pytest.mark.parametrize("form", ["long", "wide", "parquet"])
def test_files_and_frames_keep_numbers_exact(form: str, tmp_path: Path) -> None:
    times = pd.date_range("2024-01-01", periods=300, freq="h")
    wide = pd.DataFrame({"time": times, "a": LARGE[:, 0], "b": np.sin(STEPS[:, 0])})
    long = wide.melt("time", var_name="unique_id", value_name="y").rename(columns={"time": "ds"})
    frame = wide if form == "wide" else long
    path = tmp_path / ("t.parquet" if form == "parquet" else "t.csv")
    frame.to_parquet(path) if form == "parquet" else frame.to_csv(path, index=False)
    panel = panel_from_frame(frame)
    for found in (panel, read_panel(path), convert_panel(path, tmp_path / "panel")):
        np.testing.assert_array_equal(found.values[:, :, 0], wide[["a", "b"]])
        assert fingerprint(found) == fingerprint(panel)


def test_blocks_that_need_float64_have_to_be_readable_twice(tmp_path: Path) -> None:
    options: dict[str, Any] = {"shape": LARGE.shape, "start": "2024-01-01", "freq": "1h"}
    panel = write_blocks([LARGE[:100], LARGE[100:]], tmp_path / "list", **options)
    np.testing.assert_array_equal(panel.values[..., 0], LARGE)
    with pytest.raises(InputError, match="list"):
        write_blocks(iter([LARGE]), tmp_path / "iterator", **options)
    assert not (tmp_path / "iterator").exists()
