"""Kernels for the state of the keys, split over them with one merge, and for sums over splits."""

# ruff: noqa: PLR0917 - kernels take their arguments by position
from __future__ import annotations

import triton.language as tl

from elinformer.ops.eala.triton.tiles import (
    Tile,
    absorb,
    at_head,
    covariance_start,
    empty_state,
    jit,
    load_keys,
    padded,
    state_size,
    store_state,
)


@jit
def state_kernel(
    k_ptr: Tile, k_b: Tile, k_h: Tile, k_n: Tile,
    v_ptr: Tile, v_b: Tile, v_h: Tile, v_n: Tile,
    mask_ptr: Tile, m_b: Tile, m_h: Tile, m_n: Tile,
    state_ptr: Tile, heads: Tile, length: Tile, splits: Tile, steps: Tile,
    E: tl.constexpr, EV: tl.constexpr, BLOCK: tl.constexpr,
    MAP: tl.constexpr, MASKED: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Write the state of `steps` blocks of keys of one head in one program; keys and values are read once."""
    pid = tl.program_id(0).to(tl.int64)
    head, begin = pid // splits, pid % splits * steps * BLOCK
    k_ptr = at_head(k_ptr, k_b, k_h, head, heads)
    v_ptr = at_head(v_ptr, v_b, v_h, head, heads)
    mask_ptr = at_head(mask_ptr, m_b, m_h, head, heads)
    products, k_mean, lo, hi, v_mean, n = empty_state(E, EV)
    for step in range(steps):
        start = begin + step * BLOCK
        _, k, v, seen = load_keys(k_ptr, k_n, v_ptr, v_n, mask_ptr, m_n, start, length, E, EV, BLOCK, MAP, MASKED)
        products, k_mean, lo, hi, v_mean, n = absorb(products, k_mean, lo, hi, v_mean, n, k, v, seen, PRECISION)
    store_state(state_ptr + pid * state_size(E, EV), products, k_mean, lo, hi, v_mean, n, E, EV)


@jit
def merge_kernel(
    part_ptr: Tile, out_ptr: Tile, splits: Tile, prefixes: Tile,
    E: tl.constexpr, EV: tl.constexpr, ROWS: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    """Write ROWS rows of the merged state of the first splits of one head in one program.

    With `prefixes` = 1 it is the state of all splits; with splits + 1, the state before each and of all.
    The means are merged first and the products around them second, so no order of merging is needed.
    """
    SIZE: tl.constexpr = state_size(E, EV)
    pid = tl.program_id(0).to(tl.int64)
    first = pid // prefixes * splits
    limit = tl.where(prefixes == 1, splits, (pid % prefixes).to(tl.int32))
    d, e = tl.program_id(1) * ROWS + tl.arange(0, ROWS), tl.arange(0, padded(EV))
    in_k, in_v = (d < E)[None, :], (e < EV)[None, :]
    part_ptr += first * SIZE

    n_sum, k_sum, v_sum = tl.zeros((1,), tl.float32), tl.zeros((ROWS,), tl.float32), tl.zeros((padded(EV),), tl.float32)
    lo, hi = tl.full((ROWS,), float("inf"), tl.float32), tl.full((ROWS,), float("-inf"), tl.float32)
    for begin in range(0, limit, PARTS):
        part = begin + tl.arange(0, PARTS)
        is_part, row = (part < limit)[:, None], part_ptr + part[:, None] * SIZE
        n = tl.load(row, mask=is_part, other=0.0)  # (PARTS, 1)
        k_sum += tl.sum(n * tl.load(row + 1 + d[None, :], mask=is_part & in_k, other=0.0), 0)
        v_sum += tl.sum(n * tl.load(row + 1 + 3 * E + e[None, :], mask=is_part & in_v, other=0.0), 0)
        k_lo = tl.load(row + 1 + E + d[None, :], mask=is_part & in_k, other=0.0)
        k_hi = tl.load(row + 1 + 2 * E + d[None, :], mask=is_part & in_k, other=0.0)
        lo = tl.minimum(lo, tl.min(tl.where(n > 0, k_lo, float("inf")), 0))
        hi = tl.maximum(hi, tl.max(tl.where(n > 0, k_hi, float("-inf")), 0))
        n_sum += tl.sum(n, 0)
    share = 1 / tl.maximum(n_sum, 1.0)
    k_mean, v_mean = k_sum * share, v_sum * share

    products = tl.zeros((ROWS, padded(EV)), tl.float32)
    for begin in range(0, limit, PARTS):
        part = begin + tl.arange(0, PARTS)
        is_part, row = (part < limit)[:, None], part_ptr + part[:, None] * SIZE
        n = tl.load(row, mask=is_part, other=0.0)
        dk = tl.load(row + 1 + d[None, :], mask=is_part & in_k, other=0.0) - k_mean[None, :]
        dv = tl.load(row + 1 + 3 * E + e[None, :], mask=is_part & in_v, other=0.0) - v_mean[None, :]
        inside = is_part[:, :, None] & in_k[:, :, None] & in_v[:, None, :]
        S_ptr = row[:, :, None] + covariance_start(E, EV) + d[None, :, None] * EV + e[None, None, :]
        S = tl.load(S_ptr, mask=inside, other=0.0)  # (PARTS, ROWS, EV)
        S += dk[:, :, None] * dv[:, None, :]
        products += tl.sum(n[:, :, None] * S, 0)

    out_ptr += pid * SIZE
    S_ptr = out_ptr + covariance_start(E, EV) + d[:, None] * EV + e[None, :]
    tl.store(S_ptr, products * share, mask=(d < E)[:, None] & in_v)
    tl.store(out_ptr + 1 + d, k_mean, mask=d < E)
    tl.store(out_ptr + 1 + E + d, tl.where(n_sum > 0, lo, 0.0), mask=d < E)
    tl.store(out_ptr + 1 + 2 * E + d, tl.where(n_sum > 0, hi, 0.0), mask=d < E)
    if tl.program_id(1) == 0:
        tl.store(out_ptr + 1 + 3 * E + e, v_mean, mask=e < EV)
        tl.store(out_ptr + tl.arange(0, 1), n_sum)


@jit
def sum_kernel(
    part_ptr: Tile, out_ptr: Tile, splits: Tile, sums: Tile,
    SIZE: tl.constexpr, BLOCK: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    """Write BLOCK columns of the sum of the rows of one head's splits in one program.

    With `sums` = 1 it is the sum of all; with as many as splits, the sum of the rows after each.
    """
    pid = tl.program_id(0).to(tl.int64)
    begin = tl.where(sums == 1, 0, (pid % sums).to(tl.int32) + 1)
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    part_ptr += pid // sums * splits * SIZE
    total = tl.zeros((BLOCK,), tl.float32)
    for first in range(begin, splits, PARTS):
        part = first + tl.arange(0, PARTS)
        inside = (part < splits)[:, None] & (columns < SIZE)[None, :]
        total += tl.sum(tl.load(part_ptr + part[:, None] * SIZE + columns[None, :], mask=inside, other=0.0), 0)
    tl.store(out_ptr + pid * SIZE + columns, total, mask=columns < SIZE)
