"""Data files: valid ones are read as pandas and NumPy read them, cell by cell; others are refused in one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawn_tables import WRITERS, draw_table, empty
from fuzzing import memory_limit, time_limit, tries, used_or_refused
from read_again import assert_as_in_file
from spoilt_files import HOSTILE, spoil_bytes, spoil_text

from elinformer import Panel, read_panel

# A header with other white space, which NumPy reads as that of a file of Python 2.
pytestmark = pytest.mark.filterwarnings("ignore:Reading `.npy` or `.npz` file required additional header parsing")


def assert_same(panel: Panel, frame: pd.DataFrame) -> None:
    """Check that a panel has the cells of a frame, and no other."""
    assert panel.series == tuple(map(str, frame.columns))
    times = frame.index.to_numpy("M8[ns]") if panel.freq is not None else np.asarray(frame.index)
    places = np.searchsorted(panel.timestamps, times)
    np.testing.assert_array_equal(panel.timestamps[places], times)
    expected, values = frame.to_numpy(np.float64), panel.values[places, :, 0]
    np.testing.assert_array_equal(values, expected.astype(values.dtype))
    np.testing.assert_array_equal(panel.mask[places, :, 0], ~np.isnan(expected))
    assert panel.mask.sum() == np.count_nonzero(~np.isnan(expected))
    whole = np.nan_to_num(expected) % 1 == 0
    np.testing.assert_array_equal(values[whole], expected[whole])


def test_valid_files_are_read_as_pandas_and_numpy_read_them_cell_by_cell(tmp_path: Path) -> None:
    for draw in tries("valid files", 60):
        table, write = draw_table(draw), draw.choice(WRITERS)
        written = write(table, draw, empty(tmp_path / "files"))
        with time_limit(), memory_limit():
            panel = read_panel(written.path, **written.options)
        assert_same(panel, written.frame)


def read_or_refused(path: Path) -> Panel | None:
    """Return the panel of a file, or None if it is refused in one sentence."""
    with memory_limit():
        return used_or_refused(read_panel, path)


def test_spoilt_files_are_refused_or_hold_what_pandas_and_numpy_read(tmp_path: Path) -> None:
    for draw in tries("spoilt files", 80):
        write = draw.choice(WRITERS)
        written = write(draw_table(draw), draw, empty(tmp_path / "files"))
        spoil = spoil_text if written.path.suffix == ".csv" and draw.random() < 0.7 else spoil_bytes
        spoil(draw, written.path)
        panel = read_or_refused(written.path)
        if panel is not None:
            assert_plausible(panel)
            assert_as_in_file(panel, written.path)


def test_hostile_files_are_used_or_refused_in_one_sentence(tmp_path: Path) -> None:
    for draw in tries("hostile files", 60):
        path = draw.choice(HOSTILE)(draw, empty(tmp_path / "files"))
        panel = read_or_refused(path)
        if panel is not None:
            assert_plausible(panel)
            if panel.values.size < 10_000:
                assert_as_in_file(panel, path)


def assert_plausible(panel: Panel) -> None:
    """Check that a panel holds finite numbers where its mask says so, and none elsewhere."""
    values, mask = np.asarray(panel.values), np.asarray(panel.mask)
    assert np.isfinite(values[mask]).all()
    assert np.isnan(values[~mask]).all()
    assert mask.any()
    assert len(panel.timestamps) == len(values)
    assert len(set(panel.series)) == len(panel.series) == values.shape[1]
