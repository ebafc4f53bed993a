"""The Triton backend: its kernels' own tests in a process of their own, and whether they compile for GPUs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from elinformer.ops.eala import triton as backend

KERNEL_TESTS = [Path(__file__).with_name(name) for name in ("triton_kernels.py", "test_any_size.py")]
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"


def run_kernel_tests(selection):
    """Run the kernels' tests on the GPU, or without one in Triton's interpreter."""
    pytest.importorskip("triton", reason="needs triton")
    environment = dict(os.environ)
    if not torch.cuda.is_available():
        environment["TRITON_INTERPRET"] = "1"
    options = ["-q", "-k", "triton", "-p", "no:cacheprovider", "-m", selection]
    command = [sys.executable, "-m", "pytest", *map(str, KERNEL_TESTS), *options]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_kernels_pass_their_tests():
    run_kernel_tests("not slow")


@pytest.mark.slow
def test_the_kernels_pass_their_slow_tests():
    run_kernel_tests("slow")


def compiled(kernel, dtype, capability, *, is_scalar_one=False, **constants):
    """Compile a kernel for a GPU that need not be there; scalars that are 1 are constants for Triton."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource
    from triton.compiler import compile as compile_kernel

    signature, aligned = {}, {}
    for i, name in enumerate(kernel.arg_names):
        if name in constants:
            signature[name] = "constexpr"
        elif name.endswith("_ptr"):
            whole = name.removesuffix("_ptr") in {"state", "dstate", "part", "factor", "out"}
            signature[name] = "*u8" if name == "mask_ptr" else "*fp32" if whole else f"*{dtype}"
            aligned[i,] = [["tt.divisibility", 16]]
        elif is_scalar_one and name in {"heads", "length", "splits", "steps", "prefixes", "sums"}:
            signature[name], constants[name] = "constexpr", 1
        else:
            signature[name] = "fp32" if name == "scale" else "i32"
            if re.fullmatch(r"\w+_[bhn]", name) and not name.startswith("m_"):
                aligned[i,] = [["tt.divisibility", 16]]
    constants = {name: value for name, value in constants.items() if name in kernel.arg_names}
    warps = 4 if dtype != "fp32" and "causal" not in kernel.__name__ else 8
    options = {"num_warps": warps, "num_stages": 2}
    return compile_kernel(ASTSource(kernel, signature, constants, aligned), GPUTarget("cuda", capability, 32), options)


def kernels():
    from elinformer.ops.eala.triton import causal, full, states

    modules = (full, causal, states)
    return {name: kernel for m in modules for name, kernel in vars(m).items() if name.endswith("_kernel")}


COMPILED = [
    pytest.param(("bf16", 90, 16, "relu"), id="bf16-90-16-relu"),
    *(
        pytest.param(target, marks=pytest.mark.slow, id="-".join(map(str, target)))
        for target in [
            ("bf16", 80, 32, "identity"),
            ("fp16", 90, 64, "softplus"),
            ("fp32", 90, 32, "relu"),
            ("fp32", 80, 32, "softplus"),
        ]
    ),
]


@pytest.mark.skipif(INTERPRETED, reason="Triton compiles nothing where its interpreter is on")
@pytest.mark.parametrize("target", COMPILED)
def test_every_kernel_compiles_for_a_gpu(target, monkeypatch, tmp_path):
    dtype, capability, width, feature_map = target
    pytest.importorskip("triton", reason="needs triton")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    constants = {"E": width, "EV": width, "MAP": feature_map, "MASKED": True, "BLOCK": 32}
    constants |= {"PRECISION": "ieee" if dtype == "fp32" else "tf32", "ROWS": 4, "PARTS": 8, "SIZE": width * width}
    assert len(kernels()) == 9
    for name, kernel in kernels().items():
        binary = compiled(kernel, dtype, capability, is_scalar_one=width == 16, **constants)
        assert binary.asm["cubin"], name


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_nothing_but_a_gpu_runs_the_kernels_without_the_interpreter(device, monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert not backend.is_available(device)


def test_the_interpreter_makes_them_available_on_the_cpu(monkeypatch):
    pytest.importorskip("triton", reason="needs triton")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert backend.is_available("cpu")


@pytest.mark.parametrize(
    ("dtype", "e", "ev", "expected"),
    [
        (torch.float32, 128, 128, True),
        (torch.bfloat16, 1, 7, True),
        (torch.float16, 129, 8, False),
        (torch.float16, 8, 129, False),
        (torch.float64, 8, 8, False),
    ],
)
def test_supported_dtypes_and_head_dims(dtype, e, ev, expected):
    assert backend.supports(torch.empty(2, e, dtype=dtype), torch.empty(2, ev, dtype=dtype)) is expected


@pytest.mark.parametrize("length", [0, 1, 31, 32, 33, 1000, 100_000])
@pytest.mark.parametrize("heads", [1, 8, 4096])
@pytest.mark.parametrize("is_causal", [False, True])
def test_the_splits_hold_every_row_and_none_is_empty(length, heads, is_causal):
    from elinformer.ops.eala.triton.layout import PROGRAMS, split_of

    splits, steps, block = split_of(length, heads, block=32, is_causal=is_causal)
    assert (splits - 1) * steps * block < max(length, 1) <= splits * steps * block
    assert splits * heads <= max(PROGRAMS, heads)


def test_importing_the_backend_imports_no_triton():
    code = "import sys; import elinformer.ops.eala.triton; assert 'triton' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
