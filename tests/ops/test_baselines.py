"""Every baseline against its own formula, written as loops over pairs of query and key."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import elu
from torch.testing import assert_close

from elinformer.ops import eala_attention
from elinformer.ops.baselines.mean import mean_attention
from elinformer.ops.baselines.performer import orthogonal_projection
from elinformer.ops.baselines.softmax import softmax_attention
from elinformer.ops.registry import OPERATORS

E, EV, L = 4, 3, 9
METHODS = [name for name in OPERATORS if name != "eala"]
CAUSAL = [name for name in METHODS if OPERATORS[name].is_causal]


def given(name, length=L, dtype=torch.float64):
    """Arguments of a method besides query, key and value."""
    generator = torch.Generator().manual_seed(1)
    if name == "performer":
        return {"projection": orthogonal_projection(6, E, generator=generator).to(dtype)}
    if name == "linformer":
        names = ("key_projection", "value_projection")
        return {n: torch.randn(5, length, generator=generator, dtype=torch.float64).to(dtype) for n in names}
    if name == "nystromformer":
        return {"landmarks": 3, "iterations": 40}
    kernel = torch.randn(EV, 5, generator=generator, dtype=torch.float64).to(dtype)
    return {"kernel": kernel} if name == "focused" else {}


def attend(name, q, k, v, **options):
    return OPERATORS[name].call(q, k, v, **given(name, k.shape[-2], q.dtype), **options)


def qkv(*lead, Lq=L, Lk=L, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    return tuple(
        torch.randn(*lead, n, e, generator=generator, dtype=torch.float64).to(dtype)
        for n, e in ((Lq, E), (Lk, E), (Lk, EV))
    )


def sharpened(x):
    x = x.clamp_min(0) + 1e-6
    return (x**3) * x.norm() / (x**3).norm()


def features(x, w, s):
    return torch.stack([torch.exp(math.sqrt(s) * (d @ x) - s * (x @ x) / 2) for d in w])


PAIRS = {
    "softmax": lambda q, k, i, j, n, s: torch.exp(s * (q @ k)),
    "elu": lambda q, k, i, j, n, s: (elu(q) + 1) @ (elu(k) + 1),
    "performer": lambda q, k, i, j, n, s: (
        features(q, given("performer")["projection"], s) @ features(k, given("performer")["projection"], s)
    ),
    "cosformer": lambda q, k, i, j, n, s: q.clamp_min(0) @ k.clamp_min(0) * math.cos(math.pi * (i - j) / (2 * n)),
    "focused": lambda q, k, i, j, n, s: sharpened(q) @ sharpened(k),
    "mean": lambda q, k, i, j, n, s: torch.ones((), dtype=q.dtype),
    "taylor": lambda q, k, i, j, n, s: 1 + s * (q @ k) + (s * (q @ k)) ** 2 / 2,
}


def by_pairs(name, q, k, v, seen, *, is_causal, scale):
    """Mean of the values that a query sees, weighted by similarity."""
    rows = []
    for i in range(len(q)):
        visible = [j for j in range(len(k)) if seen[j] and not (is_causal and j > i)]
        weights = [PAIRS[name](q[i], k[j], i, j, max(len(q), len(k)), scale) for j in visible]
        total = sum(weights)
        values = [w / total * v[j] for w, j in zip(weights, visible, strict=True) if total > 0]
        rows.append(sum(values, torch.zeros(EV, dtype=v.dtype)))
    return torch.stack(rows)


def naive_efficient(q, k, v, seen, *, is_causal, scale):
    k, v = k[seen], v[seen]
    by_feature = torch.stack([torch.exp(k[:, d]) / torch.exp(k[:, d]).sum() for d in range(E)])  # (E, visible)
    queries = torch.stack([torch.exp(x) / torch.exp(x).sum() for x in q])
    return torch.stack([sum(x[d] * (by_feature[d] @ v) for d in range(E)) for x in queries])


def naive_linformer(q, k, v, seen, *, is_causal, scale):
    mixed, kept = given("linformer", len(k)), torch.where(seen)[0]
    keys = [sum(row[j] * k[j] for j in kept) for row in mixed["key_projection"]]
    values = [sum(row[j] * v[j] for j in kept) for row in mixed["value_projection"]]
    every = torch.ones(len(keys), dtype=torch.bool)
    return by_pairs("softmax", q, torch.stack(keys), torch.stack(values), every, is_causal=False, scale=scale)


def naive_nystromformer(q, k, v, seen, *, is_causal, scale):
    def means(x, shown):
        parts = [[j for j in range(len(x)) if j * 3 // len(x) == m and shown[j]] for m in range(3)]
        return torch.stack([sum(x[j] for j in part) / len(part) for part in parts if part])

    def rows(a, b):
        weights = torch.exp(scale * a @ b.mT)
        return weights / weights.sum(-1, keepdim=True)

    q_marks, k_marks = means(q, torch.ones(len(q))), means(k, seen)
    inverse = torch.linalg.pinv(rows(q_marks, k_marks))
    return rows(q, k_marks) @ inverse @ rows(q_marks, k[seen]) @ v[seen]


def naive_focused(q, k, v, seen, *, is_causal, scale):
    kernel, shown = given("focused")["kernel"], v * seen[:, None]
    near = [sum(kernel[:, d + 2] * shown[i + d] for d in range(-2, 3) if 0 <= i + d < len(v)) for i in range(len(q))]
    return by_pairs("focused", q, k, v, seen, is_causal=is_causal, scale=scale) + torch.stack(near)


OWN = {
    "efficient": naive_efficient,
    "linformer": naive_linformer,
    "nystromformer": naive_nystromformer,
    "focused": naive_focused,
}


def naive(name, q, k, v, *, seen, is_causal=False, scale=None):
    scale = (E**-0.5 if name not in {"elu", "efficient"} else 1) if scale is None else scale
    if name in {"elu", "efficient"}:
        q = q * scale
    if name in OWN:
        return OWN[name](q, k, v, seen, is_causal=is_causal, scale=scale)
    return by_pairs(name, q, k, v, seen, is_causal=is_causal, scale=scale)


MASKS = {"no mask": torch.ones(L, dtype=torch.bool), "mask": torch.arange(L) % 4 != 1}


@pytest.mark.parametrize("seen", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("scale", [None, 0.3])
@pytest.mark.parametrize("name", METHODS)
def test_it_is_its_formula(name, scale, seen):
    q, k, v = qkv()
    mask = None if seen.all() else seen
    assert_close(attend(name, q, k, v, key_mask=mask, scale=scale), naive(name, q, k, v, seen=seen, scale=scale))


@pytest.mark.parametrize("seen", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("name", CAUSAL)
def test_causal_it_is_its_formula_over_the_keys_so_far(name, seen):
    q, k, v = qkv()
    mask = None if seen.all() else seen
    expected = naive(name, q, k, v, seen=seen, is_causal=True)
    assert_close(attend(name, q, k, v, key_mask=mask, is_causal=True), expected)


@pytest.mark.parametrize("length", [1, 63, 64, 65, 200])
@pytest.mark.parametrize("name", CAUSAL)
def test_causal_the_future_changes_nothing(name, length):
    q, k, v = qkv(2, Lq=length, Lk=length)
    cut = (length + 1) // 2
    spoilt = [torch.cat([x[..., :cut, :], 5 - 2 * x[..., cut:, :]], -2) for x in (k, v)]
    kept = attend(name, q, k, v, is_causal=True)[..., :cut, :]
    assert_close(attend(name, q, *spoilt, is_causal=True)[..., :cut, :], kept)


@pytest.mark.parametrize("name", [name for name in METHODS if name not in CAUSAL])
def test_a_method_without_a_causal_form_refuses_it_with_the_reason(name):
    with pytest.raises(ValueError, match="no causal form, because"):
        attend(name, *qkv(), is_causal=True)


@pytest.mark.parametrize("name", METHODS)
def test_leading_dimensions_broadcast_and_heads_are_independent(name):
    q, k, v = qkv(2, 3)
    mask = torch.stack([MASKS["mask"], MASKS["no mask"]])
    together = attend(name, q, k[:, :1], v[:1], key_mask=mask)
    alone = [[attend(name, q[b, h], k[b, 0], v[0, h], key_mask=mask[b]) for h in range(3)] for b in range(2)]
    assert_close(together, torch.stack([torch.stack(row) for row in alone]))


@pytest.mark.parametrize("name", [name for name in METHODS if name != "focused"])
def test_cross_attention_takes_other_lengths(name):
    assert attend(name, *qkv(2, Lq=5, Lk=11)).shape == (2, 5, EV)


@pytest.mark.parametrize("name", METHODS)
def test_masked_keys_and_values_may_be_nan(name):
    q, k, v = qkv()
    hidden = ~MASKS["mask"][:, None]
    spoilt = attend(name, q, *(x.masked_fill(hidden, torch.nan) for x in (k, v)), key_mask=MASKS["mask"])
    assert_close(spoilt, attend(name, q, k, v, key_mask=MASKS["mask"]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", METHODS)
def test_no_visible_key_gives_zeros_and_finite_gradients(name, dtype):
    q, k, v = (x.requires_grad_() for x in qkv(2, dtype=dtype))
    output = attend(name, q, k, v, key_mask=torch.zeros(2, L, dtype=torch.bool))
    output.sum().backward()
    assert_close(output, torch.zeros_like(output))
    assert all(x.grad is None or x.grad.isfinite().all() for x in (q, k, v))  # the mean reads values alone


@pytest.mark.parametrize("name", [name for name in METHODS if name != "focused"])
def test_no_key_at_all_gives_zeros(name):
    output = attend(name, *qkv(2, Lq=5, Lk=0))
    assert_close(output, torch.zeros(2, 5, EV, dtype=torch.float64))


@pytest.mark.parametrize("name", METHODS)
def test_order_of_the_keys_matters_exactly_where_it_is_said_to(name):
    q, k, v = qkv()
    shuffled = torch.tensor([5, 0, 8, 3, 1, 7, 2, 6, 4])
    change = (attend(name, q, k[shuffled], v[shuffled]) - attend(name, q, k, v)).abs().max()
    assert (change > 1e-3) == OPERATORS[name].order_dependent


@pytest.mark.parametrize("name", METHODS)
def test_gradients_are_those_of_the_function(name):
    inputs = tuple(x.requires_grad_() for x in qkv(2, Lq=4, Lk=4))
    mask = torch.tensor([True, False, True, True])
    assert torch.autograd.gradcheck(lambda *x: attend(name, *x, key_mask=mask), inputs)


@pytest.mark.parametrize("name", METHODS)
def test_half_precision_comes_back_in_half_precision(name):
    q, k, v = qkv(dtype=torch.bfloat16)
    expected = attend(name, q.double(), k.double(), v.double())
    tolerance = {"atol": 0.05, "rtol": 0.05}
    assert_close(attend(name, q, k, v).double(), expected, **tolerance)
    assert attend(name, q, k, v).dtype == torch.bfloat16


@pytest.mark.parametrize("name", METHODS)
def test_bad_input_is_refused(name):
    q, k, v = qkv()
    with pytest.raises(ValueError, match="positive"):
        attend(name, q, k, v, scale=-1.0)
    with pytest.raises(TypeError, match="key_mask"):
        attend(name, q, k, v, key_mask=torch.ones(L))


def test_learned_tensors_have_to_fit():
    q, k, v = qkv()
    with pytest.raises(ValueError, match="one length"):
        OPERATORS["linformer"].call(q, k, v, **given("linformer", L + 1))
    for kernel in (torch.ones(EV, 4), torch.ones(EV + 1, 5)):
        with pytest.raises(ValueError, match="W odd"):
            OPERATORS["focused"].call(q, k, v, kernel=kernel)
    with pytest.raises(ValueError, match="Lq = Lk"):
        OPERATORS["focused"].call(q[1:], k, v, kernel=torch.ones(EV, 5))


def test_performer_comes_to_softmax_with_many_features():
    q, k, v = qkv()
    q, k = q / 2, k / 2
    draw = orthogonal_projection(200_000, E, generator=torch.Generator().manual_seed(0)).double()
    output = OPERATORS["performer"].call(q, k, v, projection=draw)
    assert_close(output, softmax_attention(q, k, v), atol=0.01, rtol=0)  # 0.07 off where QR keeps its own signs


def test_random_directions_are_orthogonal_with_the_norms_of_normal_ones():
    draw = orthogonal_projection(4000, 8, generator=torch.Generator().manual_seed(0))
    products = draw[:8] @ draw[:8].mT
    assert_close(products, products.diag().diag(), atol=1e-5, rtol=0)
    assert draw.square().sum(-1).mean().item() == pytest.approx(8, rel=0.05)
    assert_close(draw.mean(0), torch.zeros(8), atol=0.1, rtol=0)


def test_nystrom_with_a_landmark_for_every_key_is_softmax():
    q, k, v = qkv()
    output = OPERATORS["nystromformer"].call(q, k, v, landmarks=64, iterations=60)
    assert_close(output, softmax_attention(q, k, v), atol=1e-6, rtol=0)


def test_taylor_comes_to_softmax_for_small_scores():
    q, k, v = qkv()
    gaps = [
        (OPERATORS["taylor"].call(q, k, v, scale=s) - softmax_attention(q, k, v, scale=s)).abs().max()
        for s in (0.02, 0.01)
    ]
    assert 6 < gaps[0] / gaps[1] < 10, "the first term left out is of third order"


@pytest.mark.parametrize("length", [9, 700])
@pytest.mark.parametrize("masked", [False, True])
def test_softmax_in_half_precision_is_that_of_float32_rounded_however_few_the_keys(length, masked):
    q, k, v = qkv(2, Lk=length, dtype=torch.bfloat16)
    mask = torch.arange(length) % 3 > 0 if masked else None
    expected = softmax_attention(q.float(), k.float(), v.float(), key_mask=mask)
    found = softmax_attention(q, k, v, key_mask=mask)
    assert found.dtype == torch.bfloat16
    assert_close(found.float(), expected, rtol=2**-7, atol=2**-9)


def test_the_mean_of_many_values_in_half_precision_do_not_overflow():
    x = torch.full((1, 40_000, 2), 2.0, dtype=torch.float16)
    assert mean_attention(x, x, x).unique().tolist() == [2.0]
    assert mean_attention(x, x, x, is_causal=True).unique().tolist() == [2.0]


def test_the_mean_is_eala_of_keys_that_are_all_the_same():
    q, v = torch.randn(2, 2, 4, 7, 5).unbind()
    k = torch.ones(2, 4, 7, 5)
    torch.testing.assert_close(mean_attention(q, k, v), eala_attention(q, k, v))


def test_the_causal_mean_is_over_the_keys_so_far():
    q, v = torch.randn(2, 3, 7, 5, dtype=torch.float64).unbind()
    mask = torch.tensor([False, True, True, False, True, True, True])
    so_far = mean_attention(q, q, v, key_mask=mask.expand(3, 7), is_causal=True)
    torch.testing.assert_close(so_far, eala_attention(q, torch.ones_like(q), v, key_mask=mask, is_causal=True))
