"""The backends every test of the operator runs on."""

from __future__ import annotations

import pytest
import torch

from elinformer.ops import backend_for
from elinformer.ops.eala import cpu

COMPILED = backend_for(torch.zeros(1, 1)) == "cpu"


@pytest.fixture(params=["torch", *(f"cpu {name}" for name in cpu.INSTRUCTION_SETS)])
def backend(request, monkeypatch):
    """Plain PyTorch, and the kernel for each instruction set (at most; a processor without it runs the next)."""
    name, _, instructions = request.param.partition(" ")
    if name == "cpu":
        if not COMPILED:
            pytest.skip("the CPU kernel has not been compiled: python setup.py build_ext --inplace")
        monkeypatch.setattr(cpu, "_best", cpu.INSTRUCTION_SETS.index(instructions))
    return name
