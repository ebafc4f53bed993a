"""Forced attention: the named members are what they are called, and a model is left as it was."""

from __future__ import annotations

import math

import pytest
import torch
from benchmarks._forced import FORCED, Forced, forced, scores_of
from torch import Tensor

from elinformer.models import Sizes, build_model
from elinformer.ops import eala_attention
from elinformer.ops.baselines import mean_attention, softmax_attention

MASK = torch.arange(9) % 4 != 1


@pytest.fixture
def qkv() -> tuple[Tensor, Tensor, Tensor]:
    return torch.randn(3, 2, 4, 9, 8, generator=torch.Generator().manual_seed(0)).mul(3).unbind()


@pytest.mark.parametrize("mask", [None, MASK.expand(2, 1, 9)], ids=["no mask", "mask"])
@pytest.mark.parametrize(
    ("name", "features", "call"),
    [
        ("c = max(1, m)", "relu", eala_attention),
        ("c = max(1, m)", "identity", lambda *x, **k: eala_attention(*x, feature_map="identity", **k)),
        ("uniform", "relu", mean_attention),
        ("softmax, temperature 1", "identity", softmax_attention),
        ("softmax, temperature 2", "identity", lambda *x, **k: softmax_attention(*x, scale=8**-0.5 / 2, **k)),
        ("softmax, temperature 1", "relu", lambda q, k, v, **o: softmax_attention(q.relu(), k.relu(), v, **o)),
    ],
)
def test_a_named_member_is_the_attention_of_that_name(name, features, call, mask, qkv):
    q, k, v = qkv
    spoilt = v if mask is None else v.masked_fill(~mask[..., None], torch.nan)
    torch.testing.assert_close(
        Forced(FORCED[name], features)(q, k, spoilt, key_mask=mask), call(q, k, v, key_mask=mask)
    )


@pytest.mark.parametrize("mask", [None, MASK.expand(2, 1, 9)], ids=["no mask", "mask"])
@pytest.mark.parametrize("name", FORCED)
def test_weights_add_up_to_one_and_are_negative_past_the_certificate_alone(name, mask, qkv):
    weights = FORCED[name](scores_of(*qkv[:2], mask, "relu"))
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 4, 9))
    assert (weights.min() < -1e-3) == any(words in name for words in ("unguarded", "not certified"))


def test_members_are_listed_from_flat_to_sharp(qkv):
    entropies = {}
    for name, weights in FORCED.items():
        operator = Forced(weights, "relu")
        operator(*qkv)
        entropies[name] = sum(operator.by_head()["entropy"]) / 4
    ours = [entropy for name, entropy in entropies.items() if name.startswith(("uniform", "c = 4", "c = 2", "c = max"))]
    softmax = [entropy for name, entropy in entropies.items() if name.startswith("softmax")]
    assert ours[0] == pytest.approx(math.log(9))
    for falling in (ours, softmax):
        assert falling == sorted(falling, reverse=True)


def test_scores_that_are_all_alike_give_uniform_weights():
    x = torch.ones(1, 1, 5, 4)
    for weights in FORCED.values():
        torch.testing.assert_close(weights(scores_of(x, x, None, "relu")), torch.full((1, 1, 5, 5), 0.2))


def test_a_model_is_forced_for_a_while_alone():
    torch.manual_seed(0)
    model = build_model("elinformer", Sizes(6, 4, 9)).eval()
    values = torch.randn(2, 6, 9, 1)
    mask = torch.ones_like(values, dtype=torch.bool)
    mask[:, :, 3] = False
    plain = model(values, mask)
    with forced(model, FORCED["c = max(1, m)"], "identity") as layers:
        torch.testing.assert_close(model(values, mask), plain)
        assert all(len(layer.by_head()["entropy"]) > 1 for layer in layers)
    with forced(model, FORCED["uniform"], "identity") as layers:
        assert not torch.allclose(model(values, mask), plain)
        assert [layer.by_head()["share_of_log_n"][0] for layer in layers] == pytest.approx([1.0] * len(layers))
    assert torch.equal(model(values, mask), plain)
