"""Attention to keys in several places: ranks are threads here, which exchange through memory."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from elinformer.ops import KeyState, eala_attention
from elinformer.ops.baselines.mean import mean_attention
from elinformer.ops.eala import cpu
from elinformer.ops.eala.partitioned import (
    Exchange,
    Group,
    RankExchange,
    StateExchange,
    WholeExchange,
    numbers_exchanged,
    partitioned_attention,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

B, H, E, EV = 2, 3, 4, 5


class Threads:
    """Ranks that are threads of one process."""

    def __init__(self, size: int) -> None:
        self.barrier = threading.Barrier(size, timeout=20)
        self.parts: dict[int, Tensor] = {}
        self.numbers: list[int] = []

    def of(self, rank: int) -> Thread:
        return Thread(self, rank)


class Thread:
    def __init__(self, all_ranks: Threads, rank: int) -> None:
        self.all, self.rank = all_ranks, rank

    def sum(self, x: Tensor) -> Tensor:
        return self._gathered(x).sum(0)

    def maximum(self, x: Tensor) -> Tensor:
        return self._gathered(x).amax(0)

    def _gathered(self, x: Tensor) -> Tensor:
        self.all.parts[self.rank] = x
        self.all.barrier.wait()
        gathered = torch.stack([self.all.parts[i] for i in range(self.all.barrier.parties)])
        if self.all.barrier.wait() == 0:
            self.all.numbers.append(x.numel())
        return gathered


def inputs(length: int, *, seed: int = 0, dtype: torch.dtype = torch.float64, offset: float = 0.0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"query": E, "key": E, "value": EV, "grad": EV}
    made = {name: torch.randn(B, H, length, d, generator=generator, dtype=torch.float64) for name, d in shapes.items()}
    made["key"] += offset
    made["value"] += offset
    made["key_mask"] = torch.rand(B, length, generator=generator) < 0.7
    return {name: x if x.dtype == torch.bool else x.to(dtype) for name, x in made.items()}


def attended(attend: Callable[..., Tensor], given: dict[str, Tensor], **options: Any) -> list[Tensor]:
    """Return the output and the gradients of query, key and value."""
    leaves = [given[name].detach().clone().requires_grad_() for name in ("query", "key", "value")]
    output = attend(*leaves, key_mask=given["key_mask"], **options)
    output.backward(given["grad"])
    return [output.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None)]


def attended_in_parts(
    given: dict[str, Tensor],
    sizes: Sequence[int],
    attend: Callable[..., Tensor] = partitioned_attention,
    **options: Any,
) -> list[Tensor]:
    ranks = Threads(len(sizes))
    parts = [
        dict(zip(given, part, strict=True)) for part in zip(*(_cut(x, sizes) for x in given.values()), strict=True)
    ]
    with ThreadPoolExecutor(len(sizes)) as pool:
        jobs = [
            pool.submit(attended, partitioned_attention, part, exchange=RankExchange(ranks.of(rank)), **options)
            for rank, part in enumerate(parts)
        ]
        results = [job.result() for job in jobs]
    return [torch.cat(tensors, -2) for tensors in zip(*results, strict=True)]


def _cut(x: Tensor, sizes: Sequence[int]) -> tuple[Tensor, ...]:
    return x.split(list(sizes), -1 if x.dtype == torch.bool else -2)


@given(
    sizes=st.lists(st.integers(0, 7), min_size=1, max_size=4),
    feature_map=st.sampled_from(["relu", "softplus", "identity"]),
    scale=st.sampled_from([None, 0.3, 5.0]),
    seed=st.integers(0, 99),
)
def test_parts_of_the_keys_give_what_all_of_them_give(
    sizes: list[int], feature_map: str, scale: float, seed: int
) -> None:
    given = inputs(sum(sizes), seed=seed)
    options = {"feature_map": feature_map, "scale": scale}
    together = attended(eala_attention, given, backend="torch", **options)
    for part, whole in zip(attended_in_parts(given, sizes, **options), together, strict=True):
        assert_close(part, whole, rtol=1e-12, atol=1e-12)


@given(
    sizes=st.lists(st.integers(0, 7), min_size=1, max_size=4),
    sharpness=st.sampled_from([0.0, 0.3, 1.0]),
    feature_map=st.sampled_from(["relu", "softplus", "identity"]),
    seed=st.integers(0, 99),
)
def test_sharpness_is_a_blend_of_the_mean_and_the_output(
    sizes: list[int], sharpness: float, feature_map: str, seed: int
) -> None:
    given = inputs(sum(sizes), seed=seed)

    def blended(query: Tensor, key: Tensor, value: Tensor, *, key_mask: Tensor) -> Tensor:
        output = eala_attention(query, key, value, key_mask=key_mask, scale=5.0, feature_map=feature_map)
        return torch.lerp(mean_attention(query, key, value, key_mask=key_mask), output, sharpness)

    parts = attended_in_parts(given, sizes, sharpness=sharpness, scale=5.0, feature_map=feature_map)
    for part, whole in zip(parts, attended(blended, given), strict=True):
        assert_close(part, whole, rtol=1e-10, atol=1e-10)


def state_of(given: dict[str, Tensor], keys: slice, feature_map: str = "relu") -> KeyState:
    key, value, mask = (given[name] for name in ("key", "value", "key_mask"))
    return KeyState.from_keys(key[..., keys, :], value[..., keys, :], mask[..., keys], feature_map=feature_map)


@pytest.mark.parametrize("feature_map", ["relu", "softplus", "identity"])
@pytest.mark.parametrize("here", [0, 4, 9], ids="{} keys here".format)
@pytest.mark.parametrize("sharpness", [1.0, 0.4])
def test_keys_known_by_their_state_count_as_if_they_were_here(here: int, feature_map: str, sharpness: float) -> None:
    given, options = inputs(9, offset=3.0), {"feature_map": feature_map, "scale": 2.0}
    query, key, value, mask = (given[name] for name in ("query", "key", "value", "key_mask"))
    output = partitioned_attention(
        query,
        key[..., :here, :],
        value[..., :here, :],
        key_mask=mask[..., :here],
        exchange=StateExchange(state_of(given, slice(here, None), feature_map)),
        sharpness=sharpness,
        **options,
    )
    whole = eala_attention(query, key, value, key_mask=mask, **options)
    mean = mean_attention(query, key, value, key_mask=mask)
    assert_close(output, torch.lerp(mean, whole, sharpness), rtol=1e-8, atol=1e-8)


def test_keys_at_hand_stand_for_those_of_the_state_in_the_gradient() -> None:
    half, options = inputs(6), {"scale": 2.0}
    half["key_mask"][:] = True
    twice = {name: torch.cat([x, x], -1 if x.dtype == torch.bool else -2) for name, x in half.items()}
    exchange = StateExchange(state_of(half, slice(None)))
    _, of_query, of_key, of_value = attended(partitioned_attention, half, exchange=exchange, **options)
    _, *expected = (x[..., :6, :] for x in attended(eala_attention, twice, **options))
    assert_close(of_query, expected[0], rtol=1e-8, atol=1e-8)
    assert_close(of_key, expected[1], rtol=1e-8, atol=1e-8)
    assert_close(of_value, expected[2], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("feature_map", ["relu", "softplus", "identity"])
@pytest.mark.parametrize("with_keys", [False, True])
def test_a_state_of_all_keys_is_the_whole_attention(with_keys: bool, feature_map: str) -> None:
    given, options = inputs(9, offset=3.0), {"feature_map": feature_map, "scale": 2.0}
    query, key, value, mask = (given[name] for name in ("query", "key", "value", "key_mask"))
    exchange = WholeExchange(state_of(given, slice(None), feature_map))
    keys = (key, value) if with_keys else (None, None)
    whole = eala_attention(query, key, value, key_mask=mask, **options)
    mean = mean_attention(query, key, value, key_mask=mask)
    for sharpness in (1.0, 0.0, 0.4):
        output = partitioned_attention(query, *keys, exchange=exchange, sharpness=sharpness, **options)
        assert_close(output, torch.lerp(mean, whole, sharpness), rtol=1e-8, atol=1e-8)


def test_a_state_of_all_keys_keeps_the_digits_of_float32_under_an_offset() -> None:
    exact = inputs(600, offset=1e3)
    query, key, value = (exact[name] for name in ("query", "key", "value"))
    expected = eala_attention(query, key, value, feature_map="identity")
    exchange = WholeExchange(KeyState.from_keys(key, value, feature_map="identity"))
    output = partitioned_attention(query.float(), None, None, exchange=exchange, feature_map="identity")
    assert (output - expected).abs().max() <= 2 * torch.finfo(torch.float32).eps * 1e3


def test_a_state_of_all_keys_gathers_nothing_and_has_no_gradient() -> None:
    given = inputs(9)
    query, key, value, mask = (given[name] for name in ("query", "key", "value", "key_mask"))
    poisoned = key.fill_(torch.nan).requires_grad_(), value.requires_grad_()
    exchange = WholeExchange(state_of(inputs(9), slice(None)))
    output = partitioned_attention(query.requires_grad_(), *poisoned, key_mask=mask, exchange=exchange)
    assert output.isfinite().all()
    with pytest.raises(ValueError, match="no gradient"):
        output.sum().backward()


def test_keys_are_gathered_once_and_only_when_they_are_asked_for() -> None:
    gathered = []

    class Counting:
        def merge_keys(self, gather, dtype):
            gathered.append(gather())
            return gathered[-1]

        def sum_gradients(self, gradient, *, n, n_here):
            return gradient

    given = inputs(9)
    for got, whole in zip(
        attended(partitioned_attention, given, exchange=Counting()), attended(eala_attention, given), strict=True
    ):
        assert_close(got, whole, rtol=1e-12, atol=1e-12)
    assert len(gathered) == 1


def test_exchanges_and_groups_are_known_by_their_methods() -> None:
    group, state = Threads(1).of(0), state_of(inputs(3), slice(None))
    assert isinstance(group, Group)
    assert all(isinstance(x, Exchange) for x in (RankExchange(group), StateExchange(state), WholeExchange(state)))


@pytest.mark.parametrize("sharpness", [1.0, 0.4])
def test_gradients_equal_finite_differences_where_other_keys_set_the_bounds(sharpness: float) -> None:
    generator = torch.Generator().manual_seed(0)
    query, key, value = (
        (torch.randn(1, 2, 6, 4, generator=generator, dtype=torch.float64) * 2).requires_grad_() for _ in range(3)
    )
    far = torch.full((1, 2, 1, 4), 9.0, dtype=torch.float64)  # sets lo and hi, which are constants
    ends = torch.cat([far, -far], -2)

    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        keys, values = torch.cat([ends, key], -2), torch.cat([value[..., :2, :], value], -2)
        exchange = RankExchange(Threads(1).of(0))
        return partitioned_attention(
            query, keys, values, exchange=exchange, feature_map="identity", sharpness=sharpness, scale=1.0
        )

    assert torch.autograd.gradcheck(attend, (query, key, value))


@pytest.mark.parametrize("threads", [2, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_the_halves_of_the_kernel_give_what_it_gives_in_one_go(dtype: torch.dtype, threads: int) -> None:
    given, before = inputs(5000, dtype=dtype), torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        whole, halves = (
            attended(eala_attention, given),
            attended(partitioned_attention, given, exchange=RankExchange(Threads(1).of(0))),
        )
    finally:
        torch.set_num_threads(before)
    for one, other in zip(halves, whole, strict=True):
        assert_close(one, other)


def test_plain_pytorch_has_the_same_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    given = inputs(30)
    expected = attended_in_parts(given, (10, 20))
    monkeypatch.setattr(cpu, "_LIBRARY", None)
    for got, one in zip(attended_in_parts(given, (10, 20)), expected, strict=True):
        assert_close(got, one, rtol=1e-12, atol=1e-12)


def test_a_rank_whose_keys_are_all_masked_adds_nothing_but_gets_its_share() -> None:
    given = inputs(9)
    given["key_mask"][:, 3:6] = False
    given["key"][:, :, 3:6] = torch.nan
    given["value"][:, :, 3:6] = torch.nan
    together = attended(eala_attention, given)
    for part, whole in zip(attended_in_parts(given, (3, 3, 3)), together, strict=True):
        assert_close(part, whole, rtol=1e-12, atol=1e-12)


def test_without_any_key_the_output_is_zero() -> None:
    given = inputs(4)
    given["key_mask"][:] = False
    output, *gradients = attended_in_parts(given, (3, 1))
    assert not output.any()
    assert not any(gradient.any() for gradient in gradients[1:])


def test_an_offset_costs_no_digits_in_float32() -> None:
    exact = inputs(600, offset=50.0)
    given = {name: x if x.dtype == torch.bool else x.float() for name, x in exact.items()}
    reference = attended(eala_attention, {n: x.double() if x.is_floating_point() else x for n, x in given.items()})
    mean = reference[0].mean(-2, keepdim=True)
    error = (attended_in_parts(given, (100, 500))[0].double() - reference[0]).norm() / (reference[0] - mean).norm()
    assert error < 5e-4


def test_half_precision_is_summed_in_float32() -> None:
    given = inputs(50, dtype=torch.bfloat16)
    whole, parts = attended(eala_attention, given), attended_in_parts(given, (20, 30))
    assert parts[0].dtype == torch.bfloat16
    for part, one in zip(parts, whole, strict=True):
        assert_close(part, one, rtol=2e-2, atol=2e-2)


def test_the_exchange_does_not_grow_with_the_keys() -> None:
    counted: list[list[int]] = []
    for length in (4, 400):
        ranks = Threads(1)
        attended(partitioned_attention, inputs(length), exchange=RankExchange(ranks.of(0)))
        counted.append(ranks.numbers)
    forward, backward = numbers_exchanged(E, EV)
    assert counted[0] == counted[1]
    assert sum(counted[0][:3]) == B * H * forward
    assert counted[0][3:] == [B * H * backward]


def test_states_and_options_that_do_not_fit_are_refused() -> None:
    x, state = torch.zeros(1, 3, 4), KeyState.from_keys(torch.zeros(1, 3, 4), torch.zeros(1, 3, 4))
    for exchange in (StateExchange(state), WholeExchange(state)):
        with pytest.raises(ValueError, match="feature map"):
            partitioned_attention(x, x, x, exchange=exchange, feature_map="identity")
        with pytest.raises(ValueError, match="head dim"):
            partitioned_attention(x[..., :3], x[..., :3], x, exchange=exchange)
    for sharpness in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="sharpness"):
            partitioned_attention(x, x, x, exchange=StateExchange(state), sharpness=sharpness)
    with pytest.raises(ValueError, match="key and value"):
        partitioned_attention(x, None, None, exchange=StateExchange(state))
