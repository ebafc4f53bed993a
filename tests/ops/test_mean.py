"""The mean of the values, which is EALA at its flattest."""

from __future__ import annotations

import torch

from elinformer.ops import eala_attention
from elinformer.ops.baselines import mean_attention


def test_the_mean_is_that_of_the_values_that_take_part() -> None:
    q, k, v = torch.randn(3, 2, 4, 7, 5).unbind()
    mask = torch.tensor([True, False, True, True, False, True, True])
    spoilt = v.masked_fill(~mask[:, None], float("nan"))
    expected = v[:, :, mask].mean(-2, keepdim=True).expand_as(v)
    torch.testing.assert_close(mean_attention(q, k, spoilt, key_mask=mask.expand(2, 1, 7)), expected)
    torch.testing.assert_close(mean_attention(q, k, v), v.mean(-2, keepdim=True).expand_as(v))
    nothing = torch.zeros(2, 1, 7, dtype=torch.bool)
    torch.testing.assert_close(mean_attention(q, k, v, key_mask=nothing), torch.zeros_like(v))


def test_a_mask_of_windows_is_one_for_all_heads() -> None:
    q, k, v = torch.randn(3, 2, 4, 7, 5).unbind()
    mask = torch.rand(2, 7) < 0.5
    expected = mean_attention(q, k, v, key_mask=mask[:, None])
    torch.testing.assert_close(mean_attention(q, k, v, key_mask=mask), expected)


def test_many_values_in_half_precision_do_not_overflow() -> None:
    x = torch.full((1, 40_000, 2), 2.0, dtype=torch.float16)
    assert mean_attention(x, x, x).unique().tolist() == [2.0]
    assert mean_attention(x, x, x, is_causal=True).unique().tolist() == [2.0]


def test_queries_may_have_more_windows_than_keys() -> None:
    q, k = torch.randn(3, 4, 7, 5), torch.randn(1, 4, 7, 5)
    assert mean_attention(q, k, k).shape == (3, 4, 7, 5)


def test_the_mean_is_eala_of_keys_that_are_all_the_same() -> None:
    q, v = torch.randn(2, 2, 4, 7, 5).unbind()
    k = torch.ones(2, 4, 7, 5)
    torch.testing.assert_close(mean_attention(q, k, v), eala_attention(q, k, v))


def test_the_causal_mean_is_over_the_keys_so_far() -> None:
    q, v = torch.randn(2, 3, 7, 5, dtype=torch.float64).unbind()
    mask = torch.tensor([False, True, True, False, True, True, True])
    so_far = mean_attention(q, q, v, key_mask=mask.expand(3, 7), is_causal=True)
    torch.testing.assert_close(so_far, eala_attention(q, torch.ones_like(q), v, key_mask=mask, is_causal=True))
