"""Tests of atomic files and folders."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from elinformer._files import check_folder, new_file, new_folder
from elinformer.errors import InputError


def all_paths(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def write_half(path: Path) -> None:
    path.write_text("half")
    raise KeyError


def test_a_file_appears_when_the_block_succeeds(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "down" / "a.csv"
    with new_file(target) as path:
        path.write_text("x")
        assert path.suffix == ".csv"
        assert not target.exists()
    assert target.read_text() == "x"
    assert all_paths(tmp_path) == ["deep", "deep/down", "deep/down/a.csv"]


def test_an_old_file_stays_if_the_block_fails(tmp_path: Path) -> None:
    target = tmp_path / "a.csv"
    target.write_text("old")
    with pytest.raises(KeyError), new_file(target) as path:
        write_half(path)
    assert target.read_text() == "old"
    assert all_paths(tmp_path) == ["a.csv"]


@pytest.mark.parametrize("place", ["file/x.csv", "file/deeper/x.csv", "folder", "."])
def test_a_file_that_cannot_be_written_is_refused(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    Path("folder").mkdir()
    before = all_paths(tmp_path)
    with pytest.raises(InputError, match="expected to be able to write "), new_file(place) as path:
        path.write_text("x")
    assert all_paths(tmp_path) == before


@pytest.mark.parametrize("before", [None, "empty", "full"])
def test_a_folder_appears_when_the_block_succeeds(before: str | None, tmp_path: Path) -> None:
    target = tmp_path / "run"
    if before:
        target.mkdir()
    if before == "full":
        (target / "old").write_text("old")
    with new_folder(target) as folder:
        (folder / "new").write_text("new")
        assert not (target / "new").exists()
    assert all_paths(tmp_path) == ["run", "run/new"]


def test_temporary_folders_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    for name in ("run", f".run.{os.getpid()}.new", f".run.{os.getpid()}.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "left").write_text("left")
    with new_folder(tmp_path / "run") as folder:
        (folder / "new").write_text("new")
    assert all_paths(tmp_path) == ["run", "run/new"]


def test_an_old_folder_stays_if_the_block_fails(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "old").write_text("old")
    with pytest.raises(KeyError), new_folder(tmp_path / "run") as folder:
        write_half(folder / "new")
    assert all_paths(tmp_path) == ["run", "run/old"]


def test_an_old_folder_is_restored_if_it_cannot_be_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "old").write_text("old")
    rename = Path.rename

    def fail(self: Path, target: Path) -> Path:
        if self.name.endswith(".new"):
            raise PermissionError(13, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    message = r"expected to be able to write the folder .*run, but Permission denied"
    with pytest.raises(InputError, match=message), new_folder(tmp_path / "run") as folder:
        (folder / "new").write_text("new")
    assert all_paths(tmp_path) == ["run", "run/old"]


def test_the_current_folder_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with new_folder(".") as folder:
        (folder / "new").write_text("new")
    assert all_paths(tmp_path) == ["here", "here/new"]


def test_a_folder_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="expected to be able to write the folder"), new_folder(tmp_path / "file/run"):
        pass
    assert all_paths(tmp_path) == ["file"]


@pytest.mark.parametrize("name", ["x" * 300, "a\0b"])
def test_a_name_that_no_folder_can_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="expected a path that can be written"):
        check_folder(tmp_path / name, overwrite=False, mark="config.json")


def test_only_folders_of_the_same_kind_are_replaced_and_only_with_overwrite(tmp_path: Path) -> None:
    run = tmp_path / "run"
    check_folder(run, overwrite=False, mark="config.json")
    run.mkdir()
    check_folder(run, overwrite=False, mark="config.json")
    (run / "thesis.tex").write_text("")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="holds other files: choose another name"):
            check_folder(run, overwrite=overwrite, mark="config.json")
    (run / "config.json").write_text("{}")
    check_folder(run, overwrite=True, mark="config.json")
    with pytest.raises(InputError, match="holds a run: choose another name or pass --overwrite"):
        check_folder(run, overwrite=False, mark="config.json")
    with pytest.raises(InputError, match="expected a folder to write to, got the file"):
        check_folder(run / "thesis.tex", overwrite=True, mark="config.json")


def test_the_temporary_file_has_the_process_number_in_its_name(tmp_path: Path) -> None:
    with new_file(tmp_path / "a.csv") as path:
        path.write_text("")
        assert str(os.getpid()) in path.name
