"""Tests of `EntropyLinearAttention` against `torch.nn.MultiheadAttention` and the reference of EALA."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from elinformer.errors import InputError
from elinformer.nn import (
    EalaOperator,
    EntropyLinearAttention,
    FocusedOperator,
    LinformerOperator,
    PerformerOperator,
    keep_sharpness,
    set_sharpness,
)
from elinformer.ops.eala.reference import eala_reference
from elinformer.ops.registry import OPERATORS, Operator

VARIANTS = {
    "default": {},
    "batch_first": {"batch_first": True},
    "no bias": {"bias": False},
    "widths": {"kdim": 5, "vdim": 7},
    "widths without bias": {"kdim": 5, "vdim": 7, "bias": False, "batch_first": True},
}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def softmax_pair(embed_dim=12, num_heads=3, **options):
    """Return the attention of PyTorch, and our layer with the same weights and the softmax operator."""
    torch_layer = nn.MultiheadAttention(embed_dim, num_heads, **options)
    for parameter in torch_layer.parameters():
        nn.init.normal_(parameter, std=0.3)
    layer = EntropyLinearAttention(embed_dim, num_heads, operator="softmax", **options)
    layer.load_state_dict(torch_layer.state_dict())
    return torch_layer, layer


def inputs(options, *, Lq=9, Lk=11, self_attention=False):
    """Return query, key and value in the layout of the options."""
    widths = (12, options.get("kdim", 12), options.get("vdim", 12))
    if self_attention:
        x = torch.randn(4, Lq, 12) if options.get("batch_first") else torch.randn(Lq, 4, 12)
        return x, x, x
    lengths = (Lq, Lk, Lk)
    shapes = [(4, n, w) if options.get("batch_first") else (n, 4, w) for n, w in zip(lengths, widths, strict=True)]
    return tuple(torch.randn(shape) for shape in shapes)


def padding(Lk=11):
    """Return a mask of MultiheadAttention: True = the key is ignored."""
    return torch.arange(Lk) >= torch.tensor([[Lk], [5], [1], [8]])


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("masked", [False, True])
def test_with_softmax_the_layer_equals_multihead_attention(options, masked):
    torch_layer, layer = softmax_pair(**options)
    q, k, v = inputs(options)
    mask = padding() if masked else None
    assert_close(layer(q, k, v, key_padding_mask=mask)[0], torch_layer(q, k, v, key_padding_mask=mask)[0])


@pytest.mark.parametrize("average", [False, True])
def test_with_softmax_the_weights_equal_those_of_multihead_attention(average):
    torch_layer, layer = softmax_pair()
    q, k, v = inputs({})
    options = {"key_padding_mask": padding(), "need_weights": True, "average_attn_weights": average}
    assert_close(layer(q, k, v, **options)[1], torch_layer(q, k, v, **options)[1])


@pytest.mark.parametrize("operator", ["eala", "softmax", "elu"])
@pytest.mark.parametrize("is_causal", [False, True])
def test_sharpness_interpolates_between_the_mean_of_the_values_and_the_operator(operator, is_causal):
    layer = EntropyLinearAttention(12, 3, batch_first=True, operator=operator)
    x, mask = torch.randn(4, 11, 12), padding()
    results = {}
    for layer.sharpness in (0.0, 0.3, 1.0):
        options = {"key_padding_mask": mask, "need_weights": True, "is_causal": is_causal}
        results[layer.sharpness] = torch.cat(layer(x, x, x, **options), -1)  # the outputs, and the weights
    assert_close(results[0.3], 0.7 * results[0.0] + 0.3 * results[1.0])
    visible = ~mask[:, None].expand(4, 11, 11)
    visible = visible.tril() if is_causal else visible
    assert_close(results[0.0][..., 12:], visible / visible.sum(-1, keepdim=True).clamp_min(1))


@pytest.mark.parametrize("sharpness", [-0.1, 1.1, float("nan")])
def test_a_sharpness_outside_0_to_1_is_refused(sharpness):
    with pytest.raises(InputError, match="expected a sharpness of 0 to 1"):
        EntropyLinearAttention(12, 3, sharpness=sharpness)
    model = nn.Sequential(EntropyLinearAttention(12, 3))
    keep_sharpness(model)
    with pytest.raises(InputError, match="expected a sharpness of 0 to 1"):
        set_sharpness(model, sharpness)
    assert model[0].sharpness == 1


@pytest.mark.parametrize("batch_first", [False, True])
def test_input_without_a_batch_is_computed_as_in_multihead_attention(batch_first):
    torch_layer, layer = softmax_pair(batch_first=batch_first)
    q, k, v = torch.randn(9, 12), torch.randn(11, 12), torch.randn(11, 12)
    for output, expected in zip(layer(q, k, v, padding()[1], True), torch_layer(q, k, v, padding()[1]), strict=True):
        assert_close(output, expected)


@pytest.mark.parametrize("shared", ["query, key and value", "key and value", "nothing"])
def test_inputs_that_are_the_same_tensor_give_the_same_output_as_copies(shared):
    _, layer = softmax_pair()
    x = torch.randn(9, 4, 12)
    y = x if shared == "query, key and value" else x.clone()
    z = y if shared == "key and value" else y if shared.startswith("query") else y.clone()
    assert_close(layer(x, y, z)[0], layer(x, x.clone(), x.clone())[0])


def test_self_attention_projects_its_input_with_one_matrix_product():
    _, layer = softmax_pair()
    with torch.profiler.profile() as profile:
        layer(*inputs({}, self_attention=True))
    products = [event.count for event in profile.key_averages() if event.key == "aten::linear"]
    assert products == [2], "one product in, one out"


def test_each_head_computes_eala_of_its_projections():
    attention = EntropyLinearAttention(12, 3, batch_first=True).double()
    x = torch.randn(4, 9, 12, dtype=torch.float64)
    q, k, v = (
        (x @ w.mT + b).unflatten(-1, (3, 4)).transpose(1, 2)
        for w, b in zip(attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3), strict=True)
    )
    visible = ~padding(9)[:, None]
    expected = eala_reference(q, k, v, key_mask=visible)
    output, weights = attention(x, x, x, ~visible[:, 0], need_weights=True, average_attn_weights=False)
    assert_close(output, attention.out_proj(expected.output.transpose(1, 2).flatten(-2)))
    assert_close(weights, expected.weights)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("positive_heads", [0, 1, 3])
def test_positive_heads_use_softplus_and_other_heads_the_identity(positive_heads, batch_first):
    options = {"operator": EalaOperator("identity"), "positive_heads": positive_heads, "batch_first": batch_first}
    attention = EntropyLinearAttention(12, 3, **options).double()
    x = torch.randn(4, 9, 12, dtype=torch.float64)
    q, k, v = ((x @ w.mT).unflatten(-1, (3, 4)).transpose(1, 2) for w in attention.in_proj_weight.chunk(3))
    heads = [
        eala_reference(q[:, h], k[:, h], v[:, h], feature_map="softplus" if h < positive_heads else "identity")
        for h in range(3)
    ]
    x = x if batch_first else x.transpose(0, 1)
    output, weights = attention(x, x, x, need_weights=True, average_attn_weights=False)
    expected = attention.out_proj(torch.cat([head.output for head in heads], -1))
    assert_close(output, expected if batch_first else expected.transpose(0, 1))
    assert_close(weights, torch.stack([head.weights for head in heads], 1))


@pytest.mark.parametrize("positive_heads", [-1, 4, 1.0, True, "2"])
def test_an_invalid_number_of_positive_heads_is_refused(positive_heads):
    with pytest.raises(InputError, match=f"expected positive_heads, .* 0 to num_heads=3, got {positive_heads!r}"):
        EntropyLinearAttention(12, 3, positive_heads=positive_heads)


@pytest.mark.parametrize("need_weights", [False, True])
def test_positive_heads_work_with_autocast_that_returns_softplus_in_float32(need_weights, monkeypatch):
    layer = EntropyLinearAttention(12, 3, operator=EalaOperator("identity"), positive_heads=2)
    x = torch.randn(9, 4, 12)
    expected = layer(x, x, x, need_weights=need_weights)
    monkeypatch.setattr("elinformer.nn.attention.softplus", lambda x: nn.functional.softplus(x.float()))  # as on CUDA
    with torch.autocast("cpu", torch.bfloat16):
        mixed = layer(x, x, x, need_weights=need_weights)
    assert mixed[0].dtype == torch.bfloat16
    assert_close(mixed[0].float(), expected[0], rtol=0.05, atol=0.02)


def test_a_layer_with_positive_heads_compiles():
    layer = EntropyLinearAttention(12, 3, operator=EalaOperator("identity"), positive_heads=2)
    x = torch.randn(9, 12)
    assert_close(torch.compile(layer, backend="eager", fullgraph=True)(x, x, x)[0], layer(x, x, x)[0])


def test_positive_heads_work_in_half_precision_without_a_batch():
    layer = EntropyLinearAttention(12, 3, operator=EalaOperator("identity"), positive_heads=2)
    x = torch.randn(9, 12)
    expected = layer(x, x, x)[0]
    assert_close(layer.bfloat16()(*[x.bfloat16()] * 3)[0].float(), expected, rtol=0.05, atol=0.02)


def test_weights_are_not_computed_by_default():
    x = torch.randn(4, 9, 12)
    assert EntropyLinearAttention(12, 3)(x, x, x)[1] is None


def test_a_float_padding_mask_of_zeros_and_infinities_equals_a_bool_mask():
    attention = EntropyLinearAttention(12, 3)
    q, k, v = inputs({})
    as_float = torch.zeros(4, 11).masked_fill(padding(), -torch.inf)
    assert_close(attention(q, k, v, as_float)[0], attention(q, k, v, padding())[0])
    lowest = as_float.clamp_min(torch.finfo(torch.float32).min)
    assert_close(attention(q, k, v, lowest)[0], attention(q, k, v, padding())[0])


@pytest.mark.parametrize("mask", [torch.full((4, 11), 0.5), torch.zeros(4, 11, dtype=torch.int64)], ids=["bias", "int"])
def test_a_padding_mask_of_other_values_is_refused(mask):
    with pytest.raises(InputError, match="key_padding_mask"):
        EntropyLinearAttention(12, 3)(*inputs({}), key_padding_mask=mask)


@pytest.mark.parametrize("positive_heads", [0, 2])
def test_the_values_of_a_padded_key_do_not_matter(positive_heads):
    attention = EntropyLinearAttention(12, 3, batch_first=True, positive_heads=positive_heads)
    q, k, v = inputs({"batch_first": True})
    poisoned = [x.masked_fill(padding()[..., None], torch.nan) for x in (k, v)]
    assert_close(attention(q, *poisoned, padding())[0], attention(q, k, v, padding())[0])


def test_a_query_without_keys_gets_the_projection_of_zeros():
    attention = EntropyLinearAttention(12, 3)
    nn.init.normal_(attention.out_proj.bias)
    output, _ = attention(*inputs({}), key_padding_mask=torch.ones(4, 11, dtype=torch.bool))
    assert_close(output, attention.out_proj.bias.expand_as(output))


CAUSAL = nn.Transformer.generate_square_subsequent_mask(9)


@pytest.mark.parametrize("attn_mask", [None, CAUSAL, CAUSAL.bool()], ids=["flag", "float", "bool"])
@pytest.mark.parametrize("is_causal", [False, True])
def test_the_causal_mask_is_accepted_as_a_flag_or_as_a_mask(attn_mask, is_causal):
    torch_layer, layer = softmax_pair()
    q, k, v = inputs({}, self_attention=True)
    expected_mask = None if attn_mask is None and not is_causal else CAUSAL
    expected = torch_layer(q, k, v, attn_mask=expected_mask)[0]
    assert_close(layer(q, k, v, attn_mask=attn_mask, is_causal=is_causal)[0], expected)


def test_a_mask_that_hides_no_key_is_accepted():
    _, layer = softmax_pair()
    x = inputs({}, self_attention=True)
    assert_close(layer(*x, attn_mask=torch.zeros(9, 9))[0], layer(*x)[0])


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("mask", [torch.rand(9, 9), torch.rand(9, 9) > 0.5, CAUSAL.T], ids=["bias", "bool", "upper"])
def test_any_other_attention_mask_is_refused(mask, is_causal):
    with pytest.raises(InputError, match="never builds"):
        EntropyLinearAttention(12, 3)(*inputs({}, self_attention=True), attn_mask=mask, is_causal=is_causal)


def test_dropout_drops_values_only_in_training_and_keeps_their_mean():
    attention = EntropyLinearAttention(12, 3, dropout=0.3, batch_first=True)
    x = torch.randn(1, 50, 12).expand(4000, 50, 12)
    with torch.no_grad():
        in_training = attention(x, x, x)[0]
        exact = attention.eval()(x[:1], x[:1], x[:1])[0]
    assert (in_training[0] - in_training[1]).abs().max() > 0.01
    assert_close(in_training.mean(0), exact[0], atol=0.02, rtol=0)


def test_dropout_has_the_variance_of_multihead_attention():
    torch_layer, layer = softmax_pair(dropout=0.3, batch_first=True)
    x = torch.randn(1, 20, 12).expand(4000, 20, 12)
    with torch.no_grad():
        assert_close(layer(x, x, x)[0].std(0), torch_layer(x, x, x)[0].std(0), atol=0.01, rtol=0.08)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"embed_dim": 10, "num_heads": 3}, "divides"),
        ({"embed_dim": 12, "num_heads": 0}, "divides"),
        ({"embed_dim": 12, "num_heads": 3, "add_bias_kv": True}, "add_bias_kv"),
        ({"embed_dim": 12, "num_heads": 3, "add_zero_attn": True}, "add_zero_attn"),
        ({"embed_dim": 12, "num_heads": 3, "operator": "magic"}, "'magic'"),
        ({"embed_dim": 12, "num_heads": 3, "operator": "linformer"}, r"LinformerOperator\(length\)"),
    ],
)
def test_options_without_a_linear_form_are_refused(options, match):
    with pytest.raises(InputError, match=match):
        EntropyLinearAttention(**options)


@pytest.mark.parametrize("shape", [(9, 4, 13), (9, 12, 4, 12), (12,)])
def test_inputs_of_the_wrong_shape_are_refused(shape):
    x = torch.randn(shape)
    with pytest.raises(InputError, match=r"expected query, key and value of shape \(L, B, width\)"):
        EntropyLinearAttention(12, 3)(x, x, x)


def test_the_layer_can_be_copied_and_converted():
    attention = EntropyLinearAttention(12, 3, dtype=torch.float64)
    x = torch.randn(9, 4, 12, dtype=torch.float64)
    assert_close(copy.deepcopy(attention)(x, x, x)[0], attention(x, x, x)[0])
    assert attention.bfloat16()(*(x.bfloat16(),) * 3)[0].dtype == torch.bfloat16


@pytest.mark.parametrize("name", [name for name in OPERATORS if name != "linformer"])
def test_every_operator_works_by_name_and_saves_its_tensors(name):
    attention = EntropyLinearAttention(12, 3, operator=name)
    x = torch.randn(9, 4, 12)
    output = attention(x, x, x, key_padding_mask=padding(9))[0]
    output.square().sum().backward()
    assert output.shape == x.shape
    assert all(p.grad is not None for p in attention.parameters())
    again = EntropyLinearAttention(12, 3, operator=name)
    again.load_state_dict(attention.state_dict())
    assert_close(again(x, x, x, key_padding_mask=padding(9))[0], output)


@pytest.mark.parametrize("operator", [LinformerOperator(9, 5), FocusedOperator(4, 3), PerformerOperator(4, 20)])
def test_an_operator_that_is_a_module_is_registered_in_the_layer(operator):
    attention = EntropyLinearAttention(12, 3, operator=operator)
    x = torch.randn(9, 4, 12)
    attention(x, x, x)[0].square().sum().backward()
    state = {name.removeprefix("operator.") for name in attention.state_dict() if name.startswith("operator.")}
    assert state == set(operator.state_dict())
    assert all(p.grad.abs().sum() > 0 for p in operator.parameters())


@pytest.mark.parametrize(
    "masks",
    [
        {"key_padding_mask": padding(9)},
        {"key_padding_mask": torch.zeros(4, 9).masked_fill(padding(9), -torch.inf)},
        {"attn_mask": CAUSAL, "is_causal": True},
    ],
    ids=["bool", "float", "causal"],
)
def test_the_layer_compiles_as_one_graph(masks):
    attention = EntropyLinearAttention(12, 3)
    x = torch.randn(9, 4, 12)
    compiled = torch.compile(attention, fullgraph=True, backend="aot_eager")
    assert_close(compiled(x, x, x, **masks)[0], attention(x, x, x, **masks)[0])


def test_the_layer_can_be_exported():
    attention = EntropyLinearAttention(12, 3)
    x = torch.randn(9, 4, 12)
    assert_close(torch.export.export(attention, (x, x, x)).module()(x, x, x)[0], attention(x, x, x)[0])


def test_autocast_applies_to_other_operators_and_not_to_those_of_the_library(monkeypatch):
    class Mixing(nn.Module):
        def __init__(self):
            super().__init__()
            self.map = nn.Linear(4, 4)

        def forward(self, q, k, v, **_):
            return self.map(v)

    x = torch.randn(5, 2, 12)
    with torch.autocast("cpu", torch.bfloat16):
        assert EntropyLinearAttention(12, 3, operator=Mixing())(x, x, x)[0].dtype == torch.bfloat16
    dtypes = []

    def library_operator(q, k, v, **_):
        dtypes.append((q.dtype, (q.float() @ k.float().mT).dtype))
        return v

    monkeypatch.setitem(OPERATORS, "elu", Operator(library_operator))
    with torch.autocast("cpu", torch.bfloat16):
        EntropyLinearAttention(12, 3, operator="elu")(x, x, x)
        assert torch.is_autocast_enabled("cpu")
    assert dtypes == [(torch.bfloat16, torch.float32)]


@pytest.mark.parametrize("name", [name for name in OPERATORS if name not in {"linformer", "performer", "focused"}])
def test_the_error_with_autocast_is_at_most_that_of_half_precision(name):
    layer, x = EntropyLinearAttention(32, 4, operator=name), torch.randn(40, 2, 32)
    exact = layer(x, x, x)[0]
    with torch.autocast("cpu", torch.bfloat16):
        mixed = layer(x, x, x)[0]
    half = copy.deepcopy(layer).bfloat16()
    in_half = half(*[x.bfloat16()] * 3)[0]
    assert 0 < (mixed - exact).abs().max() <= 2 * (in_half - exact).abs().max()


@pytest.mark.parametrize("name", ["eala", "softmax"])
def test_the_layer_works_on_a_device_without_autocast(name):
    layer = EntropyLinearAttention(12, 3, operator=name, device="meta")
    x = torch.empty(5, 2, 12, device="meta")
    assert layer(x, x, x)[0].shape == x.shape


def test_the_sharpness_is_loaded_and_copied_with_the_model():
    model, other = (nn.Sequential(EntropyLinearAttention(12, 3)) for _ in range(2))
    for module in (model, other):
        keep_sharpness(module)
    set_sharpness(model, 0.5)
    assert copy.deepcopy(model)[0].sharpness == 0.5
    other.load_state_dict(model.state_dict())
    assert other[0].sharpness == 0.5
