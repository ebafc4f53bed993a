"""Tests of `swap_attention` in models of PyTorch."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from elinformer.errors import InputError
from elinformer.nn import EntropyLinearAttention, swap_attention
from elinformer.ops.eala.reference import eala_reference


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def reference(q, k, v, *, key_mask=None, is_causal=False):
    return eala_reference(q, k, v, key_mask=key_mask, is_causal=is_causal).output


def encoder(**options):
    layer = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, **{"batch_first": True, **options})
    built = nn.TransformerEncoder(layer, 2, enable_nested_tensor=bool(options.get("batch_first", True)))
    for parameter in built.parameters():
        nn.init.normal_(parameter, std=0.3)
    return built


PADDING = torch.arange(9) >= torch.tensor([[9], [5], [2]])
CAUSAL = nn.Transformer.generate_square_subsequent_mask(9)
MASKS = {
    "no mask": {},
    "padding": {"src_key_padding_mask": PADDING},
    "causal": {"mask": CAUSAL},
    "causal flag": {"mask": CAUSAL, "is_causal": True},
    "padding and causal": {"src_key_padding_mask": PADDING, "mask": CAUSAL.isinf()},
}


def run(model, x, masks, *, training):
    """Return the output in training mode with gradients, or in the fused mode of PyTorch: eval and no_grad."""
    model.train(training)
    with torch.set_grad_enabled(training), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The PyTorch API of nested tensors")
        return model(x, **masks).detach()


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval and no_grad"])
@pytest.mark.parametrize("masks", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("options", [{}, {"norm_first": True, "batch_first": False}], ids=["default", "norm first"])
def test_a_swapped_encoder_runs_the_operator_in_both_modes(options, masks, training):
    original, x = encoder(**options), torch.randn(3, 9, 16)
    x = x if options.get("batch_first", True) else x.transpose(0, 1)
    swapped = swap_attention(copy.deepcopy(original), operator=reference)
    expected = run(swapped, x, masks, training=True)  # PyTorch has no fused path in training mode
    assert_close(run(swapped, x, masks, training=training), expected)
    assert (expected - run(original, x, masks, training=True)).abs().max() > 0.01
    assert_close(run(swap_attention(original), x, masks, training=training), expected)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval and no_grad"])
@pytest.mark.parametrize("masks", MASKS.values(), ids=MASKS)
def test_swapping_to_softmax_does_not_change_the_output(masks, training):
    original, x = encoder(), torch.randn(3, 9, 16)
    swapped = swap_attention(copy.deepcopy(original), operator="softmax")
    kept = ~masks.get("src_key_padding_mask", torch.zeros(3, 9, dtype=torch.bool))
    expected = run(original, x, masks, training=True)
    assert_close(run(swapped, x, masks, training=training)[kept], expected[kept])


def test_an_encoder_built_of_swapped_layers_runs_the_operator_in_both_modes():
    layer = swap_attention(nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True))
    built, x = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), torch.randn(3, 9, 16)
    masks = {"src_key_padding_mask": PADDING}
    assert_close(run(built, x, masks, training=False), run(built, x, masks, training=True))


def test_a_nested_tensor_is_refused_with_a_solution():
    original, x = encoder(), torch.randn(3, 9, 16)
    swap_attention(original.layers)  # the encoder itself still uses its fused path
    with pytest.raises(InputError, match="use_nested_tensor"):
        run(original, x, {"src_key_padding_mask": PADDING}, training=False)


def test_a_whole_transformer_is_swapped():
    model = swap_attention(nn.Transformer(16, 4, 1, 1, 32, dropout=0.0, batch_first=True))
    attentions = [m for m in model.modules() if isinstance(m, EntropyLinearAttention)]
    assert len(attentions) == 3
    assert not any(type(m) is nn.MultiheadAttention for m in model.modules())
    source, target = torch.randn(3, 7, 16), torch.randn(3, 9, 16)
    expected = model(source, target, tgt_mask=CAUSAL, tgt_is_causal=True)
    with torch.no_grad():
        assert_close(model.eval()(source, target, tgt_mask=CAUSAL), expected)


def test_swapped_layers_hold_the_same_parameters_so_that_an_optimiser_stays_valid():
    original = encoder()
    before = dict(original.named_parameters())
    after = dict(swap_attention(original).named_parameters())
    assert before.keys() == after.keys()
    assert all(after[name] is parameter for name, parameter in before.items())


@pytest.mark.parametrize("options", [{"kdim": 5, "vdim": 7}, {"bias": False}, {"dtype": torch.float64}])
def test_attention_with_any_options_is_replaced(options):
    original = nn.MultiheadAttention(12, 3, dropout=0.1, **options).eval()
    swapped = swap_attention(original, operator="softmax")
    dtype = options.get("dtype", torch.float32)
    q, k, v = (torch.randn(9, 4, n, dtype=dtype) for n in (12, original.kdim, original.vdim))
    assert_close(swapped(q, k, v)[0], original(q, k, v)[0])
    assert (swapped.dropout, swapped.training) == (0.1, False)


def test_an_attention_that_is_used_twice_is_replaced_once():
    shared = nn.MultiheadAttention(12, 3)
    model = swap_attention(nn.ModuleDict({"a": shared, "b": nn.ModuleList([shared])}))
    assert model["a"] is model["b"][0]
    assert isinstance(model["a"], EntropyLinearAttention)


def test_swapping_again_changes_nothing():
    model = swap_attention(nn.ModuleList([nn.MultiheadAttention(12, 3)]))
    once = model[0]
    assert swap_attention(model)[0] is once


class _Subclass(nn.MultiheadAttention):
    pass


def _attention_with_hook():
    attention = nn.MultiheadAttention(12, 3)
    attention.register_forward_hook(lambda *_: None)
    return attention


@pytest.mark.parametrize(
    ("attention", "match"),
    [
        (_Subclass(12, 3), "subclass _Subclass"),
        (_attention_with_hook(), "hooks"),
        (nn.MultiheadAttention(12, 3, add_bias_kv=True), "second: expected add_bias_kv"),
        (nn.MultiheadAttention(12, 3, add_zero_attn=True), "second: expected add_zero_attn"),
    ],
)
def test_an_attention_that_cannot_be_replaced_is_refused_before_any_change(attention, match):
    model = nn.ModuleDict({"first": nn.MultiheadAttention(12, 3), "second": attention})
    with pytest.raises(InputError, match=match):
        swap_attention(model)
    assert type(model["first"]) is nn.MultiheadAttention
