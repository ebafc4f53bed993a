"""Addresses of data in a run: relative where they can be, and without the names of users."""

from __future__ import annotations

from pathlib import Path

import pytest

from elinformer.data.address import address_from, portable_address


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders of a machine; the home of the user is one of them."""
    for name in ("home/alice/project/runs", "home/bob", "data/shared", "data/alice"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home/alice"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home/alice"))
    monkeypatch.setenv("USER", "alice")
    return tmp_path


@pytest.mark.parametrize(
    ("data", "stored"),
    [
        ("home/alice/project/d.csv", "../../d.csv"),
        ("home/alice/project/runs/run/d.csv", "./d.csv"),
        ("home/alice/e.csv", "../../../e.csv"),
        ("NYC-Airports", "nyc-airports"),
    ],
)
def test_data_near_a_run_are_found_after_both_were_moved(places: Path, data: str, stored: str) -> None:
    run = places / "home/alice/project/runs/run"
    address = data if "/" not in data else str(places / data)
    assert portable_address(address, run) == stored
    if "/" in data:
        assert address_from(stored, run) == address
        (places / "home/alice").rename(places / "home/carol")
        moved = address_from(stored, places / "home/carol/project/runs/run")
        assert moved == address.replace("alice", "carol")


def test_no_name_of_a_user_is_stored(places: Path) -> None:
    for data in ("home/alice/d.csv", "home/bob/d.csv", "data/alice/d.csv", "data/shared/d.csv"):
        for run in ("home/alice/run", "home/bob/run", "data/shared/run"):
            stored = portable_address(str(places / data), places / run).removeprefix(str(places))
            assert not {"alice", "bob"} & {*Path(stored).parts}
