"""Settings: who is heard over whom, and what is no setting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from elinformer.data.catalog import CATALOG
from elinformer.errors import InputError
from elinformer.settings import Settings, catalogue_settings, parse_split, read_settings


def test_later_voices_win_and_none_says_nothing() -> None:
    settings = (
        Settings().updated({"window": 24, "horizon": 6, "null_value": 0.0}).updated({"window": 48, "horizon": None})
    )
    assert (settings.window, settings.horizon, settings.null_value) == (48, 6, 0.0)


def test_the_tables_are_merged_key_by_key() -> None:
    settings = Settings().updated({"training": {"epochs": 3, "seed": 1}, "model": {"n_layers": 2}})
    settings = settings.updated({"training": {"epochs": 5, "device": None}})
    assert settings.training == {"epochs": 5, "seed": 1}
    assert settings.model == {"n_layers": 2}
    assert Settings().training == {}


def test_a_split_becomes_a_tuple() -> None:
    assert Settings().updated({"split": [0.7, 0.1, 0.2]}).split == (0.7, 0.1, 0.2)
    assert parse_split("0.7, 0.1,0.2") == (0.7, 0.1, 0.2)
    with pytest.raises(InputError, match=r"expected a split of three numbers such as 0.6,0.2,0.2, got 'a,b'"):
        parse_split("a,b")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"windw": 3}, "expected settings out of window, horizon, .*, got windw"),
        ({"window": "12"}, "expected window to be int, got '12'"),
        ({"window": 12.5}, "expected window to be int, got 12.5"),
        ({"window": True}, "expected window to be int, got True"),
        ({"null_value": "zero"}, "expected null_value to be float or int, got 'zero'"),
        ({"split": "0.6,0.2,0.2"}, "expected split to be list or tuple"),
        ({"training": 5}, "expected training to be dict, got 5"),
        ({"model": ["n_layers"]}, "expected model to be dict"),
    ],
)
def test_what_is_no_setting_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Settings().updated(changes)


def test_a_toml_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('window = 24\nsplit = [0.7, 0.1, 0.2]\nfreq = "1h"\n[training]\nepochs = 3\n', encoding="utf-8")
    changes = read_settings(path)
    assert changes == {"window": 24, "split": [0.7, 0.1, 0.2], "freq": "1h", "training": {"epochs": 3}}
    assert Settings().updated(changes).split == (0.7, 0.1, 0.2)


@pytest.mark.parametrize("content", [b"window = ", b"\xff\xfe", b"[window"])
def test_a_file_that_is_no_toml_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_bytes(content)
    with pytest.raises(InputError, match=r"expected (TOML in|a TOML file at) .*run.toml") as refusal:
        read_settings(tmp_path / "run.toml")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", ["none.toml", "."])
def test_a_file_that_cannot_be_read_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected a TOML file at .* but it cannot be read"):
        read_settings(tmp_path / name)


@pytest.mark.parametrize("name", CATALOG)
def test_every_data_set_of_the_catalogue_gives_settings_that_hold(name: str) -> None:
    settings = Settings().updated(catalogue_settings(name))
    assert (settings.window, settings.horizon, settings.split) == (
        CATALOG[name].window,
        CATALOG[name].horizon,
        CATALOG[name].split,
    )
    assert settings.training == ({} if CATALOG[name].homogeneous else {"loss_scale": "seasonal"})
    assert catalogue_settings(name.upper()) == catalogue_settings(name)


def test_a_path_gives_no_settings() -> None:
    assert catalogue_settings("data/mine.csv") == {}
