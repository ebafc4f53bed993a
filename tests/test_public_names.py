"""Tests of the public names, and of the libraries that they import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import elinformer

if TYPE_CHECKING:
    from elinformer.data.panel import Panel
    from elinformer.forecaster import Forecaster

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
# torch, numpy and their requirements. The import of any other installed library is refused.
ALLOWED = {"elinformer", "torch", "torchgen", "functorch", "numpy", "lazy_loader", "filelock", "typing_extensions",
           "sympy", "mpmath", "networkx", "jinja2", "markupsafe", "fsspec"} | sys.stdlib_module_names

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if path is None and name.partition(".")[0] not in ALLOWED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Refuse())
"""

NO_LIGHTNING = "assert not {'pytorch_lightning', 'lightning_fabric', 'torch._dynamo'} & set(sys.modules)"

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
def test_every_public_name_exists_and_has_a_docstring(name: str) -> None:
    thing = getattr(elinformer, name)
    assert thing.__doc__
    assert thing.__module__.startswith("elinformer.")


def test_an_unknown_name_is_an_attribute_error() -> None:
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
def test_help_version_and_the_catalogue_need_neither_torch_nor_pandas(
    arguments: list[str], shown: str, tmp_path: Path
) -> None:
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
import torch
from elinformer.batch import Batch
from elinformer.models import ELinFormer, ELinFormerConfig
from elinformer.models.scaled import ScaledModel
from elinformer.nn import EntropyLinearAttention
from elinformer.ops import eala_attention
from elinformer.partition import PartitionedForecast
x = torch.randn(2, 5, 4, requires_grad=True)
eala_attention(x, x, x).sum().backward()
assert x.grad.isfinite().all()
EntropyLinearAttention(4, 2)(x, x, x)[0].sum().backward()
model = ELinFormer(ELinFormerConfig(window=4, horizon=2, n_series=5))
values = torch.randn(2, 4, 5, 1)
batch = Batch(values, torch.ones_like(values, dtype=torch.bool))
model(batch).sum().backward()
scaled = ScaledModel(model, torch.zeros(5, 1), torch.ones(5, 1)).eval()
torch.testing.assert_close(PartitionedForecast(scaled, 2)(batch), scaled(batch))
try:
    import elinformer.forecaster
except ModuleNotFoundError:
    print("the forecaster needs more")
"""
    assert python(code, tmp_path).strip() == "the forecaster needs more"


def test_forecasting_from_a_loaded_run_imports_neither_lightning_nor_torch_dynamo(
    trained: Forecaster, hourly_panel: Panel, tmp_path: Path
) -> None:
    trained.save(tmp_path / "run")
    np.save(tmp_path / "values.npy", hourly_panel.values)
    code = f"""
import sys
import numpy as np
from elinformer.data.panel import Panel
from elinformer.forecaster import Forecaster
panel = Panel.from_arrays(
    np.load("values.npy"), start="2024-01-01", freq="1h", series=list("abcd"), channels=["flow"], name="hourly"
)
frame = Forecaster.load("run").predict(panel)
assert np.isfinite(frame["elinformer"]).all()
print(len(frame))
{NO_LIGHTNING}
"""
    assert python(code, tmp_path).strip() == "12"


def test_the_workflows_check_a_data_file_without_torch(tmp_path: Path) -> None:
    (tmp_path / "broken.npz").write_bytes(b"no archive")
    code = """
import sys
from elinformer.errors import InputError
from elinformer.options import Settings
from elinformer.workflows import train_run
for data in ("missing.csv", "broken.npz"):
    try:
        train_run(data, "run", Settings())
    except InputError as error:
        print(error)
assert "torch" not in sys.modules
"""
    missing, broken = python(code, tmp_path).splitlines()
    assert "no such file" in missing
    assert "broken.npz" in broken
