"""The conformance cases of tests/golden/eala_cases.npz, output and gradients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from elinformer import eala_attention
from elinformer.ops.eala.reference import eala_reference

CASES = np.load(Path(__file__).parents[1] / "golden" / "eala_cases.npz")
ALL = list(range(int(CASES["n_cases"])))


def load(case: int, dtype: torch.dtype = torch.float64) -> dict[str, torch.Tensor]:
    prefix = f"case{case:02d}_"
    names = [name.removeprefix(prefix) for name in CASES.files if name.startswith(prefix)]
    numbers = {n: torch.from_numpy(CASES[prefix + n]) for n in names if n not in {"feature_map", "is_causal"}}
    return {n: x.to(dtype) if x.is_floating_point() else x for n, x in numbers.items()}


def options(case: int) -> dict[str, object]:
    prefix = f"case{case:02d}_"
    return {"feature_map": str(CASES[prefix + "feature_map"]), "is_causal": bool(CASES[prefix + "is_causal"])}


def run(attend, case: int, dtype: torch.dtype = torch.float64, **more):
    data = load(case, dtype)
    q, k, v = (data[n].requires_grad_() for n in "qkv")
    output = attend(q, k, v, key_mask=data["key_mask"], **options(case), **more)
    output.backward(data["grad_out"])
    return data, output.detach(), (q.grad, k.grad, v.grad)


@pytest.mark.parametrize("case", ALL)
def test_output_and_gradients_equal_the_golden_ones_in_float64(case, backend):
    data, output, gradients = run(eala_attention, case, backend=backend)
    torch.testing.assert_close(output, data["out"], rtol=1e-10, atol=1e-10)
    for name, gradient in zip("qkv", gradients, strict=True):
        torch.testing.assert_close(gradient, data[f"grad_{name}"], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("case", ALL)
def test_output_in_float32_errs_little_beside_what_attention_adds(case, backend):
    data, output, _ = run(eala_attention, case, torch.float32, backend=backend)
    exact, v = load(case)["out"], load(case)["v"]
    mask = data["key_mask"][:, None, :, None]
    mean = (v * mask).cumsum(-2) / mask.cumsum(-2).clamp_min(1)
    mean = mean if options(case)["is_causal"] else mean[..., -1:, :]
    added = (exact - mean).norm()
    error = (output.double() - exact).norm()
    assert error <= 5e-4 * added + 1e-6 * exact.norm() * (added == 0)


@pytest.mark.parametrize("case", ALL)
def test_the_reference_gives_the_golden_weights_and_theta(case):
    data = load(case)
    got = eala_reference(data["q"], data["k"], data["v"], key_mask=data["key_mask"][:, None], **options(case))
    torch.testing.assert_close(got.weights, data["weights"], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(got.theta.squeeze(-1), data["theta"], rtol=1e-10, atol=1e-10)
