"""Weights, theta and entropies against the quadratic reference."""

from __future__ import annotations

import pytest
import torch

from elinformer.ops import attention_entropy, eala_theta, eala_weights
from elinformer.ops.eala.reference import eala_reference

OPTIONS = [(m, c) for m in ("relu", "softplus", "identity") for c in (False, True)]


def inputs(length=200, *, spread=1.0, dtype=torch.float64):
    q, k = torch.randn(2, 2, 3, length, 8, generator=torch.Generator().manual_seed(7), dtype=torch.float64) * spread
    mask = torch.rand(2, length, generator=torch.Generator().manual_seed(1)) < 0.8
    return q.to(dtype), k.to(dtype), mask


@pytest.mark.parametrize(("feature_map", "is_causal"), OPTIONS)
def test_weights_and_theta_equal_the_references(feature_map, is_causal):
    q, k, mask = inputs()
    options = {"scale": 0.6, "feature_map": feature_map, "is_causal": is_causal}
    exact = eala_reference(q, k, k, key_mask=mask[:, None], **options)
    torch.testing.assert_close(eala_weights(q, k, key_mask=mask, **options), exact.weights)
    torch.testing.assert_close(eala_theta(q, k, key_mask=mask, **options), exact.theta.squeeze(-1))


@pytest.mark.parametrize("kind", ["eala", "softmax"])
@pytest.mark.parametrize(("feature_map", "is_causal"), OPTIONS)
def test_entropies_of_mild_scores_are_exact_to_second_order(feature_map, is_causal, kind):
    q, k, mask = inputs(spread=0.1)
    options = {"feature_map": feature_map, "is_causal": is_causal}
    exact = exact_entropy(q, k, mask, kind=kind, **options)
    got, clamped = attention_entropy(q, k, kind=kind, key_mask=mask, **options, return_clamped=True)
    largest = (
        (mask[:, None].expand(2, 3, 200).cumsum(-1) if is_causal else mask[:, None].sum(-1, True)).clamp_min(1).log()
    )
    assert (got - exact).norm() <= 0.05 * (largest - exact).norm()
    assert not clamped.any()


def exact_entropy(q, k, mask, *, kind, feature_map, is_causal):
    weights = eala_reference(q, k, k, key_mask=mask[:, None], feature_map=feature_map, is_causal=is_causal).weights
    if kind == "softmax":
        phi = {"relu": torch.relu, "softplus": torch.nn.functional.softplus, "identity": lambda x: x}[feature_map]
        seen = mask[:, None, None].expand(*weights.shape)
        seen = seen.tril() if is_causal else seen
        scores = phi(q) @ phi(k).mT * q.shape[-1] ** -0.5
        some = seen.any(-1, keepdim=True)
        weights = scores.masked_fill(~seen & some, -torch.inf).softmax(-1).masked_fill(~some, 0)
    return torch.special.entr(weights).sum(-1)


def test_one_outlier_takes_the_second_order_below_zero_and_the_clamp_says_so():
    q, k, _ = inputs()
    k[..., 0, :] = 300.0
    entropy, clamped = attention_entropy(q, k, kind="softmax", return_clamped=True)
    assert clamped.any()
    assert (entropy[clamped] == 0).all()
    assert torch.equal(attention_entropy(q, k, kind="softmax"), entropy)


def test_no_key_has_entropy_zero():
    q, k, mask = inputs()
    assert (attention_entropy(q, k, key_mask=torch.zeros_like(mask)) == 0).all()
    assert (attention_entropy(q, k[..., :0, :]) == 0).all()


@pytest.mark.parametrize("is_causal", [False, True])
def test_an_offset_of_a_hundred_leaves_float32_entropies_as_they_are(is_causal):
    q, k, _ = inputs(dtype=torch.float32)
    exact = attention_entropy(q.double(), k.double() + 100, is_causal=is_causal)
    got = attention_entropy(q, k + 100, is_causal=is_causal)
    torch.testing.assert_close(got.double(), exact, rtol=0, atol=1e-3)


@pytest.mark.skipif(hasattr(eala_weights, "__wrapped__"), reason="the type checks speak first")
def test_an_unknown_kind_is_refused():
    q, k, _ = inputs()
    with pytest.raises(ValueError, match="eala or softmax, got 'linear'"):
        attention_entropy(q, k, kind="linear")
