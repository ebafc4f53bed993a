"""Errors for tensors and options that do not fit; they name both sides."""

from __future__ import annotations

import pytest
import torch

from elinformer.ops import attention_entropy, backend_for, eala_attention, eala_weights

pytestmark = pytest.mark.skipif(hasattr(eala_attention, "__wrapped__"), reason="the shape checks speak first")
Q = torch.zeros(2, 3, 5, 4)


@pytest.mark.parametrize(
    ("key", "value", "options", "message"),
    [
        (Q[..., :3], Q, {}, "head dim E, got 4 and 3"),
        (Q, Q[..., :4, :], {}, "length Lk, got 5 and 4"),
        (Q[0, 0, 0], Q, {}, r"got \(2, 3, 5, 4\), \(4,\)"),
        (torch.zeros(2, 4, 5, 4), Q, {}, r"broadcast.*\(2, 4, 5, 4\)"),
        (Q[..., :4, :], Q[..., :4, :], {"is_causal": True}, "Lq = 5 and Lk = 4"),
        (Q, Q, {"scale": 0.0}, "positive.*got 0.0"),
        (Q, Q, {"scale": float("inf")}, "positive.*got inf"),
        (Q, Q, {"feature_map": "elu"}, "relu, softplus, identity, got 'elu'"),
        (Q, Q, {"key_mask": torch.ones(2, 4, dtype=torch.bool)}, r"\(2, 3, 5, 4\), got \(2, 4\)"),
        (Q, Q, {"key_mask": torch.ones(3, 5, dtype=torch.bool)}, r"got \(3, 5\)"),
        (Q, Q, {"key_mask": torch.ones(1, 2, 3, 5, dtype=torch.bool)}, r"got \(1, 2, 3, 5\)"),
        (Q, Q, {"backend": "cuda"}, "backend.*got 'cuda'"),
    ],
)
def test_tensors_that_do_not_fit_are_a_value_error_that_names_both_sides(key, value, options, message):
    with pytest.raises(ValueError, match=message):
        eala_attention(Q, key, value, **options)


@pytest.mark.parametrize(
    ("key", "options", "message"),
    [
        (Q.double(), {}, "float32, torch.float64"),
        (Q, {"key_mask": torch.ones(2, 5)}, "bool key_mask.*float32"),
        (Q.int(), {}, "int32"),
    ],
)
def test_a_wrong_type_is_a_type_error_that_names_both_sides(key, options, message):
    for attend in (lambda: eala_attention(Q, key, key, **options), lambda: eala_weights(Q, key, **options)):
        with pytest.raises(TypeError, match=message):
            attend()


def test_diagnostics_refuse_as_the_operator_does():
    with pytest.raises(ValueError, match="Lq = 5 and Lk = 4"):
        attention_entropy(Q, Q[..., :4, :], is_causal=True)


def test_a_mask_belongs_to_the_first_dimensions_of_the_keys():
    q, k, v = torch.randn(3, 2, 3, 5, 4, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[True, False, True, True, False], [False, True, True, False, True]])
    by_hand = torch.stack([eala_attention(q[b], k[b][:, mask[b]], v[b][:, mask[b]]) for b in range(2)])
    torch.testing.assert_close(eala_attention(q, k, v, key_mask=mask), by_hand)


def test_auto_names_what_it_runs_and_a_name_is_what_runs():
    assert backend_for(Q, backend="reference") == "reference"
    assert backend_for(Q, backend="torch") == "torch"
    assert backend_for(Q) in {"torch", "cpu"}
    with pytest.raises(ValueError, match="got 'flash'"):
        backend_for(Q, backend="flash")
