"""Folders of panels that are damaged or made to mislead are refused, or hold the panel that was written."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from fuzzing import damaged_bytes, edit_document, replace_file, tries, used_or_refused

from elinformer import Panel, read_panel
from elinformer._checksums import document_digest
from elinformer.data.io.folder import check_panel, write_panel
from elinformer.data.panel import fingerprint

FILES = ("meta.json", "values.npy", "mask.npy", "timestamps.npy", "locations.npy")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    values = np.random.default_rng(0).normal(size=(40, 3, 2)).astype(np.float32)
    values[3, 1] = np.nan
    panel = Panel.from_arrays(values, start="2024-01-01", freq="1h", locations=np.ones((3, 2)), name="good")
    write_panel(panel, tmp_path / "good")
    return tmp_path / "good"


def copy_of(folder: Path) -> Path:
    copy = folder.with_name("panel")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    return copy


def test_a_damaged_panel_is_refused_or_the_same(folder: Path) -> None:
    expected = fingerprint(read_panel(folder))
    for draw in tries("panel damage", 150):
        copy = copy_of(folder)
        path = copy / draw.choice(FILES)
        path.write_bytes(damaged_bytes(draw, path.read_bytes()))
        panel = used_or_refused(check_panel, copy)
        assert panel is None or fingerprint(panel) == expected, path.name


def test_a_panel_with_another_description_is_refused_or_whole(folder: Path) -> None:
    for draw in tries("panel contents", 150):
        copy = copy_of(folder)
        edit_document(draw, copy / "meta.json")
        meta = json.loads((copy / "meta.json").read_text())
        meta["checksum"] = document_digest({name: value for name, value in meta.items() if name != "checksum"})
        (copy / "meta.json").write_text(json.dumps(meta))
        panel = used_or_refused(read_panel, copy)
        if panel is not None:
            assert panel.values.shape == panel.mask.shape == (40, len(panel.series), len(panel.channels))
            assert len(panel.timestamps) == 40
            assert all(isinstance(name, str) for name in (*panel.series, *panel.channels, panel.name))


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes and links there")
def test_pipes_and_folders_in_place_of_arrays_are_refused(folder: Path) -> None:
    for draw in tries("panel places", 20):
        copy = copy_of(folder)
        path = copy / draw.choice(FILES[:4])
        replace_file(draw, path)
        assert used_or_refused(read_panel, copy) is None
