"""Folders of BasicTS data sets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from elinformer.data.io.read import read_panel
from elinformer.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

DATA = np.random.default_rng(0).integers(0, 5, (20, 3)).astype(np.float32)
META = {
    "name": "PEMS08",
    "domain": "traffic flow",
    "frequency (minutes)": 5,
    "shape": [20, 3],
    "timestamps_shape": [20, 2],
    "timestamps_description": ["time of day", "day of week"],
    "num_time_steps": 20,
    "num_vars": 3,
    "has_graph": True,
    "regular_settings": {
        "train_val_test_ratio": [0.6, 0.2, 0.2],
        "norm_each_channel": False,
        "rescale": True,
        "metrics": ["MAE", "RMSE", "MAPE"],
        "null_val": 0.0,
    },
}


def write_folder(folder: Path, data: np.ndarray = DATA, meta: dict[str, object] | None = None) -> Path:
    """Write the files of scripts/data_preparation/<set>/generate_training_data.py."""
    folder.mkdir()
    for part, span in {"train": slice(0, 12), "val": slice(12, 16), "test": slice(16, 20)}.items():
        np.save(folder / f"{part}_data.npy", data[span])
        np.save(folder / f"{part}_timestamps.npy", np.zeros((len(data[span]), 2), np.float32))
    (folder / "meta.json").write_text(json.dumps(META if meta is None else meta))
    return folder


def test_the_parts_are_joined_and_the_null_value_is_read(tmp_path: Path) -> None:
    panel = read_panel(write_folder(tmp_path / "PEMS08"))
    np.testing.assert_array_equal(panel.values[..., 0], np.where(DATA == 0, np.nan, DATA))
    assert (panel.name, panel.freq, panel.channels) == ("PEMS08", None, ("value",))


def test_a_start_without_a_step_is_enough(tmp_path: Path) -> None:
    panel = read_panel(write_folder(tmp_path / "PEMS08"), start="2016-07-01")
    assert panel.freq == "5min"
    assert panel.timestamps[-1] == np.datetime64("2016-07-01T01:35")


@pytest.mark.parametrize("null_value", [None, float("nan")])
def test_no_null_value_leaves_zeros_as_they_are(tmp_path: Path, null_value: float | None) -> None:
    settings = {"null_val": float("nan")} if null_value is None else {"null_val": 0.0}
    folder = write_folder(tmp_path / "a", meta=META | {"regular_settings": settings})
    np.testing.assert_array_equal(read_panel(folder, null_value=null_value).values[..., 0], DATA)


def test_names_are_read_if_present(tmp_path: Path) -> None:
    named = META | {"variable_names": ["HUFL", "HULL", "OT"], "regular_settings": None, "frequency (minutes)": None}
    assert read_panel(write_folder(tmp_path / "a", meta=named)).series == ("HUFL", "HULL", "OT")
    featured = META | {"feature_description": ["traffic flow", "time of day"]}
    panel = read_panel(write_folder(tmp_path / "b", np.stack([DATA, DATA + 1], axis=-1), featured))
    assert panel.channels == ("traffic flow", "time of day")
    assert panel.series == ("0", "1", "2")


def test_meta_may_be_absent(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "a")
    (folder / "meta.json").unlink()
    np.testing.assert_array_equal(read_panel(folder).values[..., 0], DATA)


def test_a_folder_of_other_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"expected a BasicTS folder with train_data\.npy, .* none called train_data\.npy"
    ):
        read_panel(tmp_path)


def test_a_folder_without_one_part_is_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "a")
    (folder / "val_data.npy").unlink()
    with pytest.raises(InputError, match=r"got none called val_data\.npy: pass"):
        read_panel(folder)


def test_the_older_layout_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "data.dat").write_bytes(bytes(100))
    with pytest.raises(InputError, match=r"older versions write as data\.dat and desc\.json"):
        read_panel(tmp_path)


@pytest.mark.parametrize("meta", ["{", "[1]", "\xff"])
def test_a_meta_file_without_an_object_is_refused(tmp_path: Path, meta: str) -> None:
    folder = write_folder(tmp_path / "a")
    (folder / "meta.json").write_bytes(meta.encode("latin-1"))
    with pytest.raises(InputError, match=r"expected (JSON|a JSON object) in .*meta\.json"):
        read_panel(folder)


def test_parts_of_other_shapes_are_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "a")
    np.save(folder / "test_data.npy", DATA[:, :2])
    with pytest.raises(InputError, match=r"parts of the same series and channels, got the shapes \[\(12, 3\)"):
        read_panel(folder)


@pytest.mark.parametrize("content", [b"", b"not an array", b"\x93NUMPY\x01\x00"])
def test_a_damaged_part_is_refused(tmp_path: Path, content: bytes) -> None:
    folder = write_folder(tmp_path / "a")
    (folder / "val_data.npy").write_bytes(content)
    with pytest.raises(InputError, match=r"expected a whole array of numbers in val_data\.npy"):
        read_panel(folder)


def test_python_objects_in_a_part_are_never_unpickled(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "a")
    np.save(folder / "val_data.npy", np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match=r"val_data\.npy, got a truncated one or something else .*[Oo]bject"):
        read_panel(folder)
