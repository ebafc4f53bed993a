"""`elinformer compare`: what it understands, and what it refuses in one sentence."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from elinformer.__main__ import main
from elinformer.cli.comparing import models_and_settings
from elinformer.comparison.contenders import DEFAULT_MODELS
from elinformer.errors import InputError
from elinformer.options import in_tables

Cli = Callable[..., tuple[object, str]]


@pytest.fixture
def cli(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run `elinformer compare` in this process: its exit code, and what it wrote to standard error."""

    def run(*arguments: str) -> tuple[object, str]:
        monkeypatch.setattr(sys, "argv", ["elinformer", "compare", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code, capsys.readouterr().err

    return run


def toml(text: str) -> Path:
    Path("settings.toml").write_text(text, encoding="utf-8")
    return Path("settings.toml")


def said(**options: Any) -> dict[str, Any]:
    return in_tables(options)


def test_nothing_said_is_the_usual_models_and_no_settings(folder: Path) -> None:
    assert models_and_settings(None, None, said()) == ({name: {} for name in DEFAULT_MODELS}, {"training": {}})


def test_the_command_line_wins_over_the_file(folder: Path) -> None:
    config = toml('window = 24\nhorizon = 6\n[training]\nepochs = 50\nloss_scale = "series"\n')
    _, settings = models_and_settings("stid", config, said(window=12, split=(0.7, 0.1, 0.2), epochs=2))
    assert settings == {
        "window": 12,
        "horizon": 6,
        "split": (0.7, 0.1, 0.2),
        "training": {"epochs": 2, "loss_scale": "series"},
    }


def test_options_and_labels_of_models_come_from_the_file(folder: Path) -> None:
    config = toml('[models.wide]\nname = "elinformer"\nwindow_width = 96\n[models.stid]\nn_layers = 2\n')
    models, _ = models_and_settings("stid, wide,last_value", config, said())
    assert models == {"stid": {"n_layers": 2}, "wide": {"name": "elinformer", "window_width": 96}, "last_value": {}}


@pytest.mark.parametrize(
    ("models", "config", "words"),
    [
        ("stid,,none", "", "different models with commas between them"),
        ("stid,stid", "", "different models with commas between them"),
        ("stid", "models = 3", r"expected tables \[models.NAME\]"),
        ("stid", "[models]\nstid = 3", r"expected tables \[models.NAME\]"),
    ],
)
def test_models_that_cannot_be_meant_are_refused(folder: Path, models: str, config: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        models_and_settings(models, toml(config), said())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["d.npz", "--models", "elinformed"], "expected a model out of"),
        (["d.npz", "--models", "elinformer@attention=hard"], "expected attention out of eala"),
        (["nowhere.npz"], "no such file"),
        (["d.npz", "--seeds", "0"], "expected one or more different seeds"),
        (["d.npz@windows=24"], "expected options of data such as horizon=12"),
        (["d.npz", "--split", "0.6,0.4"], "expected a split of three fractions"),
        (["d.npz", "--precision", "half"], "expected precision out of auto, 32-true, bf16-mixed, got 'half'"),
        (["d.npz@precision=half"], "expected precision out of auto, 32-true, bf16-mixed, got 'half'"),
        (["d.npz", "--window", "300"], "shorten them or change the split"),
        (["d.npz", "--config", "nowhere.toml"], "expected a TOML file"),
        (["d.npz", "--out", "."], "holds other files: choose another"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_nothing_behind(cli: Cli, arguments: list[str], words: str) -> None:
    code, err = cli("--out", "out", *arguments)
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert words in err
    assert not Path("out").exists()
