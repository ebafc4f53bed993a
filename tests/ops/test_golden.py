"""The conformance cases of tests/golden/eala_cases.npz, output and gradients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from elinformer import eala_attention
from elinformer.ops.reference import eala_reference

CASES = np.load(Path(__file__).parents[1] / "golden" / "eala_cases.npz")
PLAIN = [i for i in range(int(CASES["n_cases"])) if not CASES[f"case{i:02d}_is_causal"]]
ALL = list(range(int(CASES["n_cases"])))


def load(case: int, dtype: torch.dtype = torch.float64) -> dict[str, torch.Tensor]:
    prefix = f"case{case:02d}_"
    names = [name.removeprefix(prefix) for name in CASES.files if name.startswith(prefix)]
    numbers = {n: torch.from_numpy(CASES[prefix + n]) for n in names if n not in {"feature_map", "is_causal"}}
    return {n: x.to(dtype) if x.is_floating_point() else x for n, x in numbers.items()}


def options(case: int) -> dict[str, object]:
    return {"feature_map": str(CASES[f"case{case:02d}_feature_map"])}


def run(attend, case: int, dtype: torch.dtype = torch.float64, **more):
    data = load(case, dtype)
    q, k, v = (data[n].requires_grad_() for n in "qkv")
    output = attend(q, k, v, key_mask=data["key_mask"], **options(case), **more)
    output.backward(data["grad_out"])
    return data, output.detach(), (q.grad, k.grad, v.grad)


@pytest.mark.parametrize("case", PLAIN)
def test_output_and_gradients_equal_the_golden_ones_in_float64(case):
    data, output, gradients = run(eala_attention, case)
    torch.testing.assert_close(output, data["out"], rtol=1e-10, atol=1e-10)
    for name, gradient in zip("qkv", gradients, strict=True):
        torch.testing.assert_close(gradient, data[f"grad_{name}"], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("case", PLAIN)
def test_output_in_float32_errs_little_beside_what_attention_adds(case):
    data, output, _ = run(eala_attention, case, torch.float32)
    exact, mask = load(case)["out"], data["key_mask"][:, None, :, None]
    v = load(case)["v"]
    mean = (v * mask).sum(-2, keepdim=True) / mask.sum(-2, keepdim=True)
    added = (exact - mean).norm()
    error = (output.double() - exact).norm()
    assert error <= 5e-4 * added + 1e-6 * exact.norm() * (added == 0)


@pytest.mark.parametrize("case", ALL)
def test_the_reference_gives_the_golden_output_weights_and_theta(case):
    data, is_causal = load(case), bool(CASES[f"case{case:02d}_is_causal"])
    mask = data["key_mask"][:, None]
    got = eala_reference(data["q"], data["k"], data["v"], key_mask=mask, is_causal=is_causal, **options(case))
    torch.testing.assert_close(got.output, data["out"], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(got.weights, data["weights"], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(got.theta.squeeze(-1), data["theta"], rtol=1e-10, atol=1e-10)
