"""Memory of conversion and training: they hold blocks of a panel on disk, for any size of the panel."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pytest

from elinformer.data.io.folder import write_blocks
from elinformer.data.io.frames import long_frame

if TYPE_CHECKING:
    from collections.abc import Callable

N_STEPS, N_SERIES = 24_000, 1000  # half of it would drown in what the libraries keep
VALUES_BYTES = 4 * N_STEPS * N_SERIES
BOUND = 0.6 * VALUES_BYTES  # what is read into memory takes 1.25 times as much, and blocks of it far less

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux to tell anonymous memory")

MEASURED = """
import re, sys, threading
import numpy as np
from elinformer.data import pieces
from elinformer.data.io import convert, rows, streams, tables
from elinformer.data.io.read import read_panel

def anonymous():
    return 1024 * int(re.search(r"RssAnon:\\s+(\\d+)", open("/proc/self/status").read())[1])

def watch(done, peak):
    while not done.wait(0.005):
        peak[0] = max(peak[0], anonymous())

pieces.VALUES_AT_A_TIME = tables.COLUMN_VALUES = 1 << 17
streams.TABLE_ROWS = streams.CSV_BYTES = rows.CELLS_AT_ONCE = 1 << 17

{work}

small, large, out = sys.argv[1:]
run(small, out)  # loads what is loaded on first use
before, done, peak = anonymous(), threading.Event(), [0]
watcher = threading.Thread(target=watch, args=(done, peak))
watcher.start()
result = run(large, out)
peak[0] = max(peak[0], anonymous())
done.set()
watcher.join()
print(peak[0] - before)
"""

CONVERTED = """
def run(path, out):
    convert.convert_panel(path, out, overwrite=True)
"""
LARGEST = """
from dataclasses import replace
from pathlib import Path
from elinformer.data.catalog import CATALOG
from elinformer.data.catalog.published import convert_published
from elinformer.data.io.hdf5 import read_hdf5

def run(path, out):
    n_steps, n_series, _ = read_hdf5(Path(path, "ca_his_raw_2019.h5")).pieces.shape
    dataset = replace(CATALOG["largest-ca"], shape=(n_steps // 3, n_series, 1))
    convert_published(dataset, Path(path), out, overwrite=True)
"""
READ = """
def run(path, out):
    return read_panel(path)
"""
TRAINED = """
from elinformer.data import panel as panels, windows
from elinformer.evaluation import Naive, score_naive

def run(path, out):
    panel = read_panel(path)
    panels.fingerprint(panel)
    reach = windows.Reach(12, 12)
    data = windows.SplitPanel.of(panel, (0.6, 0.2, 0.2), reach)
    data.scaler("series")
    dataset = data.windows("train", None)
    for first in range(20):
        dataset[list(range(first, first + 4))]
    score_naive(Naive("yesterday", 24), panel, panel.n_steps - np.arange(12, 20), 12, data.moments.mean)
"""


def peak(work: str, small: Path, large: Path) -> int:
    """Return the most bytes of anonymous memory that the function `run` of `work` adds, in a new process."""
    out = large.parent / "out"
    command = [sys.executable, "-c", MEASURED.replace("{work}", work), *map(str, (small, large, out))]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 999, (N_STEPS, N_SERIES)).astype(np.float32)


def write_npz(path: Path, values: np.ndarray) -> None:
    np.savez(path.with_suffix(".npz"), data=values)


def write_npz_by_column(path: Path, values: np.ndarray) -> None:
    np.savez(path.with_suffix(".npz"), data=np.asfortranarray(values))


def write_wide_csv(path: Path, values: np.ndarray) -> None:
    names = [f"s{i}" for i in range(values.shape[1])]
    pa_csv.write_csv(pa.table([np.arange(len(values)), *values.T], ["step", *names]), path.with_suffix(".csv"))


def write_wide_parquet(path: Path, values: np.ndarray) -> None:
    times = pd.date_range("2024-01-01", periods=len(values), freq="1h")
    names = [f"s{i}" for i in range(values.shape[1])]
    pd.DataFrame(values, index=times, columns=names).to_parquet(path.with_suffix(".parquet"))


def write_long_parquet(path: Path, values: np.ndarray) -> None:
    names = [str(i) for i in range(values.shape[1])]
    frame = long_frame(values[..., None], np.arange(len(values)), names, ["y"], column="y")
    frame.to_parquet(path.with_suffix(".parquet"), row_group_size=1 << 18)


def write_hdf5(path: Path, values: np.ndarray) -> None:
    h5py = pytest.importorskip("h5py")
    names = np.array([f"s{i}" for i in range(values.shape[1])], "S9")
    times = pd.date_range("2019-01-01", periods=len(values), freq="5min").to_numpy("datetime64[ns]")
    with h5py.File(path.with_suffix(".h5"), "w") as file:
        file["t/axis0"], file["t/block0_items"], file["t/block0_values"] = names, names, values
        file["t/axis1"] = times.view(np.int64)


def write_largest(path: Path, values: np.ndarray) -> None:
    path.mkdir()
    write_hdf5(path / "ca_his_raw_2019.h5", values)
    names = [f"s{i}" for i in range(values.shape[1])]
    pd.DataFrame({"ID": names, "Lat": 32.5, "Lng": -117.1, "District": 11}).to_csv(path / "ca_meta.csv", index=False)


def write_panel_folder(path: Path, values: np.ndarray) -> None:
    write_blocks([values], path, shape=values.shape)


def written(write: Callable[[Path, np.ndarray], None], values: np.ndarray, path: Path) -> tuple[Path, Path]:
    """Write a small file, on which libraries allocate their caches, and a large one."""
    write(path / "small", values[: N_STEPS // 8])
    write(path / "large", values)
    small, large = (next(path.glob(f"{name}*")) for name in ("small", "large"))
    return small, large


@pytest.mark.parametrize(
    "write",
    [
        write_npz,
        write_npz_by_column,
        write_wide_parquet,
        write_hdf5,
        pytest.param(write_wide_csv, marks=pytest.mark.slow),
        pytest.param(write_long_parquet, marks=pytest.mark.slow),
    ],
)
def test_conversion_holds_few_of_the_values_in_memory(
    write: Callable[[Path, np.ndarray], None], values: np.ndarray, tmp_path: Path
) -> None:
    assert peak(CONVERTED, *written(write, values, tmp_path)) < BOUND


def test_conversion_of_largest_holds_few_of_the_values_in_memory(values: np.ndarray, tmp_path: Path) -> None:
    assert peak(LARGEST, *written(write_largest, values, tmp_path)) < BOUND


def test_training_holds_few_of_the_values_on_disk_in_memory(values: np.ndarray, tmp_path: Path) -> None:
    assert peak(TRAINED, *written(write_panel_folder, values, tmp_path)) < BOUND


def test_a_panel_in_memory_is_held_once(values: np.ndarray, tmp_path: Path) -> None:
    held = peak(READ, *written(write_npz, values, tmp_path)) / VALUES_BYTES
    assert 1.1 < held < 1.6  # values and mask
