"""Every backend against the reference for sizes that hypothesis draws, zero included, on one to four threads.

`test_triton.py` runs the cases of Triton, in a process with its interpreter.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from elinformer.ops import KeyState, attention_entropy, eala_attention, eala_theta, eala_weights
from elinformer.ops.eala import cpu, triton
from elinformer.ops.eala.partitioned import StateExchange, WholeExchange, partitioned_attention

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
MAPS = ["relu", "softplus", "identity"]


def of_examples(number):
    return settings(max_examples=number, deadline=None, derandomize=True)


@st.composite
def attention(draw, *, lengths=(0, 1, 2, 3, 9, 40)):
    """Query, key, value and options of any size, mostly small ones."""
    lead = draw(st.sampled_from([(), (1,), (2,), (0,), (2, 3), (0, 3), (2, 0)]))
    lk, e, ev = draw(st.sampled_from(lengths)), draw(st.sampled_from([0, 1, 4, 7])), draw(st.sampled_from([0, 1, 4, 6]))
    is_causal = draw(st.booleans())
    lq = lk if is_causal else draw(st.sampled_from(lengths))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    offset = draw(st.sampled_from([0.0, 3.0]))
    tensors = [torch.randn(*lead, *shape, generator=generator) + offset for shape in ((lq, e), (lk, e), (lk, ev))]
    share = draw(st.sampled_from([None, 0.0, 0.6]))
    mask = None if share is None else torch.rand(*lead, lk, generator=generator) < share
    options = {"feature_map": draw(st.sampled_from(MAPS)), "is_causal": is_causal, "key_mask": mask}
    return tensors, options


def outcome(tensors, dtype, **options):
    leaves = [x.to(DEVICE, dtype).requires_grad_() for x in tensors]
    mask = options.pop("key_mask")
    output = eala_attention(*leaves, key_mask=None if mask is None else mask.to(DEVICE), **options)
    weight = torch.linspace(-1, 2, output.numel(), dtype=torch.float64, device=DEVICE).sin().reshape(output.shape)
    return output.detach(), *torch.autograd.grad(output, leaves, weight.to(dtype))


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def skip_unless_it_runs(backend):
    if backend == "cpu" and (DEVICE == "cuda" or cpu.why_not(torch.zeros(1, 1))):
        pytest.skip("the CPU kernel has not been compiled: python setup.py build_ext --inplace")
    if backend == "triton" and not triton.is_available(DEVICE):
        pytest.skip("needs a GPU or Triton's interpreter: test_triton.py runs it")


@pytest.mark.parametrize("backend", ["torch", "cpu", "triton"])
def test_output_and_gradients_of_any_size_equal_the_references(backend, threads):
    skip_unless_it_runs(backend)
    dtype, tolerance = (torch.float32, 1e-4) if backend == "triton" else (torch.float64, 1e-9)

    @of_examples(40 if backend == "triton" else 150)
    @given(attention(), st.integers(1, 4))
    def check(drawn, number):
        tensors, options = drawn
        threads(number)
        expected = outcome(tensors, torch.float64, backend="reference", **options)
        for ours, theirs in zip(outcome(tensors, dtype, backend=backend, **options), expected, strict=True):
            torch.testing.assert_close(ours.double(), theirs, rtol=tolerance, atol=tolerance)

    check()


@of_examples(100)
@given(attention())
def test_the_reference_gives_an_output_of_the_values_width_in_their_hull(drawn):
    tensors, options = drawn
    output, *gradients = outcome(tensors, torch.float64, backend="reference", **options)
    assert output.shape == (*tensors[0].shape[:-1], tensors[2].shape[-1])
    assert [x.shape for x in gradients] == [x.shape for x in tensors]
    largest = tensors[2].abs().max() if tensors[2].numel() else 0.0
    assert (output.abs() <= largest * (1 + 1e-6)).all()
    if options["key_mask"] is not None and not options["key_mask"].any():
        assert not any(x.any() for x in (output, *gradients))


@pytest.mark.parametrize("backend", ["cpu", "triton"])
def test_long_and_empty_tensors_equal_plain_pytorchs_on_any_number_of_threads(backend, threads):
    skip_unless_it_runs(backend)
    if backend == "triton" and DEVICE == "cpu":
        pytest.skip("the interpreter is too slow for long tensors")
    dtype, tolerance = (torch.float32, 1e-3) if backend == "triton" else (torch.float64, 1e-9)

    @of_examples(25)
    @given(attention(lengths=(0, 1, 2100, 5000)), st.integers(1, 4))
    def check(drawn, number):
        tensors, options = drawn
        threads(number)
        expected = outcome(tensors, torch.float64, backend="torch", **options)
        for ours, theirs in zip(outcome(tensors, dtype, backend=backend, **options), expected, strict=True):
            torch.testing.assert_close(ours.double(), theirs, rtol=tolerance, atol=tolerance)

    check()


@of_examples(100)
@given(attention())
def test_states_exchanges_and_diagnostics_take_any_size(drawn):
    (q, k, v), options = drawn
    q, k, v = q.double(), k.double(), v.double()
    weights = eala_weights(q, k, **options)
    assert weights.shape == (*q.shape[:-1], k.shape[-2])
    whole = eala_attention(q, k, v, **options)
    torch.testing.assert_close(weights @ v, whole, rtol=1e-9, atol=1e-9)
    assert eala_theta(q, k, **options).shape == attention_entropy(q, k, **options).shape == q.shape[:-1]
    if options.pop("is_causal"):
        return
    mask, feature_map = options["key_mask"], options["feature_map"]
    none = torch.zeros(k.shape[:-1], dtype=torch.bool)
    state, nothing = (KeyState.from_keys(k, v, m, feature_map=feature_map) for m in (mask, none))
    torch.testing.assert_close(state.merge(nothing).apply(q), whole, rtol=1e-9, atol=1e-9)
    others, everything = StateExchange(nothing), WholeExchange(state)
    for keys, exchange in (((k, v), others), ((None, None), everything)):
        masked = mask if keys[0] is not None else None
        got = partitioned_attention(q, *keys, key_mask=masked, exchange=exchange, feature_map=feature_map)
        torch.testing.assert_close(got, whole, rtol=1e-9, atol=1e-9)
