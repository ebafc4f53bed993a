"""Kernels for queries that see the keys up to their own: each program walks the blocks of one split.

It enters with the state of all earlier splits, so splits run side by side. Within a block the products q k^T are
formed; sums over the visible keys are taken of x = key - a mean that the queries see, so that offsets cancel before
anything is rounded. The derivation is in docs/gpu.md.
"""

# ruff: noqa: PLR0917 - kernels take their arguments by position
from __future__ import annotations

import triton.language as tl

from elinformer.ops.eala.triton.tiles import (
    Tile,
    absorb,
    at_head,
    empty_sums,
    feature,
    feature_gradient,
    jit,
    load_keys,
    load_means,
    load_rows,
    load_sums,
    margin,
    margin_gradient,
    resume_state,
    state_size,
    store_rows,
    store_sums,
    sums_size,
)


@jit
def _minimum(a: Tile, b: Tile):
    return tl.minimum(a, b)


@jit
def _maximum(a: Tile, b: Tile):
    return tl.maximum(a, b)


@jit
def first_seen(x: Tile, seen: Tile):
    """Return the first row that is seen; zeros if none is."""
    rows = tl.arange(0, seen.shape[0])
    first = tl.min(tl.where(seen, rows, seen.shape[0]), 0)
    return tl.sum(tl.where((rows == first)[:, None], x, 0.0), 0)


@jit
def shifted(x: Tile, mean: Tile, n: Tile, seen: Tile):
    """Return rows less an origin, and the origin: the mean of earlier rows, or the first seen if there is none."""
    origin = tl.where(n > 0, mean, first_seen(x, seen))
    return tl.where(seen[:, None], x - origin[None, :], 0.0), origin


@jit
def bounds(x: Tile, lo: Tile, hi: Tile, seen: Tile, share: Tile, some: Tile, MAP: tl.constexpr):
    """Return mean - lo and hi - mean over the keys of each query; lo and hi are of earlier keys, from x's origin."""
    mean = tl.cumsum(x, 0) * share[:, None]
    least = tl.associative_scan(tl.where(seen[:, None], x, float("inf")), 0, _minimum)
    above = tl.where(some[:, None], mean - tl.minimum(least, lo[None, :]), 0.0)
    below = above
    if MAP == "identity":  # else no query is negative and hi does not matter
        most = tl.associative_scan(tl.where(seen[:, None], x, float("-inf")), 0, _maximum)
        below = tl.where(some[:, None], tl.maximum(most, hi[None, :]) - mean, 0.0)
    return above, below


@jit
def visible(seen: Tile, n: Tile):
    """Return a mask of the keys that each query sees (BLOCK, BLOCK), 1 / n with earlier keys, and if n > 0."""
    rows = tl.arange(0, seen.shape[0])
    keep = (rows[:, None] >= rows[None, :]) & seen[None, :]
    count = n + tl.sum(keep.to(tl.float32), 1)
    return keep, 1 / tl.maximum(count, 1.0), count > 0


@jit
def causal_apply_kernel(
    q_ptr: Tile, q_b: Tile, q_h: Tile, q_n: Tile,
    k_ptr: Tile, k_b: Tile, k_h: Tile, k_n: Tile,
    v_ptr: Tile, v_b: Tile, v_h: Tile, v_n: Tile,
    o_ptr: Tile, o_b: Tile, o_h: Tile, o_n: Tile,
    mask_ptr: Tile, m_b: Tile, m_h: Tile, m_n: Tile, state_ptr: Tile,
    heads: Tile, length: Tile, splits: Tile, steps: Tile, scale: Tile,
    E: tl.constexpr, EV: tl.constexpr, BLOCK: tl.constexpr,
    MAP: tl.constexpr, MASKED: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Write o_i = sum_j w_ij v_j over j <= i; earlier splits and blocks enter through their state."""
    pid = tl.program_id(0).to(tl.int64)
    head, split = pid // splits, pid % splits
    begin = split * steps * BLOCK
    q_ptr = at_head(q_ptr, q_b, q_h, head, heads)
    k_ptr = at_head(k_ptr, k_b, k_h, head, heads)
    v_ptr = at_head(v_ptr, v_b, v_h, head, heads)
    o_ptr = at_head(o_ptr, o_b, o_h, head, heads)
    mask_ptr = at_head(mask_ptr, m_b, m_h, head, heads)
    state_ptr += (head * (splits + 1) + split) * state_size(E, EV)
    products, k_mean, lo, hi, v_mean, n = resume_state(state_ptr, E, EV)
    for step in range(steps):
        start = begin + step * BLOCK
        exists = start + tl.arange(0, BLOCK) < length
        f = feature(load_rows(q_ptr, start, q_n, exists, E), exists, E, MAP)
        _, k, v, seen = load_keys(k_ptr, k_n, v_ptr, v_n, mask_ptr, m_n, start, length, E, EV, BLOCK, MAP, MASKED)

        x, k_origin = shifted(k, k_mean, n, seen)
        y, v_origin = shifted(v, v_mean, n, seen)
        keep, share, some = visible(seen, n)
        above, below = bounds(x, lo - k_origin, hi - k_origin, seen, share, some, MAP)
        c = tl.maximum(margin(f, above, below, MAP) * scale, 1.0)
        s = tl.where(keep, tl.dot(f, tl.trans(x), input_precision=PRECISION) * scale, 0.0)
        mu = tl.sum(s, 1) * share
        w = tl.where(keep, (1 + (s - mu[:, None]) / c[:, None]) * share[:, None], 0.0)
        earlier = tl.dot(f, products / tl.maximum(n, 1.0), input_precision=PRECISION) * (n * share * scale / c)[:, None]
        o = v_origin[None, :] + earlier + tl.dot(w, y, input_precision=PRECISION)
        store_rows(o_ptr, start, o_n, exists, tl.where(some[:, None], o, 0.0), EV)
        products, k_mean, lo, hi, v_mean, n = absorb(products, k_mean, lo, hi, v_mean, n, k, v, seen, PRECISION)


@jit
def causal_query_gradient_kernel(
    q_ptr: Tile, q_b: Tile, q_h: Tile, q_n: Tile,
    k_ptr: Tile, k_b: Tile, k_h: Tile, k_n: Tile,
    v_ptr: Tile, v_b: Tile, v_h: Tile, v_n: Tile,
    g_ptr: Tile, g_b: Tile, g_h: Tile, g_n: Tile,
    dq_ptr: Tile, dq_b: Tile, dq_h: Tile, dq_n: Tile,
    mask_ptr: Tile, m_b: Tile, m_h: Tile, m_n: Tile,
    state_ptr: Tile, part_ptr: Tile, factor_ptr: Tile,
    heads: Tile, length: Tile, splits: Tile, steps: Tile, scale: Tile,
    E: tl.constexpr, EV: tl.constexpr, BLOCK: tl.constexpr,
    MAP: tl.constexpr, MASKED: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Write the gradient dq; alpha, beta and delta per query, and P, e and b per split (docs/gpu.md)."""
    SIZE: tl.constexpr = state_size(E, EV)
    pid = tl.program_id(0).to(tl.int64)
    head, split = pid // splits, pid % splits
    begin = split * steps * BLOCK
    q_ptr = at_head(q_ptr, q_b, q_h, head, heads)
    k_ptr = at_head(k_ptr, k_b, k_h, head, heads)
    v_ptr = at_head(v_ptr, v_b, v_h, head, heads)
    g_ptr = at_head(g_ptr, g_b, g_h, head, heads)
    dq_ptr = at_head(dq_ptr, dq_b, dq_h, head, heads)
    mask_ptr = at_head(mask_ptr, m_b, m_h, head, heads)
    factor_ptr += head * 3 * length
    state_ptr += head * (splits + 1) * SIZE
    k_all, v_all = load_means(state_ptr + splits * SIZE, E, EV)
    products, k_mean, lo, hi, v_mean, n = resume_state(state_ptr + split * SIZE, E, EV)
    p_sum, e_sum, b_sum = empty_sums(E, EV)
    for step in range(steps):
        start = begin + step * BLOCK
        rows = start + tl.arange(0, BLOCK)
        exists = rows < length
        query, g = load_rows(q_ptr, start, q_n, exists, E), load_rows(g_ptr, start, g_n, exists, EV)
        f = feature(query, exists, E, MAP)
        _, k, v, seen = load_keys(k_ptr, k_n, v_ptr, v_n, mask_ptr, m_n, start, length, E, EV, BLOCK, MAP, MASKED)

        x, k_origin = shifted(k, k_mean, n, seen)
        y, v_origin = shifted(v, v_mean, n, seen)
        keep, share, some = visible(seen, n)
        above, below = bounds(x, lo - k_origin, hi - k_origin, seen, share, some, MAP)
        m = margin(f, above, below, MAP) * scale
        c = tl.maximum(m, 1.0)
        mu = tl.sum(tl.where(keep, tl.dot(f, tl.trans(x), input_precision=PRECISION) * scale, 0.0), 1) * share

        g_y = tl.where(keep, tl.dot(g, tl.trans(y), input_precision=PRECISION), 0.0)
        gamma = tl.sum(g_y, 1) * share
        own = tl.where(keep, (g_y - gamma[:, None]) * share[:, None], 0.0)
        S_t = tl.trans(products / tl.maximum(n, 1.0))
        earlier = tl.dot(g, S_t, input_precision=PRECISION) * (n * share)[:, None]
        g_S = earlier + tl.dot(own, x, input_precision=PRECISION)
        dm = tl.where(m >= 1, -tl.sum(f * g_S, 1) * scale / (c * c), 0.0)
        df = g_S / c[:, None] + dm[:, None] * margin_gradient(f, above, below, MAP)
        store_rows(dq_ptr, start, dq_n, exists, df * scale * feature_gradient(query, MAP), E)

        alpha = share / c
        beta = c - mu - tl.sum(f * (k_origin - k_all)[None, :], 1) * scale
        delta = dm * share - alpha * (gamma + tl.sum(g * (v_origin - v_all)[None, :], 1))
        tl.store(factor_ptr + rows, alpha, mask=exists)
        tl.store(factor_ptr + length + rows, beta, mask=exists)
        tl.store(factor_ptr + 2 * length + rows, delta, mask=exists)
        p_sum += tl.dot(tl.trans(f), g * (alpha * scale)[:, None], input_precision=PRECISION)
        e_sum += tl.sum(f * (delta * scale)[:, None], 0)
        b_sum += tl.sum(g * (alpha * beta)[:, None], 0)
        products, k_mean, lo, hi, v_mean, n = absorb(products, k_mean, lo, hi, v_mean, n, k, v, seen, PRECISION)
    store_sums(part_ptr + pid * sums_size(E, EV), p_sum, e_sum, b_sum, E, EV)


@jit
def causal_key_gradient_kernel(
    q_ptr: Tile, q_b: Tile, q_h: Tile, q_n: Tile,
    k_ptr: Tile, k_b: Tile, k_h: Tile, k_n: Tile,
    v_ptr: Tile, v_b: Tile, v_h: Tile, v_n: Tile,
    g_ptr: Tile, g_b: Tile, g_h: Tile, g_n: Tile,
    dk_ptr: Tile, dk_b: Tile, dk_h: Tile, dk_n: Tile,
    dv_ptr: Tile, dv_b: Tile, dv_h: Tile, dv_n: Tile,
    mask_ptr: Tile, m_b: Tile, m_h: Tile, m_n: Tile,
    state_ptr: Tile, part_ptr: Tile, factor_ptr: Tile,
    heads: Tile, length: Tile, splits: Tile, steps: Tile, scale: Tile,
    E: tl.constexpr, EV: tl.constexpr, BLOCK: tl.constexpr,
    MAP: tl.constexpr, MASKED: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Write the gradients dk and dv, last block first; part_ptr holds P, e and b of the later splits."""
    pid = tl.program_id(0).to(tl.int64)
    head, split = pid // splits, pid % splits
    begin = split * steps * BLOCK
    q_ptr = at_head(q_ptr, q_b, q_h, head, heads)
    k_ptr = at_head(k_ptr, k_b, k_h, head, heads)
    v_ptr = at_head(v_ptr, v_b, v_h, head, heads)
    g_ptr = at_head(g_ptr, g_b, g_h, head, heads)
    dk_ptr = at_head(dk_ptr, dk_b, dk_h, head, heads)
    dv_ptr = at_head(dv_ptr, dv_b, dv_h, head, heads)
    mask_ptr = at_head(mask_ptr, m_b, m_h, head, heads)
    factor_ptr += head * 3 * length
    k_all, v_all = load_means(state_ptr + (head * (splits + 1) + splits) * state_size(E, EV), E, EV)
    p_sum, e_sum, b_sum = load_sums(part_ptr + pid * sums_size(E, EV), E, EV)
    for step in range(steps):
        start = begin + (steps - 1 - step) * BLOCK
        rows = start + tl.arange(0, BLOCK)
        exists = rows < length
        g = load_rows(g_ptr, start, g_n, exists, EV)
        q = feature(load_rows(q_ptr, start, q_n, exists, E), exists, E, MAP) * scale
        key, k, v, seen = load_keys(k_ptr, k_n, v_ptr, v_n, mask_ptr, m_n, start, length, E, EV, BLOCK, MAP, MASKED)
        x = tl.where(seen[:, None], k - k_all[None, :], 0.0)
        y = tl.where(seen[:, None], v - v_all[None, :], 0.0)
        alpha = tl.load(factor_ptr + rows, mask=exists, other=0.0)
        beta = tl.load(factor_ptr + length + rows, mask=exists, other=0.0)
        delta = tl.load(factor_ptr + 2 * length + rows, mask=exists, other=0.0)
        keep, _, _ = visible(seen, 0.0)

        w = tl.where(keep, (tl.dot(q, tl.trans(x), input_precision=PRECISION) + beta[:, None]) * alpha[:, None], 0.0)
        ds = tl.where(keep, tl.dot(g, tl.trans(y), input_precision=PRECISION) * alpha[:, None] + delta[:, None], 0.0)
        dv = tl.dot(tl.trans(w), g, input_precision=PRECISION) + b_sum[None, :]
        dv += tl.dot(x, p_sum, input_precision=PRECISION)
        dk = tl.dot(tl.trans(ds), q, input_precision=PRECISION) + e_sum[None, :]
        dk += tl.dot(y, tl.trans(p_sum), input_precision=PRECISION)
        dk = tl.where(seen[:, None], dk * feature_gradient(key, MAP), 0.0)
        store_rows(dk_ptr, start, dk_n, exists, dk, E)
        store_rows(dv_ptr, start, dv_n, exists, tl.where(seen[:, None], dv, 0.0), EV)
        p_sum += tl.dot(tl.trans(q), g * alpha[:, None], input_precision=PRECISION)
        e_sum += tl.sum(q * delta[:, None], 0)
        b_sum += tl.sum(g * (alpha * beta)[:, None], 0)
