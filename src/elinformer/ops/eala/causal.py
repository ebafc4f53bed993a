"""Causal EALA in chunks, in plain PyTorch: the time and memory of one chunk squared, times their number.

A query of a chunk sees the state of all earlier chunks and its own chunk's prefix (theory, section 6). Sums are
taken about a pivot, the mean before the chunk, so that an offset in the data costs no digits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from elinformer.ops.eala.statistics import certified_margin, margin_gradient, margin_slope

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

CHUNK = 128


class _Carry(NamedTuple):
    """State of the keys before a chunk, with sums in place of S, so that a chunk is added by one sum."""

    n: Tensor  # (..., 1, 1)
    k_mean: Tensor  # (..., 1, E)
    v_mean: Tensor  # (..., 1, Ev)
    products: Tensor  # (..., E, Ev), n S
    lo: Tensor
    hi: Tensor


class _Rows(NamedTuple):
    """Running statistics of the keys that each query of a chunk sees; `x`, `z` are keys and values less the pivots."""

    q: Tensor
    x: Tensor
    z: Tensor
    pivots: tuple[Tensor, Tensor]
    n: Tensor  # (..., C, 1), at least 1
    some: Tensor  # (..., C, 1), False = no key seen
    x_mean: Tensor  # (..., C, E), running mean of the keys less the pivot
    z_mean: Tensor  # (..., C, Ev)
    above: Tensor  # (..., C, E), running kbar - lo
    below: Tensor  # (..., C, E), running hi - kbar
    margin: Tensor  # (..., C, 1)


def causal_forward(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Return outputs (..., L, Ev) of queries that see keys 0..i; arguments as in `elinformer.ops.eala.statistics`."""
    output, carry, lower = torch.empty_like(v), _nothing(k, v), _product_of_prefixes(v)
    for part in _chunks(k.shape[-2]):
        rows, after = _see(carry, q[..., part, :], k[..., part, :], v[..., part, :], _part(mask, part))
        f = rows.q / rows.margin.clamp_min(1)
        along = (f * rows.x_mean).sum(-1, keepdim=True)
        y = (f @ carry.products + lower(f @ rows.x.mT, rows.z)) / rows.n - along * rows.z_mean
        output[..., part, :] = (rows.pivots[1] + (rows.z_mean + y)).where(rows.some, 0)
        carry = after
    return output


def causal_gradients(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of q, k and v (theory, section 8): one pass forth for q, one back for k and v."""
    grads = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
    carry, chunks = _nothing(k, v), list(_chunks(k.shape[-2]))
    lower = _product_of_prefixes(grad, q, k, v)
    kept: list[tuple[_Rows, Tensor, Tensor]] = []
    for part in chunks:
        rows, after = _see(carry, q[..., part, :], k[..., part, :], v[..., part, :], _part(mask, part))
        grad_y = (grad[..., part, :] / rows.margin.clamp_min(1)).where(rows.some, 0)
        grads[0][..., part, :], grad_m = _query_gradient(grad_y, rows, carry, lower)
        kept.append((rows, grad_y / rows.n, grad_m / rows.n))
        carry = after
    future = _Future.none(k, v)
    for part in reversed(chunks):
        (grads[1][..., part, :], grads[2][..., part, :]), future = future.back(*kept.pop(), lower)
    if mask is not None:
        for x in grads[1:]:
            x.masked_fill_(~mask[..., None], 0)
    return grads


class CausalScores(NamedTuple):
    """Statistics of the scores of the keys 0..i that query i sees."""

    n: Tensor  # (..., L, 1), number of keys
    k_mean: Tensor  # (..., L, E)
    margin: Tensor  # (..., L, 1), the certificate m
    variance: Tensor  # (..., L, 1)


def causal_scores(q: Tensor, k: Tensor, mask: Tensor | None) -> CausalScores:
    """Return number, mean, certificate and variance of the scores of every query, in linear time."""
    lead = torch.broadcast_shapes(q.shape[:-2], k.shape[:-2])
    q, k = q.expand(*lead, *q.shape[-2:]), k.expand(*lead, *k.shape[-2:])
    mask = None if mask is None else mask.expand(*lead, -1)
    empty = q.new_empty(*lead, 0, 1)
    found, carry = [CausalScores(empty, k[..., :0, :], empty, empty)], _nothing(k, k)
    for part in _chunks(k.shape[-2]):
        rows, after = _see(carry, q[..., part, :], k[..., part, :], k[..., part, :], _part(mask, part))
        inside = (rows.q @ rows.x.mT).tril().square().sum(-1, keepdim=True)
        before = ((rows.q @ carry.products) * rows.q).sum(-1, keepdim=True)
        variance = (inside + before) / rows.n - (rows.q * rows.x_mean).sum(-1, keepdim=True).square()
        k_mean = (rows.pivots[0] + rows.x_mean).where(rows.some, 0)
        found.append(CausalScores(rows.n * rows.some, k_mean, rows.margin, variance))
        carry = after
    return CausalScores(*(torch.cat(parts, -2) for parts in zip(*found, strict=True)))


def _product_of_prefixes(*tensors: Tensor) -> Callable[..., Tensor]:
    """Return a product of the lower triangle of a matrix with rows, fit for the numbers in the tensors.

    Zero times a number that is not finite is NaN, so that it would reach rows that do not see it. A careful product
    is twice as slow, and needed only where there is such a number.
    """
    total = torch.stack([x.sum() for x in tensors]).sum()
    return _lower_product if bool(total.isfinite()) else _careful_lower_product


def _lower_product(matrix: Tensor, rows: Tensor, *, transposed: bool = False) -> Tensor:
    """Return tril(matrix) @ rows, or its transpose @ rows."""
    matrix = matrix.tril()
    return (matrix.mT if transposed else matrix) @ rows


def _careful_lower_product(matrix: Tensor, rows: Tensor, *, transposed: bool = False) -> Tensor:
    """Return the same, with NaN exactly where a row that is not finite takes part."""
    wrong = ~rows.isfinite()
    reached = wrong.flip(-2).cumsum(-2).flip(-2) if transposed else wrong.cumsum(-2)
    product = _lower_product(matrix, rows.masked_fill(wrong, 0), transposed=transposed)
    return product.masked_fill(reached > 0, torch.nan)


def _chunks(length: int) -> list[slice]:
    return [slice(start, min(start + CHUNK, length)) for start in range(0, length, CHUNK)]


def _part(mask: Tensor | None, part: slice) -> Tensor | None:
    return None if mask is None else mask[..., part]


def _nothing(k: Tensor, v: Tensor) -> _Carry:
    e, ev, lead = k.shape[-1], v.shape[-1], k.shape[:-2]
    zeros = [k.new_zeros(*lead, *shape) for shape in ((1, 1), (1, e), (1, ev), (e, ev))]
    lo, hi = (k.new_full((*lead, 1, e), bound) for bound in (torch.inf, -torch.inf))
    return _Carry(zeros[0], zeros[1], zeros[2], zeros[3], lo, hi)


def _see(before: _Carry, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> tuple[_Rows, _Carry]:
    """Return the running statistics of each row of the chunk, and the state after it."""
    seen = k.new_ones(k.shape[:-1], dtype=torch.bool) if mask is None else mask
    hidden, counts = ~seen[..., None], seen[..., None].to(k.dtype).cumsum(-2) + before.n
    n, some = counts.clamp_min(1), counts > 0
    first = seen.byte().argmax(-1)[..., None, None]
    pivots = _pivot(before, before.k_mean, k, first), _pivot(before, before.v_mean, v, first)
    x, z = ((a - pivot).masked_fill(hidden, 0) for a, pivot in zip((k, v), pivots, strict=True))
    x_mean, z_mean = x.cumsum(-2) / n, z.cumsum(-2) / n
    lo = torch.minimum(before.lo, k.masked_fill(hidden, torch.inf).cummin(-2).values)
    hi = torch.maximum(before.hi, k.masked_fill(hidden, -torch.inf).cummax(-2).values)
    above = (pivots[0] - lo + x_mean).where(some, 0)
    below = (hi - pivots[0] - x_mean).where(some, 0)
    margin = certified_margin(q, above, below)
    rows = _Rows(q, x, z, pivots, n, some, x_mean, z_mean, above, below, margin)
    last = slice(-1, None)
    products = x.mT @ z - counts[..., last, :] * (x_mean[..., last, :].mT @ z_mean[..., last, :])
    k_mean, v_mean = pivots[0] + x_mean[..., last, :], pivots[1] + z_mean[..., last, :]
    after = before.products + products
    return rows, _Carry(counts[..., last, :], k_mean, v_mean, after, lo[..., last, :], hi[..., last, :])


def _pivot(before: _Carry, mean: Tensor, a: Tensor, first: Tensor) -> Tensor:
    """Return the mean before the chunk; where there is none, the first key, so that seeing it alone is exact."""
    return torch.where(before.n > 0, mean, a.take_along_dim(first, -2))


def _query_gradient(grad_y: Tensor, rows: _Rows, before: _Carry, lower: Callable[..., Tensor]) -> tuple[Tensor, Tensor]:
    along = (grad_y * rows.z_mean).sum(-1, keepdim=True)
    h = (grad_y @ before.products.mT + lower(grad_y @ rows.z.mT, rows.x)) / rows.n - along * rows.x_mean
    grad_m = margin_gradient(rows.q, h, rows.margin)
    return h + grad_m * margin_slope(rows.q, rows.above, rows.below), grad_m


class _Future(NamedTuple):
    """Sums over the queries after a chunk, about `pivots`: q^T u and its two projections."""

    products: Tensor  # (..., E, Ev)
    for_k: Tensor  # (..., 1, E)
    for_v: Tensor  # (..., 1, Ev)
    pivots: tuple[Tensor, Tensor]

    @classmethod
    def none(cls, k: Tensor, v: Tensor) -> _Future:
        empty = _nothing(k, v)
        return cls(empty.products, empty.k_mean, empty.v_mean, (empty.k_mean, empty.v_mean))

    def back(
        self, rows: _Rows, u: Tensor, grad_m: Tensor, lower: Callable[..., Tensor]
    ) -> tuple[tuple[Tensor, Tensor], _Future]:
        """Return the gradients of the chunk's keys and values, and the sums with its queries; u is grad / (c n)."""
        (p, r), c = rows.pivots, rows.margin.clamp_min(1)
        for_v = self.for_v + (self.pivots[0] - p) @ self.products
        for_k = self.for_k + (self.pivots[1] - r) @ self.products.mT
        a = (rows.q * rows.x_mean).sum(-1, keepdim=True) - c  # (..., C, 1)
        b = (u * rows.z_mean).sum(-1, keepdim=True) - grad_m
        grad_k = lower(u @ rows.z.mT - b, rows.q, transposed=True) + rows.z @ self.products.mT - for_k
        grad_v = lower(rows.q @ rows.x.mT - a, u, transposed=True) + rows.x @ self.products - for_v
        products = self.products + rows.q.mT @ u
        return (grad_k, grad_v), _Future(products, for_k + b.mT @ rows.q, for_v + a.mT @ u, rows.pivots)
