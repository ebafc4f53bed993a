"""Models of a comparison: names, options, classes of one's own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from elinformer.batch import Batch
from elinformer.comparison.contenders import DEFAULT_MODELS, make_contenders, registered
from elinformer.comparison.plan import Contender
from elinformer.errors import InputError
from elinformer.models import MODELS, Sizes, build_model


@pytest.fixture(autouse=True)
def _own_models_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(MODELS):
        monkeypatch.setitem(MODELS, name, MODELS[name])
    monkeypatch.delitem(sys.modules, "contestants", raising=False)


def test_the_usual_models_are_there() -> None:
    found = make_contenders(DEFAULT_MODELS)
    assert [contender.label for contender in found] == list(DEFAULT_MODELS)
    assert found[1] == Contender("elinformer@attention=softmax", "elinformer", {"attention": "softmax"})


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("elinformer@n_layers=two", "expected n_layers to be a whole number, got 'two'"),
        ("elinformer@layers=2", "expected options of elinformer such as .*, got 'layers=2': there are patch_length,"),
        ("elinformer@n_layers", "expected options of elinformer such as .*, got 'n_layers'"),
    ],
)
def test_options_after_an_at_that_a_model_cannot_have_are_refused(model: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_contenders([model])


def test_options_after_an_at_are_of_the_type_of_the_option() -> None:
    (found,) = make_contenders(["elinformer@n_layers=2,dropout=0,patch_length=4"])
    assert found.options == {"n_layers": 2, "dropout": 0.0, "patch_length": 4}


def test_a_label_can_stand_for_a_model_with_options() -> None:
    wide = {"name": "elinformer", "window_width": 96}
    found = make_contenders({"elinformer": {}, "wide": wide, "other": "stid"})
    assert found == [
        Contender("elinformer", "elinformer", {}),
        Contender("wide", "elinformer", {"window_width": 96}),
        Contender("other", "stid", {}),
    ]


@pytest.mark.parametrize(
    ("models", "words"),
    [
        ([], "one or more different models"),
        (["stid", "stid"], "one of them twice"),
        (["elinformed"], "expected a model out of .*elinformer.*last_value.*, nf:NAME or module:Class"),
        (["nf:DLinear"], "expected a peer out of nf:iTransformer"),
        ({"stid": {"n_leyers": 2}}, "expected model options out of .*n_leyers"),
        ({"stid": {"n_layers": 0}}, "expected n_layers of at least 1, got 0"),
        ({"hard": {"name": "elinformer", "attention": "hard"}}, "expected attention out of eala, .*, got 'hard'"),
        ({"last_value": {"period": 2}}, "expected no options for last_value"),
        ({"a/b": "stid"}, "a model's name of letters"),
        ([3], "a model's name or a class of torch.nn.Module"),
        ([nn.Linear(2, 2)], "a model's name or a class of torch.nn.Module"),
        (["nowhere:Model"], "can be imported as 'nowhere:Model'"),
        (["contestants:Nobody"], "can be imported as 'contestants:Nobody'"),
        (["contestants:VALUE"], "to be a class of torch.nn.Module"),
    ],
)
def test_models_that_are_not_there_are_refused(folder: Path, models: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make_contenders(models)


def test_a_class_in_a_module_gets_the_sizes_and_options_that_it_asks_for(folder: Path) -> None:
    make_contenders({"flat": {"name": "contestants:Flat", "hidden": 7}})
    sizes = Sizes(window=6, horizon=3, n_series=4, n_channels=2)
    model = build_model(registered("contestants:Flat"), sizes, {"hidden": 7})
    assert sum(p.numel() for p in model.parameters()) == 6 * 7 + 7 + 7 * 3 + 3
    values = torch.randn(2, 6, 4, 2)
    assert model(Batch(values, torch.ones_like(values, dtype=torch.bool))).shape == (2, 3, 4, 2, 1)


def test_an_option_that_a_class_of_ones_own_does_not_have_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="options out of hidden for contestants:Flat, got width"):
        make_contenders({"flat": {"name": "contestants:Flat", "width": 7}})


def test_a_class_can_be_passed_itself(folder: Path) -> None:
    import contestants  # pyright: ignore[reportMissingImports]

    (found,) = make_contenders([contestants.Flat])
    assert found == Contender("Flat", "contestants:Flat", {})


def test_a_class_that_no_other_process_can_import_is_refused() -> None:
    class Local(nn.Module): ...

    with pytest.raises(InputError, match="put it into a file of its own"):
        make_contenders([Local])


def test_a_class_that_registers_itself_is_used_by_that_name(folder: Path) -> None:
    Path("selfmade.py").write_text(
        "from dataclasses import dataclass\n"
        "from torch import nn\n"
        "from elinformer.models import register_model\n"
        "@dataclass\n"
        "class Config:\n"
        "    window: int\n"
        "@register_model('selfmade', Config)\n"
        "class Selfmade(nn.Module): ...\n",
        encoding="utf-8",
    )
    assert registered("selfmade:Selfmade") == "selfmade"
    (found,) = make_contenders(["selfmade"])
    assert found.name == "selfmade:selfmade", "a worker has to know what to import"
    assert registered(found.name) == "selfmade"
