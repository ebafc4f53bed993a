"""The attention on tensors of any size, layout, scale and mask: one result on every backend, in the values' hull."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from fuzzing import tries
from torch import Tensor

from elinformer.ops import eala_attention
from elinformer.ops.eala import cpu

ROUNDINGS = 16
"""Roundings of the largest value by which an output may lie outside the hull: sums are rounded, as any sum is."""
BACKENDS = ["torch", *([] if cpu.why_not(torch.zeros(1, 1)) else ["cpu"])]


@pytest.fixture
def threads() -> Any:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def laid_out(draw: random.Random, x: Tensor) -> Tensor:
    """Return a tensor of the same values with another layout in memory."""
    kind = draw.choice(["as it is", "columns first", "part of a wider one", "every second row", "of one row"])
    if kind == "columns first":
        return x.mT.contiguous().mT
    if kind == "part of a wider one":
        wide = torch.full((*x.shape[:-1], x.shape[-1] + 5), torch.nan, dtype=x.dtype)
        wide[..., 2 : 2 + x.shape[-1]] = x
        return wide[..., 2 : 2 + x.shape[-1]]
    if kind == "every second row":
        double = torch.full((*x.shape[:-2], 2 * x.shape[-2], x.shape[-1]), torch.nan, dtype=x.dtype)
        double[..., ::2, :] = x
        return double[..., ::2, :]
    if kind == "of one row" and x.shape[-2]:
        return x[..., :1, :].expand(x.shape)
    return x


def drawn(draw: random.Random) -> tuple[list[Tensor], dict[str, Any]]:
    """Query, key and value in float64, and options."""
    generator = torch.Generator().manual_seed(draw.randrange(1 << 30))
    lead = draw.choice([(), (1,), (3,), (0,), (2, 3), (2, 0), (1, 2, 2)])
    lengths, widths = [0, 1, 2, 7, 16, 33, 130, 700], [0, 1, 3, 4, 8, 16, 17, 40]
    is_causal = draw.random() < 0.4
    lk, e, ev = draw.choice(lengths), draw.choice(widths), draw.choice(widths)
    lq = lk if is_causal else draw.choice(lengths)
    sizes, offset = [10.0 ** draw.choice([-6, -1, 0, 0, 0, 2]) for _ in range(3)], draw.choice([0.0, 0.0, 1.0, -30.0])
    shapes = (lq, e), (lk, e), (lk, ev)
    tensors = [
        size * (torch.randn(*lead, *shape, generator=generator, dtype=torch.float64) + offset)
        for size, shape in zip(sizes, shapes, strict=True)
    ]
    tensors = [laid_out(draw, x) for x in tensors]
    share = draw.choice([None, None, 0.0, 0.5, 1.0])
    mask = None if share is None else torch.rand(*lead, lk, generator=generator) < share
    maps = ["relu", "softplus", "identity"]
    return tensors, {"key_mask": mask, "is_causal": is_causal, "feature_map": draw.choice(maps)}


def outcome(tensors: list[Tensor], **options: Any) -> list[Tensor]:
    leaves = [x.detach().requires_grad_() for x in tensors]
    output = eala_attention(*leaves, **options)
    return [output.detach(), *torch.autograd.grad(output.sum(), leaves)]


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_backend_equals_the_reference(backend: str, threads: Any) -> None:
    for draw in tries(f"operator {backend}", 120):
        threads(draw.randint(1, 4))
        tensors, options = drawn(draw)
        expected = outcome(tensors, backend="reference", **options)
        q, k, v = (float(x.abs().max()) if x.numel() else 0.0 for x in tensors)
        rows = max(1, tensors[0].shape[-2] * tensors[2].shape[-1])  # whose gradients are added
        units = v, rows * k * v, rows * q * v, rows  # of output and gradients: a sum of them may cancel to zero
        for ours, theirs, unit in zip(outcome(tensors, backend=backend, **options), expected, units, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-10 * unit)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_outputs_lie_in_the_hull_and_masked_keys_may_hold_anything(
    backend: str, dtype: torch.dtype, threads: Any
) -> None:
    for draw in tries(f"hull {backend} {dtype}", 60):
        threads(draw.randint(1, 4))
        tensors, options = drawn(draw)
        q, k, v = (x.to(dtype) for x in tensors)
        mask = options["key_mask"]
        clean = eala_attention(q, k, v, backend=backend, **options)
        assert clean.isfinite().all()
        seen = v if mask is None else v.masked_fill(~mask[..., None], 0)
        largest = float(seen.double().abs().max()) if seen.numel() else 0.0
        assert (clean.double().abs() <= largest * (1 + ROUNDINGS * torch.finfo(dtype).eps) + 1e-30).all()
        if mask is not None:
            poison = draw.choice([torch.nan, torch.inf, -torch.inf])
            k, v = (x.masked_fill(~mask[..., None], poison) for x in (k, v))
            assert torch.equal(eala_attention(q, k, v, backend=backend, **options), clean)
