"""Tests of EALA with a gradient through the bounds of the keys."""

from __future__ import annotations

import pytest
import torch

from elinformer.ops import eala_attention
from elinformer.ops.eala.through_bounds import eala_through_bounds


def tensors() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, 3, 7, 4, generator=generator, dtype=torch.float64) for _ in range(3)]


@pytest.mark.parametrize("feature_map", ["relu", "softplus", "identity"])
@pytest.mark.parametrize("masked", [False, True])
def test_the_output_is_that_of_the_operator(feature_map, masked):
    query, key, value = tensors()
    mask = torch.rand(2, 1, 7, generator=torch.Generator().manual_seed(1)) < 0.6 if masked else None
    if mask is not None:
        mask[1] = False  # no key at all
        key = key.masked_fill(~mask[..., None], torch.nan)
    options = {"key_mask": mask, "feature_map": feature_map}
    expected = eala_attention(query, key, value, **options)
    torch.testing.assert_close(eala_through_bounds(query, key, value, **options), expected)


@pytest.mark.parametrize("feature_map", ["softplus", "identity"])
def test_the_gradient_is_that_of_finite_differences(feature_map):
    inputs = [3 * x[:1, :1].requires_grad_() for x in tensors()]
    assert torch.autograd.gradcheck(lambda *x: eala_through_bounds(*x, feature_map=feature_map), inputs)


def test_causal_attention_is_refused():
    with pytest.raises(ValueError, match="is_causal"):
        eala_through_bounds(*tensors(), is_causal=True)
