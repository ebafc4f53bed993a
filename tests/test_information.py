"""`elinformer info`: an installation for a bug report, a panel on disk, and the check of all that a folder holds."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from offset_task import OffsetModel, OffsetTask
from rich.console import Console

from elinformer import _processor
from elinformer.comparison.machine import describe_installation
from elinformer.data.io.folder import write_panel
from elinformer.data.panel import Panel
from elinformer.errors import InputError
from elinformer.forecaster import Forecaster
from elinformer.ops import backend_for
from elinformer.ops.eala import cpu, triton
from elinformer.run_folder.checkpoints import CheckpointFolder
from elinformer.workflows import information


def test_an_installation_tells_versions_processor_and_the_kernel_that_runs() -> None:
    document = json.loads(json.dumps(describe_installation()))
    assert document["versions"]["torch"] == torch.__version__.partition("+")[0] or document["versions"]["torch"]
    assert document["threads"] == torch.get_num_threads()
    assert ("C kernel" in document["attention_on_cpu"]) == (backend_for(torch.zeros(1, 1)) == "cpu")


def test_an_installation_without_the_kernel_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "_LIBRARY", None)
    assert "compiler" in describe_installation()["attention_on_cpu"]


def test_triton_says_why_it_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(triton, "version", lambda _: "3.5.0")
    assert "GPU" in str(triton.why_not("cpu"))
    with pytest.raises(ValueError, match="GPU"):
        backend_for(torch.zeros(1, 1), backend="triton")
    monkeypatch.setattr(triton, "version", lambda _: "2.0.0")
    assert "2.0.0" in str(triton.why_not("cpu"))


def test_without_a_c_compiler_plain_pytorch_runs_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton, "version", lambda _: "3.5.0")
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    for has_compiler in (True, False):
        monkeypatch.setattr(triton, "has_compiler", lambda found=has_compiler: found)
        assert triton.is_available("cuda") is has_compiler
    assert "compiler" in str(triton.why_not("cuda"))


@pytest.mark.parametrize("features", [frozenset({"avx2"}), frozenset({"avx512_bf16"}), frozenset()], ids=str)
def test_a_precision_that_is_emulated_gets_a_sentence(
    features: frozenset[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_processor, "processor_features", lambda: features)
    screen = io.StringIO()
    options = {"epochs": 1, "precision": "bf16-mixed", "device": "cpu"}
    OffsetTask(options=options).fit(OffsetModel(1.0), console=Console(file=screen))
    assert ("emulated" in screen.getvalue()) == ("avx2" in features)


def test_a_panel_is_described_and_its_check_finds_what_opening_does_not(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(3000, 40)).astype(np.float32)
    write_panel(Panel.from_arrays(values, start="2024-01-01", freq="1h"), tmp_path / "panel")
    assert information(tmp_path / "panel", check=True)["shape"] == [3000, 40, 1]
    array = np.load(tmp_path / "panel/values.npy", mmap_mode="r+")
    array.reshape(-1)[2000] += 1
    array.flush()
    assert information(tmp_path / "panel")["freq"] == "1h"
    with pytest.raises(InputError, match="fingerprint"):
        information(tmp_path / "panel", check=True)


def test_the_check_of_a_run_reads_its_checkpoints(trained: Forecaster, tmp_path: Path) -> None:
    trained.save(tmp_path / "run")
    folder = CheckpointFolder(tmp_path / "run" / "checkpoints")
    folder.write(1, {"position": {"step": 1}})
    assert information(tmp_path / "run", check=True)["parameters"] == trained.n_parameters
    folder.files()[0].write_bytes(b"damaged")
    information(tmp_path / "run")
    with pytest.raises(InputError, match="checkpoint"):
        information(tmp_path / "run", check=True)
