"""Panels on disk: round trips, refusals, and no remains of a failed write."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elinformer._checksums import document_digest
from elinformer.data.io.folder import check_panel, open_panel, write_blocks, write_panel
from elinformer.data.io.read import read_panel
from elinformer.data.panel import Panel, fingerprint
from elinformer.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

BLOCKS = [np.arange(6.0).reshape(3, 2), np.arange(6.0, 10).reshape(2, 2)]


@pytest.fixture
def folder(tmp_path: Path, two_channel_panel: Panel) -> Path:
    write_panel(two_channel_panel, tmp_path / "panel")
    return tmp_path / "panel"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"locations": np.random.default_rng(0).normal(size=(4, 2))},
        {"freq": None, "timestamps": np.arange(5, 245)},
        {"series": ("é", "ß b", "", "\n")},
        {"freq": "10min", "steps_per_day": 24, "timestamps": None},
    ],
    ids=["times", "locations", "step numbers", "any names", "service hours"],
)
def test_a_written_panel_is_read_unchanged(
    tmp_path: Path, two_channel_panel: Panel, changes: dict[str, object]
) -> None:
    if changes.get("steps_per_day"):
        hours = Panel.from_arrays(np.ones((240, 4)), start="2024-01-01T06", freq="10min", steps_per_day=24)
        changes = {**changes, "timestamps": hours.timestamps}
    panel = replace(two_channel_panel, **changes)
    saved = write_panel(panel, tmp_path / "panel")
    for other in (saved, open_panel(tmp_path / "panel"), read_panel(tmp_path / "panel")):
        for field in Panel.__dataclass_fields__:
            if field != "checked":
                np.testing.assert_array_equal(getattr(other, field), getattr(panel, field), field)
        assert fingerprint(other) == fingerprint(panel)


def test_the_values_are_mapped_and_cannot_be_changed(folder: Path) -> None:
    panel = read_panel(folder)
    assert isinstance(panel.values.base, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        panel.values[0] = 0


def test_the_folder_describes_itself_and_numpy_reads_its_arrays(folder: Path, two_channel_panel: Panel) -> None:
    meta = json.loads((folder / "meta.json").read_text())
    assert meta["shape"] == [240, 4, 2]
    assert (meta["format"], meta["schema"], meta["dtype"]) == ("elinformer-panel", 1, "float32")
    assert meta["fingerprint"] == fingerprint(two_channel_panel)
    np.testing.assert_array_equal(np.load(folder / "values.npy"), two_channel_panel.values)


def test_names_can_be_given_when_a_panel_is_opened(folder: Path) -> None:
    panel = read_panel(folder, series=["w", "x", "y", "z"], channels=["a", "b"], name="other")
    assert (panel.series[0], panel.channels, panel.name) == ("w", ("a", "b"), "other")


@pytest.mark.parametrize("option", [{"null_value": 0.0}, {"start": "2024-01-01", "freq": "1h"}, {"steps_per_day": 3}])
def test_options_that_would_change_a_panel_on_disk_are_refused_with_the_remedy(
    folder: Path, option: dict[str, object]
) -> None:
    with pytest.raises(InputError, match=f"expected no {' or '.join(option)} for a panel on disk.*: convert it once"):
        read_panel(folder, **option)  # pyright: ignore[reportArgumentType]


@settings(max_examples=8)
@given(cuts=st.lists(st.integers(0, 30), max_size=4).map(sorted), n_channels=st.sampled_from([None, 1, 2]))
def test_blocks_of_any_length_are_written_one_after_the_other(
    cuts: list[int], n_channels: int | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    values = np.random.default_rng(0).normal(size=(30, 3) if n_channels is None else (30, 3, n_channels))
    panel = write_blocks(
        iter(np.split(values, cuts)),
        tmp_path_factory.mktemp("blocks") / "roads",
        shape=values.shape,
        freq="1h",
        start="2024-01-01",
    )
    np.testing.assert_array_equal(panel.values, values.reshape(30, 3, -1).astype(np.float32))
    assert (panel.name, panel.freq) == ("roads", "1h")


def test_steps_that_are_left_out_are_missing(tmp_path: Path) -> None:
    times = np.array([f"2024-01-01T0{hour}" for hour in (0, 1, 2, 5, 6)], "M8[ns]")
    panel = write_blocks(BLOCKS, tmp_path / "a", shape=(5, 2), timestamps=times, null_value=9)
    np.testing.assert_array_equal(panel.mask[..., 0], [[1, 1]] * 3 + [[0, 0]] * 2 + [[1, 1], [1, 0]])


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((6, 2), {}, r"expected blocks of \(6, 2, 1\) in all, got 5 steps"),
        ((4, 2), {}, r"expected blocks of \(4, 2, 1\) in all, got one of \(2, 2, 1\) after 3 steps"),
        ((5, 3), {}, r"expected blocks of \(5, 3, 1\) in all, got one of \(3, 2, 1\) after 0 steps"),
        ((5,), {}, r"expected values of shape \(T, N\)"),
        ((5, 2), {"series": ["a", "a"]}, "expected distinct names of series"),
        ((5, 2), {"freq": "1h"}, r"expected start=\.\.\. beside freq='1h'"),
        ((5, 2), {"timestamps": np.array([1, 2, 3, 2, 4])}, "time goes back at step 3"),
        ((1, 2), {}, "at least 2 time steps, got 1"),
    ],
)
def test_blocks_that_make_no_panel_are_refused_and_leave_nothing(
    tmp_path: Path, shape: tuple[int, ...], options: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        write_blocks(BLOCKS, tmp_path / "a", shape=shape, **options)  # pyright: ignore[reportArgumentType]
    assert not list(tmp_path.iterdir())


def test_values_that_are_not_finite_or_all_missing_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    for value, message in ((np.inf, "got inf at step 1, series '1'"), (np.nan, "at least one observed value")):
        blocks = [np.where(np.arange(6).reshape(3, 2) < 3, np.nan, value)]
        with pytest.raises(InputError, match=message):
            write_blocks(blocks, tmp_path / "a", shape=(3, 2))
    assert not list(tmp_path.iterdir())


def test_only_a_panel_is_replaced_and_only_with_overwrite(folder: Path, hourly_panel: Panel) -> None:
    with pytest.raises(InputError, match="holds a panel: choose another name or pass --overwrite"):
        write_panel(hourly_panel, folder)
    assert write_panel(hourly_panel, folder, overwrite=True).n_channels == 1
    (folder / "meta.json").write_text("{}")  # as a BasicTS folder has
    with pytest.raises(InputError, match="holds other files: choose another name"):
        write_panel(hourly_panel, folder, overwrite=True)
    assert len(list(folder.parent.iterdir())) == 1


@pytest.mark.parametrize("file", ["values.npy", "mask.npy", "timestamps.npy"])
@pytest.mark.parametrize("left", [None, 0, 20, 200])
def test_a_folder_with_a_file_missing_or_truncated_is_refused(folder: Path, file: str, left: int | None) -> None:
    if left is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes((folder / file).read_bytes()[:left])
    with pytest.raises(InputError, match=rf"panel: expected a whole array of numbers in {file}, got a truncated one"):
        read_panel(folder)


def test_a_folder_with_an_array_of_another_panel_is_refused(folder: Path) -> None:
    np.save(folder / "mask.npy", np.ones((240, 4, 1), bool))
    with pytest.raises(InputError, match=r"bool of shape \[240, 4, 2\] in mask\.npy, .*, got bool of \(240, 4, 1\)"):
        read_panel(folder)
    np.save(folder / "mask.npy", np.ones((240, 4, 2), np.int8))
    with pytest.raises(InputError, match="got int8"):
        read_panel(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 2}, "expected a panel of schema 1 or older, got 2: .* update this one"),
        ({"schema": None}, "expected a panel of schema 1 or older, got None"),
        ({"series": ["a"]}, "expected 4 names of series, got 1"),
        ({"series": 4}, r"expected a description of a panel in meta\.json, got another"),
        ({"shape": [240, 4]}, r"expected float32 of shape \[240, 4\] in values\.npy"),
        ({"freq": "2h"}, "expected a step every 2h"),
        ({"freq": "often"}, "expected a frequency"),
    ],
)
def test_a_description_of_another_panel_is_refused(folder: Path, changes: dict[str, object], message: str) -> None:
    meta = json.loads((folder / "meta.json").read_text()) | changes
    meta["checksum"] = document_digest({name: value for name, value in meta.items() if name != "checksum"})
    (folder / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(InputError, match=f"panel: {message}"):
        read_panel(folder)


def test_an_incomplete_description_is_refused(folder: Path) -> None:
    meta = json.loads((folder / "meta.json").read_text())
    del meta["series"], meta["shape"]
    (folder / "meta.json").write_text(json.dumps(meta))
    with pytest.raises(InputError, match=r"expected shape, series in meta\.json, got none: convert the data again"):
        read_panel(folder)


@pytest.mark.parametrize("name", ["meta.json", "values.npy", "mask.npy", "timestamps.npy"])
def test_a_changed_byte_is_noticed_on_opening_a_small_panel_and_by_the_check_of_any(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[-5] ^= 64 if name == "values.npy" else 1
    (folder / name).write_bytes(content)
    for attempt in (open_panel, check_panel):
        with pytest.raises(InputError):
            attempt(folder)


def test_a_changed_value_between_the_samples_is_noticed_by_the_check(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(3000, 40)).astype(np.float32)
    write_panel(Panel.from_arrays(values, start="2024-01-01", freq="1h"), tmp_path / "panel")
    array = np.load(tmp_path / "panel/values.npy", mmap_mode="r+")
    array.reshape(-1)[2000] += 1
    array.flush()
    assert open_panel(tmp_path / "panel").n_steps == 3000
    with pytest.raises(InputError, match="fingerprint"):
        check_panel(tmp_path / "panel")


@pytest.mark.parametrize("size", [-1, 1, 64])
def test_an_array_of_another_size_is_refused(folder: Path, size: int) -> None:
    content = (folder / "values.npy").read_bytes()
    (folder / "values.npy").write_bytes(content[:size] if size < 0 else content + bytes(size))
    with pytest.raises(InputError, match=r"values\.npy"):
        open_panel(folder)


def test_a_folder_of_other_files_is_no_panel(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected the folder of a panel, but it has no meta\.json"):
        open_panel(tmp_path)


FULL_DISK = """
import resource, signal, sys
import numpy as np
from elinformer.data.io.folder import write_blocks
from elinformer.errors import InputError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))  # as a full disk, for one process
try:
    write_blocks([np.ones((100, 200))], sys.argv[1], shape=(100, 200))
except InputError as error:
    print(error)
"""


def test_a_full_disk_is_reported_and_keeps_the_old_panel(folder: Path, hourly_panel: Panel) -> None:
    text = FULL_DISK.replace("shape=(100, 200))", "shape=(100, 200), overwrite=True)")
    done = subprocess.run([sys.executable, "-c", text, str(folder)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"expected to be able to write the folder {folder}, but File too large")
    assert done.stdout.count("\n") == 1
    assert read_panel(folder).n_channels == 2
    assert list(folder.parent.iterdir()) == [folder]
