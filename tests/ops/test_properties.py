"""Properties that always hold (docs/theory.md, section 5), for any inputs that hypothesis finds."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from elinformer.ops import KeyState, attention_entropy, eala_attention, eala_weights
from elinformer.ops.eala.reference import eala_reference

MAPS = ["relu", "softplus", "identity"]


@st.composite
def attention(draw, *, min_keys=1):
    """Queries, keys and values of a drawn size, spread, offset and map; heavy tails now and then."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    lq, lk, e, ev = (draw(st.integers(low, 9)) for low in (1, min_keys, 1, 1))
    spread, offset = 10.0 ** draw(st.integers(-3, 4)), draw(st.sampled_from([0.0, 1.0, -50.0]))
    tensors = [
        torch.randn(2, length, dim, generator=generator, dtype=torch.float64) * spread + offset
        for length, dim in ((lq, e), (lk, e), (lk, ev))
    ]
    if draw(st.booleans()):
        tensors = [x * torch.randn(x.shape[:-1], generator=generator, dtype=x.dtype).exp()[..., None] for x in tensors]
    return (*tensors, draw(st.sampled_from(MAPS)))


quick = settings(max_examples=40, deadline=None, derandomize=True)


@quick
@given(attention())
def test_weights_are_a_distribution_and_outputs_lie_in_the_hull_of_the_values(drawn):
    q, k, v, feature_map = drawn
    weights = eala_weights(q, k, feature_map=feature_map)
    assert (weights >= -1e-12).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))
    output, room = eala_attention(q, k, v, feature_map=feature_map), 1e-9 * v.abs().max()
    assert (output <= v.amax(-2, keepdim=True) + room).all()
    assert (output >= v.amin(-2, keepdim=True) - room).all()
    torch.testing.assert_close(output, weights @ v)


@quick
@given(attention(min_keys=2))
def test_a_higher_score_never_gets_a_lower_weight(drawn):
    q, k, v, feature_map = drawn
    weights = eala_reference(q, k, v, feature_map=feature_map).weights
    torch.testing.assert_close(eala_weights(q, k, feature_map=feature_map), weights)
    phi = {"relu": torch.relu, "softplus": torch.nn.functional.softplus, "identity": lambda x: x}[feature_map]
    order = (phi(q) @ phi(k).mT).argsort(-1)
    assert (weights.gather(-1, order).diff(dim=-1) >= -1e-12).all()


@quick
@given(attention(), st.randoms(use_true_random=False))
def test_permuting_keys_with_their_values_changes_nothing_and_permuting_queries_permutes_outputs(drawn, random):
    q, k, v, feature_map = drawn
    keys, queries = list(range(k.shape[-2])), list(range(q.shape[-2]))
    random.shuffle(keys)
    random.shuffle(queries)
    output = eala_attention(q, k, v, feature_map=feature_map)
    close = {"rtol": 1e-7, "atol": float(1e-9 * v.abs().max())}
    torch.testing.assert_close(eala_attention(q, k[:, keys], v[:, keys], feature_map=feature_map), output, **close)
    torch.testing.assert_close(
        eala_attention(q[:, queries], k, v, feature_map=feature_map), output[:, queries], **close
    )


@quick
@given(attention(), st.floats(0, 100))
def test_moving_all_features_changes_no_weight_and_moving_all_values_moves_the_output(drawn, by):
    q, k, v, feature_map = drawn
    k = k if feature_map == "identity" else k.abs()  # where phi(k + by) = phi(k) + by
    feature_map = "identity" if feature_map == "softplus" else feature_map
    close = {"rtol": 1e-6, "atol": float(1e-7 * (v.abs().max() + by))}
    output = eala_attention(q, k, v, feature_map=feature_map)
    torch.testing.assert_close(eala_attention(q, k + by, v, feature_map=feature_map), output, **close)
    torch.testing.assert_close(eala_attention(q, k, v + by, feature_map=feature_map), output + by, **close)


@quick
@given(attention(), st.integers(2, 5))
def test_repeating_the_whole_set_changes_nothing(drawn, times):
    q, k, v, feature_map = drawn
    output = eala_attention(q, k, v, feature_map=feature_map)
    again = eala_attention(q, k.repeat(1, times, 1), v.repeat(1, times, 1), feature_map=feature_map)
    torch.testing.assert_close(again, output, rtol=1e-7, atol=float(1e-9 * v.abs().max()))


@pytest.mark.parametrize("feature_map", MAPS)
def test_distance_to_softmax_falls_by_the_fourth_power_of_the_scale_and_the_entropy_gap_by_the_third(feature_map):
    q, k, v = torch.randn(3, 1, 60, 8, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    phi = {"relu": torch.relu, "softplus": torch.nn.functional.softplus, "identity": lambda x: x}[feature_map]

    def gaps(scale):
        p = (phi(q) @ phi(k).mT * scale).softmax(-1)
        w = eala_reference(q, k, v, scale=scale, feature_map=feature_map).weights
        entropies = [-(x * x.log()).sum(-1) for x in (p, w)]
        return (p * (p / w).log()).sum(-1).mean(), (entropies[0] - entropies[1]).abs().mean()

    (kl, gap), (kl_half, gap_half) = gaps(1e-2), gaps(5e-3)
    assert kl / kl_half == pytest.approx(16, rel=0.05)
    assert gap / gap_half == pytest.approx(8, rel=0.05)


@quick
@given(attention(), st.booleans())
def test_one_key_gives_its_value_and_no_key_gives_zero(drawn, is_causal):
    q, k, v, feature_map = drawn
    q, options = q[:, : k.shape[-2]], {"feature_map": feature_map, "is_causal": is_causal}
    k, v = k[:, : q.shape[-2]], v[:, : q.shape[-2]]
    only = torch.zeros(2, k.shape[-2], dtype=torch.bool)
    torch.testing.assert_close(eala_attention(q, k, v, key_mask=only, **options), torch.zeros_like(v))
    only[:, 0] = True
    torch.testing.assert_close(eala_attention(q, k, v, key_mask=only, **options), v[:, :1].expand_as(v))


@quick
@given(attention())
def test_a_state_has_one_size_whatever_the_number_of_keys(drawn):
    q, k, v, feature_map = drawn
    e, ev = q.shape[-1], v.shape[-1]
    state = KeyState.from_keys(k, v, feature_map=feature_map)
    parts = (state.n, state.k_mean, state.v_mean, state.covariance, state.lo, state.hi)
    size = e * ev + 2 * e + ev + 1 + e * (feature_map == "identity")
    assert sum(part[0].numel() for part in parts if part is not None) == size


@quick
@given(attention(), st.sampled_from(["eala", "softmax"]), st.booleans())
def test_entropies_lie_between_zero_and_the_logarithm_of_the_number_of_keys(drawn, kind, is_causal):
    q, k, _, feature_map = drawn
    length = min(q.shape[-2], k.shape[-2])
    q, k = q[:, :length], k[:, :length]
    entropy, clamped = attention_entropy(
        q, k, kind=kind, is_causal=is_causal, feature_map=feature_map, return_clamped=True
    )
    count = torch.arange(1, length + 1) if is_causal else torch.tensor(length)
    assert (entropy >= 0).all()
    assert (entropy <= count.double().log() + 1e-12).all()
    assert (entropy[clamped] == 0).all()
