"""The compiled kernel in a process: threads, forks, one OpenMP runtime, memory it did not write."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from elinformer.ops import backend_for, eala_attention
from elinformer.ops.eala import cpu

pytestmark = pytest.mark.skipif(
    backend_for(torch.zeros(1, 1)) != "cpu", reason="the CPU kernel has not been compiled: setup.py build_ext --inplace"
)
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def results(length=5000, *, lead=(1, 3), masked=True, **options):
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn(*lead, length, 16, generator=generator, requires_grad=True) for _ in range(3)]
    mask = torch.rand(lead[0], length, generator=generator) < 0.8 if masked else None
    output = eala_attention(*tensors, key_mask=mask, **options)
    return output, *torch.autograd.grad(output.sin().sum(), tensors)


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("number", [2, 5])
def test_any_number_of_threads_gives_one_result(number, is_causal, threads):
    threads(1)
    alone = results(is_causal=is_causal, backend="cpu")
    threads(number)
    for got, expected in zip(results(is_causal=is_causal, backend="cpu"), alone, strict=True):
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"feature_map": "softplus"}], ids=str)
def test_memory_it_was_given_uninitialised_reaches_no_result(options, number, threads):
    threads(number)
    clean = [results(4000, backend=backend, **options) for backend in ("cpu", "torch")]
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(mode=True)  # fills torch.empty with NaN
    try:
        assert torch.empty(3).isnan().all()
        poisoned = [results(4000, backend=backend, **options) for backend in ("cpu", "torch")]
    finally:
        torch.use_deterministic_algorithms(mode=before)
    for got, expected in zip(poisoned, clean, strict=True):
        for ours, theirs in zip(got, expected, strict=True):
            torch.testing.assert_close(ours, theirs)


RUN = """
import os, sys, torch
from elinformer.ops import eala_attention
def attend():
    x = torch.ones(8, 4, 1000, 16)
    before = len(os.listdir("/proc/self/task"))
    eala_attention(x, x, x, backend="cpu")
    return len(os.listdir("/proc/self/task")) - before
def runtimes():
    return {line.split()[-1] for line in open("/proc/self/maps") if "omp" in line.split()[-1].rpartition("/")[2]}
"""


def process(code):
    done = subprocess.run([sys.executable, "-c", RUN + code], capture_output=True, text=True, timeout=100, check=True)
    return done.stdout.split()


@LINUX
@pytest.mark.parametrize("number", [1, 3])
def test_its_threads_are_those_pytorch_has_already(number):
    code = f"torch.set_num_threads({number}); before = runtimes(); print(attend(), runtimes() == before)"
    assert process(code) == ["0", "True"]


@LINUX
def test_a_fork_after_threads_have_run_does_not_hang():
    code = """
torch.set_num_threads(2); attend()
x = torch.ones(8, 4, 1000, 16)  # made before: PyTorch's own parallel operators would hang in the child
child = os.fork()
if child == 0: eala_attention(x, x, x, backend="cpu"); os._exit(0)
print(os.waitpid(child, 0)[1])
"""
    assert process(code) == ["0"]


def test_a_kernel_that_was_not_compiled_is_refused_by_name_and_passed_over_by_auto(monkeypatch):
    monkeypatch.setattr(cpu, "_LIBRARY", None)
    assert backend_for(torch.zeros(1, 1)) == "torch"
    with pytest.raises(ValueError, match="not compiled"):
        results(10, backend="cpu")


def test_the_output_lies_in_memory_as_heads_split_from_a_wider_tensor_do():
    heads = torch.randn(2, 50, 32).unflatten(-1, (2, 16)).transpose(1, 2)
    output = eala_attention(heads, heads, heads, backend="cpu")
    assert output.transpose(1, 2).is_contiguous()
