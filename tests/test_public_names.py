"""The public names, and what importing them costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import elinformer

NAMES = [
    "ELinFormer",
    "ELinFormerConfig",
    "EntropyLinearAttention",
    "Forecaster",
    "InputError",
    "KeyState",
    "Panel",
    "attention_entropy",
    "compare",
    "eala_attention",
    "load_dataset",
    "read_panel",
    "simulate_freeway",
    "swap_attention",
]

BLOCK = """
import importlib.abc, sys
# torch and numpy with what they themselves require; everything else that is installed is refused.
ALLOWED = {"elinformer", "torch", "torchgen", "functorch", "numpy", "lazy_loader", "filelock", "typing_extensions",
           "sympy", "mpmath", "networkx", "jinja2", "markupsafe", "fsspec"} | sys.stdlib_module_names

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if path is None and name.partition(".")[0] not in ALLOWED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Refuse())
"""

HEAVY = "assert not {'torch', 'pandas', 'pyarrow', 'pytorch_lightning'} & set(sys.modules), sorted(sys.modules)"


def python(code: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=cwd, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_public_names_are_these() -> None:
    assert sorted(elinformer.__all__) == NAMES
    assert set(NAMES) <= set(dir(elinformer))
    assert elinformer.__version__


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_there_and_says_what_it_is(name: str) -> None:
    thing = getattr(elinformer, name)
    assert thing.__doc__
    assert thing.__module__.startswith("elinformer.")


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="No elinformer attribute Elinformer"):
        _ = elinformer.Elinformer  # pyright: ignore[reportAttributeAccessIssue]


def test_importing_the_package_imports_neither_torch_nor_pandas(tmp_path: Path) -> None:
    python(f"import sys, elinformer, elinformer.data\n{HEAVY}\nassert 'numpy' not in sys.modules", tmp_path)


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["--help"], "train"),
        (["--version"], elinformer.__version__),
        (["train", "--help"], "--horizon"),
        (["compare", "--help"], "--models"),
        (["datasets"], "nyc-airports"),
    ],
)
def test_the_command_answers_without_torch_and_pandas(arguments: list[str], shown: str, tmp_path: Path) -> None:
    code = f"""
import sys
sys.argv = ["elinformer", *{arguments}]
from elinformer.__main__ import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
{HEAVY}
"""
    assert shown in python(code, tmp_path)


def test_operators_layers_and_models_need_torch_and_numpy_alone(tmp_path: Path) -> None:
    code = f"""{BLOCK}
import elinformer.ops, elinformer.nn, elinformer.models, torch
from elinformer import ELinFormer, ELinFormerConfig, eala_attention
from elinformer.batch import Batch
x = torch.randn(2, 5, 4, requires_grad=True)
eala_attention(x, x, x).sum().backward()
assert x.grad.isfinite().all()
model = ELinFormer(ELinFormerConfig(window=4, horizon=2, n_series=5))
values = torch.randn(2, 4, 5, 1)
model(Batch(values, torch.ones_like(values, dtype=torch.bool))).sum().backward()
try:
    import elinformer.forecaster
except ModuleNotFoundError:
    print("the rest needs more")
"""
    assert python(code, tmp_path).strip() == "the rest needs more"
