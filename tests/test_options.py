"""Options: one table, and the settings, flags and texts that are made from it."""

from __future__ import annotations

import ast
import inspect
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from elinformer._options import rows
from elinformer.cli._flags import with_flags
from elinformer.data.catalog import CATALOG
from elinformer.data.options import TaskOptions
from elinformer.errors import InputError
from elinformer.models import MODELS
from elinformer.models.registry import check_model, model_rows, whole_options
from elinformer.options import (
    DATA,
    TRAINING,
    Settings,
    catalogue_settings,
    flag_rows,
    in_tables,
    read_settings,
    settings_for,
    split_address,
    split_model,
)
from elinformer.training import TrainingConfig

OURS = [name for name, entry in MODELS.items() if entry.build.__module__.startswith("elinformer.models.")]
"""Models of the library; other tests register further ones."""


def test_the_tables_share_no_name_and_every_option_has_a_help() -> None:
    assert not DATA.keys() & TRAINING.keys()
    tables = [DATA, TRAINING, *(model_rows(name) for name in OURS)]
    assert all(row.help.endswith(".") for table in tables for row in table.values())


@pytest.mark.parametrize("row", [*DATA.values(), *TRAINING.values()], ids=lambda row: row.name)
def test_every_default_passes_its_own_check_and_the_way_through_text(row: Any) -> None:
    assert row.checked(row.default) == row.default
    listed = row.many and not isinstance(row.default, str)
    text = "none" if row.default is None else ",".join(map(str, row.default)) if listed else str(row.default)
    if row.default != ():
        assert row.parsed(text) == row.default


def test_the_docstring_of_a_configuration_has_its_options() -> None:
    assert "epochs: Passes over the training windows, with" in (TrainingConfig.__doc__ or "")


def test_later_settings_win_and_none_changes_nothing() -> None:
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


def test_options_of_training_go_into_their_table() -> None:
    assert in_tables({"window": 3, "epochs": 2}) == {"window": 3, "training": {"epochs": 2}}


@pytest.mark.parametrize("lags", [[24, 168], (24, 168), np.array([24, 168]), [np.int64(24), np.int32(168)]], ids=str)
def test_lags_are_a_list_a_tuple_or_an_array(lags: Any) -> None:
    found = Settings().updated({"lags": lags}).lags
    assert found == (24, 168)
    assert all(type(lag) is int for lag in found)


def test_numbers_of_numpy_are_numbers() -> None:
    options = TrainingConfig(epochs=np.int64(3), learning_rate=np.float32(0.5), weight_decay=1)  # pyright: ignore[reportArgumentType]
    assert [type(x) for x in (options.epochs, options.learning_rate, options.weight_decay)] == [int, float, float]
    assert TaskOptions(window=np.uint8(7), split=np.array([0.5, 0.25, 0.25])).window == 7  # pyright: ignore[reportArgumentType]
    assert type(whole_options("elinformer", {"n_layers": np.int64(2)})["n_layers"]) is int


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"windw": 3}, "settings out of window, horizon, .*, got windw"),
        ({"window": "12"}, "window to be a whole number or auto, got '12'"),
        ({"window": 12.5}, "window to be a whole number or auto, got 12.5"),
        ({"window": True}, "window to be a whole number or auto, got True"),
        ({"window": np.True_}, "window to be a whole number"),
        ({"window": 0}, "window of at least 1, got 0"),
        ({"null_value": "zero"}, "null_value to be a number, got 'zero'"),
        ({"lags": 24}, "lags to be whole numbers"),
        ({"lags": [24.5]}, "lags to be whole numbers"),
        ({"split": "0.6,0.2,0.2"}, "split to be numbers"),
        ({"split": [0.5, 0.5]}, "a split of three fractions"),
        ({"split": [0.5, 0.5, float("nan")]}, "split of at least 0"),
        ({"scale_per": "row"}, "scale_per out of series, channel, got 'row'"),
        ({"training": 5}, "training to be a table"),
        ({"model": ["n_layers"]}, "model to be a table"),
        ({"training": {"epoch": 5}}, "training options out of epochs, .*, got epoch"),
        ({"training": {"epochs": 0}}, "epochs of at least 1, got 0"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_are_refused_where_they_are_given(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=f"expected {words}"):
        Settings().updated(changes)


def test_a_toml_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('window = 24\nsplit = [0.7, 0.1, 0.2]\nfreq = "1h"\n[training]\nepochs = 3\n', encoding="utf-8")
    changes = read_settings(path)
    assert changes == {"window": 24, "split": [0.7, 0.1, 0.2], "freq": "1h", "training": {"epochs": 3}}
    assert Settings().updated(changes).split == (0.7, 0.1, 0.2)


@pytest.mark.parametrize(
    "content", [b"window = ", b"\xff\xfe", b"[window", b"window = " + b"[" * 100_000, b"window = " + b"9" * 5000]
)
def test_a_file_that_is_no_toml_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_bytes(content)
    with pytest.raises(InputError, match=r"expected (TOML in|a TOML file at) .*run.toml") as refusal:
        read_settings(tmp_path / "run.toml")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", ["none.toml", ".", "a\0b", "/dev/zero"])
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


def test_the_file_wins_over_the_catalogue(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('horizon = 3\n[training]\nloss_scale = "channel"\nepochs = 2\n', encoding="utf-8")
    given = {"window": None, "training": {"epochs": 9, "seed": None}}
    settings = settings_for("nyc-airports", tmp_path / "a.toml", given)
    assert (settings.window, settings.horizon) == (CATALOG["nyc-airports"].window, 3)
    assert settings.training == {"loss_scale": "channel", "epochs": 9}
    assert settings_for("nyc-airports", None, {}).training == {"loss_scale": "seasonal"}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("window", " 24 ", 24),
        ("lags", "24,168", (24, 168)),
        ("lags", "24/168", (24, 168)),
        ("split", "0.7, 0.1,0.2", (0.7, 0.1, 0.2)),
        ("null_value", "0", 0.0),
        ("null_value", "none", None),
        ("loss_scale", "series", "series"),
        ("learning_rate", "1e-3", 1e-3),
    ],
)
def test_text_becomes_a_value_of_the_option(name: str, text: str, value: Any) -> None:
    assert {**DATA, **TRAINING}[name].parsed(text) == value


def test_settings_after_an_at_are_those_of_one_data_set() -> None:
    address, own = split_address("a@b/speeds.npz@window=24,split=0.7/0.1/0.2,lags=24/168,epochs=3,null_value=0")
    assert address == "a@b/speeds.npz"
    assert own == {
        "window": 24,
        "split": (0.7, 0.1, 0.2),
        "lags": (24, 168),
        "null_value": 0.0,
        "training": {"epochs": 3},
    }


def test_every_option_that_changes_scores_can_stand_after_an_at() -> None:
    for name, row in TRAINING.items():
        default = "none" if row.default is None else row.default
        if row.compared:
            assert split_address(f"d.npz@{name}={default}")[1] == {"training": {name: row.default}}
        else:
            with pytest.raises(InputError, match="after the @"):
                split_address(f"d.npz@{name}={default}")


def test_an_at_in_a_name_is_no_settings() -> None:
    assert split_address("me@home.npz") == ("me@home.npz", {})


@pytest.mark.parametrize(
    "text", ["d.npz@windows=24", "d.npz@window=many", "d.npz@window=24,epochs", "d@split=a/b=c", "d@epochs=0"]
)
def test_options_of_data_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"expected (options of data such as horizon=12|window|split|epochs)"):
        split_address(text)


def test_options_of_a_model_after_an_at_have_the_type_of_the_option() -> None:
    name, options = split_model("elinformer@n_layers=2,dropout=0,patch_length=4,attention=softmax")
    assert name == "elinformer"
    assert options == {"n_layers": 2, "dropout": 0.0, "patch_length": 4, "attention": "softmax"}
    assert split_model("elinformer") == ("elinformer", {})


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("elinformer", {"attention": "hard"}),
        ("elinformer", {"n_layers": 0}),
        ("stid", {"dropout": 1.0}),
        ("dlinear", {"trend_length": 4}),
    ],
)
def test_a_value_that_a_model_cannot_have_is_refused_before_the_model_is_built(
    model: str, options: dict[str, Any]
) -> None:
    with pytest.raises(InputError, match=f"expected .*{next(iter(options))}"):
        check_model(model, options)


@pytest.mark.parametrize("name", OURS)
def test_sizes_of_the_task_are_no_options_of_a_model(name: str) -> None:
    assert not {"window", "horizon", "n_series", "n_slots"} & model_rows(name).keys()
    assert "window" in rows(MODELS[name].config)


def test_a_command_has_a_flag_for_each_option_and_receives_those_that_were_given() -> None:
    received: list[dict[str, Any]] = []

    @with_flags(flag_rows())
    def command(out: str, options: dict[str, Any] | None = None, overwrite: bool = False) -> None:
        received.append(options or {})

    assert list(inspect.signature(command).parameters) == ["out", *flag_rows(), "overwrite"]
    app = typer.Typer(rich_markup_mode=None)
    app.command()(command)
    app(["x", "--window", "24", "--lags", "24,168", "--loss-scale", "series"], standalone_mode=False)
    assert received == [{"window": 24, "lags": (24, 168), "loss_scale": "series"}]


def test_the_command_line_and_the_table_name_no_option() -> None:
    """A new option is one row: neither the commands nor the table have to be edited for it."""
    package = Path(inspect.getfile(Settings)).parent
    names = {**DATA, **TRAINING}.keys() - {"device", "seed", "start", "window", "horizon", "split"}
    for file in [package / "options.py", *(package / "cli").glob("*.py")]:
        found = {node.id for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Name)}
        assert not names & found, file


def test_the_page_of_all_options_is_current() -> None:
    root = Path(__file__).parents[1]
    made = runpy.run_path(str(root / "tools" / "options_page.py"))["page"]()
    assert (root / "docs" / "options.md").read_text(encoding="utf-8") == made, "run python tools/options_page.py"
