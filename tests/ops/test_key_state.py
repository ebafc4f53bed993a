"""KeyState: merged, streamed and applied."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from elinformer.ops import KeyState, eala_attention

MAPS = ["relu", "softplus", "identity"]


def tensors(length=60, *, offset=0.0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(3)
    q, k, v = torch.randn(3, 2, length, 5, generator=generator, dtype=torch.float64) + offset
    return q.to(dtype), k.to(dtype), v[..., :4].to(dtype)


def parts_of(state):
    parts = (state.n, state.k_mean, state.v_mean, state.covariance, state.lo, state.hi)
    return [part for part in parts if part is not None]


@pytest.mark.parametrize("feature_map", MAPS)
def test_a_state_answers_as_attention_does(feature_map):
    q, k, v = tensors()
    mask = torch.rand(2, 60, generator=torch.Generator().manual_seed(1)) < 0.6
    state = KeyState.from_keys(k.masked_fill(~mask[..., None], torch.nan), v, mask, feature_map=feature_map)
    expected = eala_attention(q, k, v, key_mask=mask, scale=0.7, feature_map=feature_map)
    torch.testing.assert_close(state.apply(q, scale=0.7), expected)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.lists(st.integers(0, 60), max_size=6),
    st.randoms(use_true_random=False),
    st.sampled_from([0.0, 1e4]),
    st.sampled_from(MAPS),
)
def test_split_anyhow_and_merged_in_any_order_it_equals_the_whole(cuts, random, offset, feature_map):
    q, k, v = tensors(offset=offset)
    edges = [0, *sorted(cuts), 60]
    states = [KeyState.from_keys(k[:, a:b], v[:, a:b], feature_map=feature_map) for a, b in itertools.pairwise(edges)]
    random.shuffle(states)
    while len(states) > 1:
        states.append(states.pop(random.randrange(len(states))).merge(states.pop(random.randrange(len(states)))))
    whole = KeyState.from_keys(k, v, feature_map=feature_map)
    for got, expected in zip(parts_of(states[0]), parts_of(whole), strict=True):
        assert (got - expected).norm() <= 1e-9 * expected.norm()
    torch.testing.assert_close(states[0].apply(q), whole.apply(q), rtol=1e-9, atol=0)


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_keys_removed_leave_the_state_of_the_rest_but_for_its_bounds(offset):
    _, k, v = tensors(offset=offset)
    rest = KeyState.from_keys(k, v).remove(k[:, 40:], v[:, 40:])
    anew = KeyState.from_keys(k[:, :40], v[:, :40])
    for got, expected in zip(parts_of(rest)[:4], parts_of(anew)[:4], strict=True):
        assert (got - expected).norm() <= 1e-9 * expected.norm()
    assert (rest.lo <= anew.lo).all()


@pytest.mark.parametrize("feature_map", MAPS)
def test_all_keys_removed_leave_a_state_that_gives_zeros_and_takes_new_keys(feature_map):
    q, k, v = tensors()
    empty = KeyState.from_keys(k, v, feature_map=feature_map).remove(k, v)
    torch.testing.assert_close(empty.apply(q), torch.zeros_like(v))
    again = empty.add(k, v)
    torch.testing.assert_close(again.apply(q), eala_attention(q, k, v, feature_map=feature_map))


def test_a_stream_of_single_keys_equals_attention_over_all():
    q, k, v = tensors(20)
    state = KeyState.from_keys(k[:, :0], v[:, :0])
    for i in range(20):
        state = state.add(k[:, i : i + 1], v[:, i : i + 1])
    torch.testing.assert_close(state.apply(q), eala_attention(q, k, v))


def test_float32_keys_are_summed_in_float64_and_queries_keep_their_dtype():
    q, k, v = tensors(dtype=torch.float32, offset=1e4)
    state = KeyState.from_keys(k, v)
    assert state.covariance.dtype == torch.float64
    output = state.apply(q)
    assert output.dtype == torch.float32
    exact = eala_attention(q.double(), k.double(), v.double())
    assert (output.double() - exact).abs().max() <= 1e-6 * 1e4


def test_gradients_flow_through_a_state():
    q, k, v = (x.requires_grad_() for x in tensors())
    state = KeyState.from_keys(k[:, :30], v[:, :30]).add(k[:, 30:], v[:, 30:])
    got = torch.autograd.grad(state.apply(q).sin().sum(), (q, k, v))
    expected = torch.autograd.grad(eala_attention(q, k, v, backend="reference").sin().sum(), (q, k, v))
    assert got[2].isfinite().all()
    torch.testing.assert_close(got[2], expected[2])


def test_states_that_do_not_belong_together_are_refused():
    _, k, v = tensors()
    with pytest.raises(ValueError, match=r"relu.*identity"):
        KeyState.from_keys(k, v).merge(KeyState.from_keys(k, v, feature_map="identity"))
    with pytest.raises(ValueError, match=r"5.*3"):
        KeyState.from_keys(k, v).apply(torch.randn(2, 4, 3, dtype=torch.float64))


def test_more_keys_than_there_are_cannot_be_removed():
    _, k, v = tensors()
    with pytest.raises(ValueError, match="at most 60"):
        KeyState.from_keys(k, v).remove(torch.cat([k, k], 1), torch.cat([v, v], 1))
