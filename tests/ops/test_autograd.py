"""EALA under PyTorch's own machinery: opcheck, gradcheck, compile, export, vmap, autocast."""

from __future__ import annotations

import pytest
import torch

from elinformer.ops import eala_attention

UNCHECKED = pytest.mark.skipif(hasattr(eala_attention, "__wrapped__"), reason="no compiler looks through shape checks")


def inputs(*shape, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(*shape, generator=generator, dtype=dtype, requires_grad=True) for _ in range(3))


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_operator_passes_pytorchs_own_check(dtype, is_causal, backend):
    tensors = inputs(2, 3, 9, 4, dtype=dtype)
    mask = torch.rand(2, 3, 9, generator=torch.Generator().manual_seed(1)) < 0.7
    operator = torch.ops.elinformer.eala.default
    torch.library.opcheck(operator, (*tensors, mask, 0.5, "relu", is_causal, backend), rtol=1e-2, atol=1e-2)
    torch.library.opcheck(operator, (*tensors, None, 0.5, "identity", is_causal, backend), rtol=1e-2, atol=1e-2)


def test_the_operator_passes_pytorchs_own_check_for_heads_split_from_a_wider_tensor(backend):
    tensors = [x.unflatten(-1, (3, 4)).transpose(1, 2).detach().requires_grad_() for x in inputs(2, 9, 12)]
    torch.library.opcheck(torch.ops.elinformer.eala.default, (*tensors, None, 0.5, "relu", False, backend))


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("feature_map", ["relu", "softplus", "identity"])
def test_gradients_equal_finite_differences_where_other_keys_set_the_bounds(feature_map, is_causal, backend):
    q, k, v = (x.detach() for x in inputs(1, 2, 7, 4, dtype=torch.float64))
    far = torch.full((1, 2, 1, 4), 9.0, dtype=torch.float64)  # first and last of all keys, so lo and hi are given
    ends = torch.cat([far, -far], -2)
    values = torch.cat([v[..., :2, :], v], -2).requires_grad_()
    q, k = (torch.cat([q[..., :2, :], q], -2) * 2).requires_grad_(), k.requires_grad_()

    def attend(q, k, v):
        keys = torch.cat([ends, k], -2)
        return eala_attention(q, keys, v, is_causal=is_causal, feature_map=feature_map, backend=backend)

    assert torch.autograd.gradcheck(attend, (q, k, values))


@UNCHECKED
@pytest.mark.parametrize("is_causal", [False, True])
def test_compiles_without_a_graph_break(is_causal):
    q, k, v = inputs(2, 3, 9, 4)
    mask = torch.rand(2, 9, generator=torch.Generator().manual_seed(1)) < 0.7

    def attend(q, k, v):
        return eala_attention(q, k, v, key_mask=mask, is_causal=is_causal)

    compiled = torch.compile(attend, fullgraph=True, backend="aot_eager")
    for results in zip(*(with_gradients(f, q, k, v) for f in (compiled, attend)), strict=True):
        torch.testing.assert_close(*results)


def with_gradients(attend, *tensors):
    output = attend(*tensors)
    return output, *torch.autograd.grad(output.sin().sum(), tensors)


class Attend(torch.nn.Module):
    def forward(self, query, key, value, key_mask):
        return eala_attention(query, key, value, key_mask=key_mask, feature_map="softplus")


def test_exports_with_a_dynamic_length():
    q, k, v = inputs(2, 3, 9, 4)
    mask, length = torch.rand(2, 9) < 0.7, torch.export.Dim("length", min=2, max=100)
    shape = {2: length}
    program = torch.export.export(Attend(), (q, k, v, mask), dynamic_shapes=(shape, shape, shape, {1: length}))
    q, k, v = inputs(2, 3, 20, 4)
    mask = torch.rand(2, 20) < 0.7
    torch.testing.assert_close(program.module()(q, k, v, mask), Attend()(q, k, v, mask))


def test_vmap_equals_a_loop(backend):
    q, k, v = inputs(5, 3, 9, 4)
    mapped = torch.vmap(lambda q, k, v: eala_attention(q, k, v, backend=backend), in_dims=(0, 1, None))(
        q, k.transpose(0, 1), v[0]
    )
    loop = torch.stack([eala_attention(q[i], k[i], v[0], backend=backend) for i in range(5)])
    torch.testing.assert_close(mapped, loop)


@pytest.mark.parametrize("is_causal", [False, True])
def test_the_transforms_of_torch_func_equal_the_references(is_causal, backend):
    mask = torch.rand(2, 9, generator=torch.Generator().manual_seed(1)) < 0.7
    x = inputs(2, 9, 4, dtype=torch.float64)[0].detach()

    def attend(x, backend, key_mask=mask):
        return eala_attention(x, x.sin(), x + 1, key_mask=key_mask, is_causal=is_causal, backend=backend)

    def loss(x, backend, key_mask=mask):
        return attend(x, backend, key_mask).sin().sum()

    for transform in (torch.func.grad(loss), torch.func.jacrev(attend)):
        torch.testing.assert_close(transform(x, backend), transform(x, "reference"))
    each = torch.vmap(torch.func.grad(loss), in_dims=(0, None, 0))
    torch.testing.assert_close(each(x, backend, mask), torch.func.grad(loss)(x, "reference"))


@pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")  # PyTorch's own, at the first jvp
def test_derivatives_it_does_not_have_are_refused_with_the_way_to_get_them():
    x = inputs(2, 9, 4)[0].detach()

    def loss(x):
        return eala_attention(x, x, x).sin().sum()

    with pytest.raises(NotImplementedError, match="no forward-mode derivative"):
        torch.func.jvp(loss, (x,), (x,))
    with pytest.raises(NotImplementedError, match="no second derivative"):
        torch.func.grad(lambda x: torch.func.grad(loss)(x).sum())(x)


def test_autocast_brings_mixed_inputs_to_its_dtype():
    q, k, v = inputs(2, 3, 9, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = eala_attention(q, k.bfloat16(), v)
    assert output.dtype == torch.bfloat16
    torch.testing.assert_close(output.float(), eala_attention(q, k, v), rtol=2e-2, atol=2e-2)


def test_autocast_leaves_float64_alone():
    tensors = inputs(2, 3, 9, 4, dtype=torch.float64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert eala_attention(*tensors).dtype == torch.float64


def test_a_second_derivative_is_refused_with_the_way_to_get_it():
    q, k, v = inputs(2, 3, 9, 4)
    (first,) = torch.autograd.grad(eala_attention(q, k, v).sin().sum(), q, create_graph=True)
    with pytest.raises(NotImplementedError, match="reference"):
        first.sum().backward()


def test_memory_kept_for_the_backward_is_inputs_and_states_alone():
    q, k, v = inputs(2, 3, 500, 4)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.shape) or x, lambda x: x):
        eala_attention(q, k, v)
    state = 1 + 3 * 4 + 4 + 4 * 4
    assert sorted(shape.numel() for shape in kept) == [6 * state, *[6 * 500 * 4] * 3]
