"""Keys in several places: ranks are threads here, which exchange through memory."""

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

from elinformer.ops import eala_attention
from elinformer.ops.baselines import mean_attention
from elinformer.ops.eala import cpu
from elinformer.ops.eala.partitioned import OnRanks, numbers_exchanged, sharded_attention, sharded_mean

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
    """The output and the gradients of query, key and value."""
    leaves = [given[name].detach().clone().requires_grad_() for name in ("query", "key", "value")]
    output = attend(*leaves, key_mask=given["key_mask"], **options)
    output.backward(given["grad"])
    return [output.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None)]


def attended_in_parts(
    given: dict[str, Tensor], sizes: Sequence[int], attend: Callable[..., Tensor] = sharded_attention, **options: Any
) -> list[Tensor]:
    ranks = Threads(len(sizes))
    parts = [
        dict(zip(given, part, strict=True)) for part in zip(*(_cut(x, sizes) for x in given.values()), strict=True)
    ]
    with ThreadPoolExecutor(len(sizes)) as pool:
        jobs = [
            pool.submit(attended, attend, part, others=OnRanks(ranks.of(rank)), **options)
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


@given(sizes=st.lists(st.integers(0, 7), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_the_mean_of_all_values_is_known_everywhere(sizes: list[int], seed: int) -> None:
    given = inputs(sum(sizes), seed=seed)
    output, *_, gradient = attended_in_parts(given, sizes, sharded_mean)
    together, *_, of_values = attended(mean_attention, {**given, "key_mask": given["key_mask"][:, None]})
    assert_close(output, together, rtol=1e-12, atol=1e-12)
    assert_close(gradient, of_values, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("threads", [2, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_the_halves_of_the_kernel_give_what_it_gives_in_one_go(dtype: torch.dtype, threads: int) -> None:
    given, before = inputs(5000, dtype=dtype), torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        whole, halves = (
            attended(eala_attention, given),
            attended(sharded_attention, given, others=OnRanks(Threads(1).of(0))),
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


def test_what_is_exchanged_does_not_grow_with_the_keys() -> None:
    counted: list[list[int]] = []
    for length in (4, 400):
        ranks = Threads(1)
        attended(sharded_attention, inputs(length), others=OnRanks(ranks.of(0)))
        counted.append(ranks.numbers)
    forward, backward = numbers_exchanged(E, EV)
    assert counted[0] == counted[1]
    assert sum(counted[0][:3]) == B * H * forward
    assert counted[0][3:] == [B * H * backward]


def test_causal_attention_is_refused() -> None:
    x = torch.zeros(1, 3, 4)
    with pytest.raises(ValueError, match="is_causal=False"):
        sharded_attention(x, x, x, others=OnRanks(Threads(1).of(0)), is_causal=True)
