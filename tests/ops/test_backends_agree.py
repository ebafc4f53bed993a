"""Every backend against the quadratic reference: outputs and gradients, masks, layouts, dtypes."""

from __future__ import annotations

import itertools

import pytest
import torch

from elinformer.ops import eala_attention

LENGTHS = [1, 2, 63, 100, 300]


def inputs(lq, lk, e=8, ev=6, *, lead=(2, 3), dtype=torch.float64, offset=0.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = (lq, e), (lk, e), (lk, ev)
    q, k, v = (torch.randn(*lead, *shape, generator=generator, dtype=torch.float64) + offset for shape in shapes)
    return tuple(x.to(dtype).requires_grad_() for x in (q, k, v))


def outcome(tensors, **options):
    """Output and gradients, for a gradient that no symmetry hides."""
    output = eala_attention(*tensors, **options)
    weight = torch.linspace(-1, 2, output.numel(), dtype=torch.float64).sin().reshape(output.shape).to(output.dtype)
    return output, *torch.autograd.grad(output, tensors, weight)


def assert_all_close(got, expected, **tolerance):
    for ours, theirs in zip(got, expected, strict=True):
        torch.testing.assert_close(ours, theirs, **tolerance)


@pytest.mark.parametrize("feature_map", ["relu", "softplus", "identity"])
@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("length", LENGTHS)
def test_output_and_gradients_equal_the_references_in_float64(length, is_causal, feature_map, backend):
    tensors = inputs(length, length)
    mask = torch.rand(2, length, generator=torch.Generator().manual_seed(1)) < 0.7
    for key_mask in (None, mask):
        options = {"key_mask": key_mask, "is_causal": is_causal, "feature_map": feature_map}
        got = outcome(tensors, backend=backend, **options)
        assert_all_close(got, outcome(tensors, backend="reference", **options))


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize(("e", "ev"), [(1, 1), (3, 17), (16, 16), (20, 20), (33, 40), (128, 64)])
def test_any_head_dim_does_in_float32(e, ev, is_causal, backend):
    tensors = inputs(100, 100, e, ev, dtype=torch.float32)
    expected = outcome([x.double() for x in tensors], backend="reference", is_causal=is_causal)
    got = outcome(tensors, backend=backend, is_causal=is_causal)
    assert_all_close([x.double() for x in got], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("lq", "lk"), list(itertools.product([1, 40], [1, 2, 65])))
def test_queries_may_attend_to_other_keys(lq, lk, backend):
    tensors = inputs(lq, lk)
    assert_all_close(outcome(tensors, backend=backend), outcome(tensors, backend="reference"))


@pytest.mark.parametrize("is_causal", [False, True])
def test_leading_dimensions_broadcast_and_gradients_keep_their_shapes(is_causal, backend):
    q, k, v = inputs(9, 9)
    tensors = q[:1], k[:, :1], v[0, 0]
    mask = torch.rand(1, 3, 9, generator=torch.Generator().manual_seed(1)) < 0.7
    options = {"key_mask": mask, "is_causal": is_causal}
    assert_all_close(outcome(tensors, backend=backend, **options), outcome(tensors, backend="reference", **options))


@pytest.mark.parametrize("lead", [(), (3,), (2, 1, 2, 2)])
def test_any_number_of_leading_dimensions_does(lead, backend):
    tensors = inputs(9, 9, lead=lead)
    assert_all_close(outcome(tensors, backend=backend), outcome(tensors, backend="reference"))


@pytest.mark.parametrize("is_causal", [False, True])
def test_heads_split_from_a_wider_tensor_need_no_copy_to_be_right(is_causal, backend):
    packed = torch.randn(2, 50, 3 * 24, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    q, k, v = (x.unflatten(-1, (3, 8)).transpose(1, 2).requires_grad_() for x in packed.chunk(3, -1))
    got = outcome((q, k, v), backend=backend, is_causal=is_causal)
    assert_all_close(got, outcome((q, k, v), backend="reference", is_causal=is_causal))


def test_columns_that_do_not_lie_side_by_side_do(backend):
    q, k, v = (x.detach().mT.contiguous().mT.requires_grad_() for x in inputs(20, 20))
    assert_all_close(outcome((q, k, v), backend=backend), outcome((q, k, v), backend="reference"))


@pytest.mark.parametrize("is_causal", [False, True])
def test_masked_keys_and_values_may_be_nan_in_value_and_gradient(is_causal, backend):
    q, k, v = inputs(40, 40)
    mask = torch.rand(2, 40, generator=torch.Generator().manual_seed(1)) < 0.5
    options = {"key_mask": mask, "is_causal": is_causal, "backend": backend}
    hidden = ~mask[:, None, :, None]
    poisoned = q, *(x.detach().masked_fill(hidden, torch.nan).requires_grad_() for x in (k, v))
    assert_all_close(outcome(poisoned, **options), outcome((q, k, v), **options), rtol=0, atol=0)


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("feature_map", ["relu", "softplus", "identity"])
def test_a_query_that_sees_no_key_gets_zeros_and_gives_no_gradient(feature_map, is_causal, backend):
    tensors = inputs(5, 5)
    nothing = torch.zeros(2, 5, dtype=torch.bool)
    for result in outcome(tensors, key_mask=nothing, is_causal=is_causal, feature_map=feature_map, backend=backend):
        torch.testing.assert_close(result, torch.zeros_like(result))


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_errs_no_more_than_rounding_inputs_and_results_does(dtype, is_causal, backend):
    tensors = inputs(300, 300, dtype=dtype)
    exact = outcome([x.double() for x in tensors], backend="reference", is_causal=is_causal)
    for ours, theirs in zip(outcome(tensors, backend=backend, is_causal=is_causal), exact, strict=True):
        assert ours.dtype == dtype
        torch.testing.assert_close(ours.double(), theirs.to(dtype).double(), rtol=2 * torch.finfo(dtype).eps, atol=1e-3)


@pytest.mark.parametrize("is_causal", [False, True])
def test_an_offset_costs_no_more_digits_than_the_inputs_lost(is_causal, backend):
    tensors = inputs(400, 400, 16, 16, lead=(1, 1), dtype=torch.float32, offset=50.0)
    exact = outcome([x.double() for x in tensors], backend="reference", is_causal=is_causal)
    ours = outcome(tensors, backend=backend, is_causal=is_causal)
    v = tensors[2].double()
    count = torch.arange(1, 401, dtype=torch.float64)[:, None]
    mean = v.cumsum(-2) / count if is_causal else v.mean(-2, keepdim=True)
    rounding = torch.finfo(torch.float32).eps * exact[0].norm()
    assert (ours[0] - exact[0]).norm() <= 5e-4 * (exact[0] - mean).norm() + rounding
    for got, expected in zip(ours[1:], exact[1:], strict=True):
        assert (got - expected).norm() <= 1e-3 * expected.norm()


@pytest.mark.parametrize("offset", [1e2, 1e3])
def test_causal_keys_far_from_zero_cost_float32_no_digits(offset, backend):
    generator = torch.Generator().manual_seed(0)
    q, k, v = torch.randn(3, 2, 300, 16, generator=generator).unbind()
    options = {"feature_map": "identity", "is_causal": True}
    tensors = [x.requires_grad_() for x in (q, k + offset, v)]
    exact = outcome([x.double() for x in tensors], backend="reference", **options)
    for ours, theirs in zip(outcome(tensors, backend=backend, **options), exact, strict=True):
        assert (ours - theirs).abs().max() <= 4e-6 * theirs.abs().max()


@pytest.mark.parametrize("is_causal", [False, True])
def test_outputs_stay_in_the_hull_where_keys_differ_by_little_beside_their_size(is_causal, backend):
    generator = torch.Generator().manual_seed(1)
    k, v = 1e4 + 1e-3 * torch.randn(1, 60, 1, generator=generator), torch.randn(1, 60, 1, generator=generator)
    options = {"feature_map": "identity", "is_causal": is_causal, "backend": backend}
    for size in (1e4, -1e4):
        output = eala_attention(torch.full((1, 60, 1), size), k, v, **options)
        assert output.abs().max() <= v.abs().max() * (1 + 1e-5)


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf])
@pytest.mark.parametrize("which", ["query", "key", "value"])
@pytest.mark.parametrize("name", ["reference", "backend"])
def test_a_causal_row_that_is_not_finite_reaches_no_query_before_it(which, wrong, name, backend):
    tensors, at = inputs(150, 150), 140
    name = backend if name == "backend" else name
    clean = eala_attention(*tensors, is_causal=True, backend=name)
    spoilt = [x.detach().clone() for x in tensors]
    spoilt[["query", "key", "value"].index(which)][..., at, 1] = wrong
    output = eala_attention(*spoilt, is_causal=True, backend=name)
    torch.testing.assert_close(output[..., :at, :], clean[..., :at, :])
    if which != "query":
        assert not output[..., at:, 1].isfinite().any()
    elif wrong is torch.nan:
        assert output[..., at, :].isnan().all()
        torch.testing.assert_close(output[..., at + 1 :, :], clean[..., at + 1 :, :])


def test_gradients_of_causal_rows_that_see_no_nan_are_finite(backend):
    q, k, v = inputs(150, 150)
    at, expected = 140, outcome((q, k, v), backend="reference", is_causal=True)
    for spoilt in (k, v):
        leaves = [x.detach().clone() for x in (q, k, v)]
        leaves[1 if spoilt is k else 2][..., at, 1] = torch.nan
        leaves = [x.requires_grad_() for x in leaves]
        _, of_query, *_ = outcome(leaves, backend=backend, is_causal=True)
        torch.testing.assert_close(of_query[..., :at, :], expected[1][..., :at, :])
    leaves = [x.detach().clone() for x in (q, k, v)]
    leaves[0][..., at, 1] = torch.nan
    _, _, *of_keys = outcome([x.requires_grad_() for x in leaves], backend=backend, is_causal=True)
    for ours, theirs in zip(of_keys, expected[2:], strict=True):
        torch.testing.assert_close(ours[..., at + 1 :, :], theirs[..., at + 1 :, :])


LIMIT = {torch.float64: 1e307, torch.float32: 1e37, torch.bfloat16: 1e37}


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("feature_map", ["relu", "softplus", "identity"])
@pytest.mark.parametrize("dtype", LIMIT)
def test_products_of_keys_and_values_up_to_the_limit_stay_finite(dtype, feature_map, is_causal, backend):
    q, k, v = (x.detach() / x.abs().max() for x in inputs(200, 200, 64, 64))
    root = (LIMIT[dtype] / 200) ** 0.5
    for sizes in ((1.0, root, root), (1.0, root * 1e8, root / 1e8), (1e-6, root / 1e3, root * 1e3)):
        tensors = [(x * size).to(dtype).requires_grad_() for x, size in zip((q, k, v), sizes, strict=True)]
        output, *gradients = outcome(tensors, backend=backend, feature_map=feature_map, is_causal=is_causal)
        assert output.abs().max() <= tensors[2].abs().max() * (1 + 4 * torch.finfo(torch.float32).eps)
        assert all(x.isfinite().all() for x in (output, *gradients))


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("feature_map", ["relu", "softplus", "identity"])
@pytest.mark.parametrize(("dtype", "size"), [(torch.float64, 1e100), (torch.float32, 1e12), (torch.bfloat16, 1e12)])
def test_large_inputs_stay_finite_and_outputs_in_the_hull_of_the_values(dtype, size, feature_map, is_causal, backend):
    tensors = [x.detach() * size / x.abs().max() for x in inputs(200, 200, 64, 64)]
    tensors = [x.to(dtype).requires_grad_() for x in tensors]
    output, *gradients = outcome(tensors, backend=backend, feature_map=feature_map, is_causal=is_causal)
    assert output.abs().max() <= tensors[2].abs().max() * (1 + 4 * torch.finfo(torch.float32).eps)
    assert all(x.isfinite().all() for x in (output, *gradients))


def test_the_bound_of_the_certificate_has_slope_zero_where_a_query_is_zero(backend):
    q, k, v = inputs(40, 40, offset=3.0)
    zero = torch.arange(8) % 2 == 0
    q = (q.detach() * 10).masked_fill(zero, 0).requires_grad_()
    got = outcome((q, k, v), backend=backend, feature_map="identity")[1]
    centred = k - k.mean(-2, keepdim=True)
    margin = (q.relu() @ -centred.amin(-2)[..., None] + (-q).relu() @ centred.amax(-2)[..., None]) / 8**0.5
    frozen = margin.detach()  # where q is zero, as if c did not depend on it
    assert (frozen > 1).any()
    output = v.mean(-2, keepdim=True) + q / 8**0.5 @ centred.mT @ v / 40 / frozen.clamp_min(1)
    weight = torch.linspace(-1, 2, output.numel(), dtype=torch.float64).sin().reshape(output.shape)
    (expected,) = torch.autograd.grad(output, q, weight)
    torch.testing.assert_close(got[..., zero], expected[..., zero])


def test_every_backend_takes_the_references_gradient_where_causal_queries_are_zero(backend):
    q, k, v = inputs(40, 40, offset=3.0)
    tensors = (q.detach() * 10).masked_fill(torch.arange(8) % 2 == 0, 0).requires_grad_(), k, v
    options = {"feature_map": "identity", "is_causal": True}
    assert_all_close(outcome(tensors, backend=backend, **options), outcome(tensors, backend="reference", **options))
