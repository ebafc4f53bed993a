"""The Triton kernels against the quadratic reference, on a GPU or in Triton's interpreter.

`test_triton.py` runs this file in a process of its own, because Triton decides on its interpreter once, when it is
first imported. By hand: TRITON_INTERPRET=1 pytest tests/ops/triton_kernels.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from elinformer.ops.eala import eager
from elinformer.ops.eala import triton as backend
from elinformer.ops.eala.key_state import KeyState
from elinformer.ops.eala.partitioned import StateExchange, WholeExchange, partitioned_attention
from elinformer.ops.eala.reference import eala_reference
from elinformer.ops.eala.triton import layout

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
CASES = np.load(Path(__file__).parents[1] / "golden" / "eala_cases.npz")
LARGE_SCALE = 2.0  # with scores this large, some queries have c = 1 and some more


@pytest.fixture(autouse=True)
def poisoned_memory():
    """Whatever is allocated without being written holds NaN."""
    torch.use_deterministic_algorithms(True)
    assert torch.utils.deterministic.fill_uninitialized_memory
    yield
    torch.use_deterministic_algorithms(False)


def inputs(lq, lk, e=8, ev=6, *, lead=(1, 2), dtype=torch.float32, offset=0.0):
    """Query, key, value and a gradient of the output; drawn on the CPU, so alike everywhere."""
    generator = torch.Generator().manual_seed(lq + lk + e)
    shapes = (lq, e), (lk, e), (lk, ev), (lq, ev)
    q, k, v, g = (torch.randn(*lead, *shape, generator=generator) for shape in shapes)
    return tuple(x.to(DEVICE, dtype) for x in (q, k + offset, v + offset, g))


def some_keys(*shape, share=0.6):
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(7)) < share).to(DEVICE)


def kernels(q, k, v, g, mask=None, *, scale=None, feature_map="relu", is_causal=False):
    options = (mask, q.shape[-1] ** -0.5 if scale is None else scale)
    output, state = backend.forward(q, k, v, *options, feature_map, is_causal)
    return output, *backend.backward(g, q, k, v, options[0], state, options[1], feature_map, is_causal)


def reference(q, k, v, g, mask=None, *, dtype=torch.float64, scale=None, feature_map="relu", is_causal=False):
    q, k, v = (x.to(dtype, copy=True).requires_grad_() for x in (q, k, v))
    output = eala_reference(q, k, v, key_mask=mask, is_causal=is_causal, scale=scale, feature_map=feature_map).output
    return output.detach(), *torch.autograd.grad(output, (q, k, v), g.to(dtype))


def assert_all_close(got, expected, **tolerance):
    for ours, theirs in zip(got, expected, strict=True):
        torch.testing.assert_close(ours, theirs.to(ours.dtype), **tolerance)


@pytest.mark.parametrize("case", range(int(CASES["n_cases"])))
def test_output_and_gradients_equal_the_golden_ones(case):
    names = ("q", "k", "v", "grad_out", "key_mask", "out", "grad_q", "grad_k", "grad_v")
    q, k, v, g, mask, *expected = (torch.from_numpy(CASES[f"case{case:02d}_{name}"]).to(DEVICE) for name in names)
    options = {"feature_map": str(CASES[f"case{case:02d}_feature_map"])}
    options["is_causal"] = bool(CASES[f"case{case:02d}_is_causal"])
    mask = mask[:, None].expand(*k.shape[:-1])
    got = kernels(q.float(), k.float(), v.float(), g.float(), mask, **options)
    assert_all_close(got, expected)
    if not options["is_causal"]:
        shown = mask[..., None]
        added = (expected[0] - (v * shown).sum(-2, keepdim=True) / shown.sum(-2, keepdim=True)).norm()
        assert (got[0].double() - expected[0]).norm() <= 5e-4 * added + 1e-6 * expected[0].norm() * (added == 0)


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("feature_map", ["relu", "softplus", "identity"])
def test_every_feature_map_equals_the_reference_with_and_without_a_mask(feature_map, is_causal):
    tensors = inputs(40, 40, lead=(1, 1))
    for mask in (None, some_keys(1, 1, 40)):
        options = {"feature_map": feature_map, "is_causal": is_causal, "scale": LARGE_SCALE}
        assert_all_close(kernels(*tensors, mask, **options), reference(*tensors, mask, **options))


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("length", [1, 2, 63, 100, pytest.param(1000, marks=pytest.mark.slow)])
def test_every_length_equals_the_reference(length, is_causal):
    tensors, mask = inputs(length, length, lead=(1, 1)), some_keys(1, 1, length)
    assert_all_close(kernels(*tensors, mask, is_causal=is_causal), reference(*tensors, mask, is_causal=is_causal))


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("programs", [2, 4])
def test_programs_that_walk_over_several_blocks_equal_the_reference(programs, is_causal, monkeypatch):
    monkeypatch.setattr(layout, "PROGRAMS", programs)
    tensors = inputs(120, 120, lead=(1, 1))
    options = {"is_causal": is_causal, "scale": LARGE_SCALE}
    mask = some_keys(1, 1, 120)
    assert_all_close(kernels(*tensors, mask, **options), reference(*tensors, mask, **options))


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize(
    ("e", "ev"), [(1, 1), (3, 17), (20, 33), pytest.param(128, 64, marks=pytest.mark.slow), (16, 128)]
)
def test_every_head_dim_equals_the_reference(e, ev, is_causal):
    tensors = inputs(40, 40, e, ev, lead=(1, 1))
    assert_all_close(kernels(*tensors, is_causal=is_causal), reference(*tensors, is_causal=is_causal))


@pytest.mark.parametrize(("lq", "lk"), [(1, 70), (70, 1), (5, 130)])
def test_queries_may_attend_to_other_keys(lq, lk):
    tensors = inputs(lq, lk)
    assert_all_close(kernels(*tensors), reference(*tensors))


@pytest.mark.parametrize("is_causal", [False, True])
def test_an_offset_common_to_all_keys_and_values_cancels(is_causal):
    tensors = inputs(100, 100, lead=(1, 1), offset=50.0)
    output, expected = kernels(*tensors, is_causal=is_causal)[0], reference(*tensors, is_causal=is_causal)[0]
    v = tensors[2].double()
    count = torch.arange(1, 101, device=DEVICE)[:, None]
    mean = v.cumsum(-2) / count if is_causal else v.mean(-2, keepdim=True)
    assert (output.double() - expected).norm() <= 5e-4 * (expected - mean).norm()


@pytest.mark.parametrize("is_causal", [False, True])
def test_no_visible_key_gives_zeros(is_causal):
    q, k, v, g = inputs(40, 40, lead=(1, 1))
    mask = torch.zeros(1, 1, 40, dtype=torch.bool, device=DEVICE)
    for gradient in kernels(q, k, v, g, mask, is_causal=is_causal):
        assert torch.equal(gradient, torch.zeros_like(gradient))
    mask[..., 35:] = True
    output = kernels(q, k, v, g, mask, is_causal=True)[0]
    assert torch.equal(output[..., :35, :], torch.zeros_like(output[..., :35, :]))
    torch.testing.assert_close(output[..., 35, :], v[..., 35, :])


@pytest.mark.parametrize("is_causal", [False, True])
def test_masked_keys_and_values_may_be_nan(is_causal):
    q, k, v, g = inputs(40, 40, lead=(1, 1))
    mask = some_keys(1, 1, 40)
    expected = kernels(q, k, v, g, mask, is_causal=is_causal)
    k, v = k.masked_fill(~mask[..., None], torch.nan), v.masked_fill(~mask[..., None], torch.nan)
    for ours, theirs in zip(kernels(q, k, v, g, mask, is_causal=is_causal), expected, strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("is_causal", [False, True])
def test_a_nan_query_spoils_its_own_output_alone(is_causal):
    q, k, v, g = inputs(40, 40, lead=(1, 1))
    expected = kernels(q, k, v, g, is_causal=is_causal)[0]
    q[..., 3, 5] = torch.nan
    output = kernels(q, k, v, g, is_causal=is_causal)[0]
    assert output[..., 3, :].isnan().all()
    assert torch.equal(output[..., 4:, :], expected[..., 4:, :])


@pytest.mark.parametrize("is_causal", [False, True])
def test_memory_layouts_do_not_matter(is_causal):
    plain = inputs(20, 20, 8, 8, lead=(2, 2))
    expected = kernels(*plain, is_causal=is_causal)
    heads_last = [x.transpose(1, 2).contiguous().transpose(1, 2) for x in plain]
    strided = [torch.stack([x, x], -1)[..., 0] for x in plain]
    folded = [x[:, None, :, None] for x in plain]
    for tensors in (heads_last, strided, folded):
        got = kernels(*tensors, is_causal=is_causal)
        assert_all_close([x.reshape(y.shape) for x, y in zip(got, expected, strict=True)], expected, rtol=0, atol=0)
    assert kernels(*heads_last, is_causal=is_causal)[0].stride() == heads_last[0].stride()


def test_expanded_tensors_are_read_in_place():
    q, k, v, g = inputs(40, 40, lead=(2, 3))
    k, v, mask = k[:, :1].expand_as(k), v[:1].expand_as(v), some_keys(2, 40)[:, None].expand(2, 3, 40)
    assert_all_close(kernels(q, k, v, g, mask), reference(q, k, v, g, mask))


@pytest.mark.parametrize(("lead", "lq", "lk"), [((2,), 0, 5), ((2,), 5, 0), ((0, 2), 5, 5), ((), 5, 5)])
def test_sizes_of_nothing_and_no_leading_dimension_do(lead, lq, lk):
    tensors = inputs(lq, lk, lead=lead)
    output, *gradients = kernels(*tensors)
    assert [x.shape for x in (output, *gradients)] == [tensors[i].shape for i in (3, 0, 1, 2)]
    assert all(x.isfinite().all() for x in (output, *gradients))
    if lk == 0:
        assert torch.equal(output, torch.zeros_like(output))


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_errs_at_most_twice_what_plain_pytorch_errs(dtype, is_causal):
    tensors = inputs(100, 100, 16, 16, lead=(1, 1), dtype=dtype)
    exact = reference(*tensors, dtype=torch.float32, is_causal=is_causal)
    plain = reference(*tensors, dtype=dtype, is_causal=is_causal)
    for ours, theirs, truth in zip(kernels(*tensors, is_causal=is_causal), plain, exact, strict=True):
        assert ours.dtype == dtype
        assert (ours.float() - truth).norm() <= 2 * (theirs.float() - truth).norm()


@pytest.mark.parametrize("is_causal", [False, True])
def test_empty_tensors_have_the_layout_that_the_kernels_give(is_causal):
    for tensors in (inputs(40, 40), inputs(20, 20, 8, 8, lead=(2, 1, 1))):
        q, k, v, g = (x.transpose(-3, -2).contiguous().transpose(-3, -2) for x in tensors)
        output, state = backend.forward(q, k, v, None, 1.0, "relu", is_causal)
        gradients = backend.backward(g, q, k, v, None, state, 1.0, "relu", is_causal)
        expected = backend.empty_output(q, v), backend.empty_state(k, v, is_causal=is_causal)
        expected += tuple(map(backend.empty_gradient, (q, k, v)))
        for ours, theirs in zip((output, state, *gradients), expected, strict=True):
            assert (ours.shape, ours.stride(), ours.dtype) == (theirs.shape, theirs.stride(), theirs.dtype)


@pytest.mark.parametrize("programs", [1024, 2])
@pytest.mark.parametrize("feature_map", ["relu", "identity"])
def test_the_halves_equal_those_of_plain_pytorch_state_and_sums_included(feature_map, programs, monkeypatch):
    monkeypatch.setattr(layout, "PROGRAMS", programs)
    (q, k, v, _), (*_, g), mask = inputs(40, 100, lead=(1, 2)), inputs(40, 40, lead=(1, 2)), some_keys(1, 2, 100)
    mask[:, 1] = False  # a head without keys
    state = backend.gather(k, v, mask, feature_map)
    torch.testing.assert_close(state, eager.gather(k, v, mask, feature_map))
    options = (state, LARGE_SCALE, feature_map)
    torch.testing.assert_close(backend.apply(q, *options), eager.apply(q, *options))
    grad_q, of_state = backend.query_backward(g, q, *options)
    torch.testing.assert_close((grad_q, of_state), eager.query_backward(g, q, *options))
    rest = (k, v, mask, state, of_state, feature_map)
    torch.testing.assert_close(backend.key_backward(*rest), eager.key_backward(*rest))


NOTHING = [
    ((0, 2), 5, 5, 4, 3),
    ((2,), 0, 5, 4, 3),
    ((2,), 5, 0, 4, 3),
    ((2,), 5, 5, 0, 3),
    ((2,), 5, 5, 4, 0),
    ((2,), 5, 5, 0, 0),
]


@pytest.mark.parametrize(("lead", "lq", "lk", "e", "ev"), NOTHING)
def test_the_halves_take_sizes_of_nothing(lead, lq, lk, e, ev):
    (q, k, v, g), feature_map = inputs(lq, lk, e, ev, lead=lead), "identity"
    state = backend.gather(k, v, None, feature_map)
    torch.testing.assert_close(state, eager.gather(k, v, None, feature_map))
    torch.testing.assert_close(backend.apply(q, state, 1.0, feature_map), eager.apply(q, state, 1.0, feature_map))
    ours, theirs = (x.query_backward(g, q, state, 1.0, feature_map) for x in (backend, eager))
    torch.testing.assert_close(ours, theirs)
    rest = (k, v, None, state, ours[1], feature_map)
    torch.testing.assert_close(backend.key_backward(*rest), eager.key_backward(*rest))


def test_attention_in_parts_runs_the_kernels_and_equals_the_whole(monkeypatch):
    from elinformer.ops.eala import attention

    if DEVICE == "cpu":  # where the interpreter stands in for a GPU
        monkeypatch.setattr(attention, "_best", lambda *_: "triton")
    called = []
    for name in ("gather", "apply", "query_backward", "key_backward"):
        half = getattr(backend, name)
        monkeypatch.setattr(backend, name, lambda *x, half=half, name=name: called.append(name) or half(*x))
    (q, k, v, _), (*_, g) = inputs(20, 50), inputs(20, 20)
    whole = reference(q, k, v, g, scale=LARGE_SCALE)[0]
    rest = StateExchange(KeyState.from_keys(k[..., 30:, :], v[..., 30:, :]))
    q, here, values = (x.clone().requires_grad_() for x in (q, k[..., :30, :], v[..., :30, :]))
    output = partitioned_attention(q, here, values, exchange=rest, scale=LARGE_SCALE)
    torch.testing.assert_close(output, whole.float())
    output.backward(g)
    assert called == ["gather", "apply", "query_backward", "key_backward"]
    every = WholeExchange(KeyState.from_keys(k, v))
    output = partitioned_attention(q.detach(), None, None, exchange=every, scale=LARGE_SCALE)
    torch.testing.assert_close(output, whole.float())
    assert called[4:] == ["apply"]
