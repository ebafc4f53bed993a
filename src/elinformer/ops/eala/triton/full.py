"""Kernels for queries that see every key: apply the state, and the backward in one pass over each side."""

# ruff: noqa: PLR0917 - kernels take their arguments by position
from __future__ import annotations

import triton.language as tl

from elinformer.ops.eala.triton.tiles import (
    Tile,
    at_head,
    empty_sums,
    feature,
    feature_gradient,
    jit,
    load_keys,
    load_means,
    load_rows,
    load_state,
    load_sums,
    margin,
    margin_gradient,
    state_size,
    store_rows,
    store_sums,
    sums_size,
)


@jit
def apply_kernel(
    q_ptr: Tile, q_b: Tile, q_h: Tile, q_n: Tile,
    o_ptr: Tile, o_b: Tile, o_h: Tile, o_n: Tile,
    state_ptr: Tile, heads: Tile, length: Tile, splits: Tile, steps: Tile, scale: Tile,
    E: tl.constexpr, EV: tl.constexpr, BLOCK: tl.constexpr, MAP: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Write the output vbar + q S / c for `steps` blocks of queries (theory, section 4)."""
    pid = tl.program_id(0).to(tl.int64)
    head, begin = pid // splits, pid % splits * steps * BLOCK
    q_ptr = at_head(q_ptr, q_b, q_h, head, heads)
    o_ptr = at_head(o_ptr, o_b, o_h, head, heads)
    S, k_mean, lo, hi, v_mean, _ = load_state(state_ptr + head * state_size(E, EV), E, EV)
    above, below = k_mean - lo, hi - k_mean
    for step in range(steps):
        start = begin + step * BLOCK
        seen = start + tl.arange(0, BLOCK) < length
        f = feature(load_rows(q_ptr, start, q_n, seen, E), seen, E, MAP)
        c = tl.maximum(margin(f, above[None, :], below[None, :], MAP) * scale, 1.0)
        read = tl.dot(f, S, input_precision=PRECISION) * (scale / c)[:, None]
        store_rows(o_ptr, start, o_n, seen, v_mean[None, :] + read, EV)


@jit
def query_gradient_kernel(
    q_ptr: Tile, q_b: Tile, q_h: Tile, q_n: Tile,
    g_ptr: Tile, g_b: Tile, g_h: Tile, g_n: Tile,
    dq_ptr: Tile, dq_b: Tile, dq_h: Tile, dq_n: Tile,
    state_ptr: Tile, part_ptr: Tile,
    heads: Tile, length: Tile, splits: Tile, steps: Tile, scale: Tile,
    E: tl.constexpr, EV: tl.constexpr, BLOCK: tl.constexpr, MAP: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Write the gradient dq for `steps` blocks of queries, and their share of dS, dkbar and dvbar."""
    pid = tl.program_id(0).to(tl.int64)
    head, begin = pid // splits, pid % splits * steps * BLOCK
    q_ptr = at_head(q_ptr, q_b, q_h, head, heads)
    g_ptr = at_head(g_ptr, g_b, g_h, head, heads)
    dq_ptr = at_head(dq_ptr, dq_b, dq_h, head, heads)
    S, k_mean, lo, hi, _, _ = load_state(state_ptr + head * state_size(E, EV), E, EV)
    above, below = k_mean - lo, hi - k_mean
    S_t = tl.trans(S)
    dS, dk_mean, dv_mean = empty_sums(E, EV)
    for step in range(steps):
        start = begin + step * BLOCK
        seen = start + tl.arange(0, BLOCK) < length
        x, g = load_rows(q_ptr, start, q_n, seen, E), load_rows(g_ptr, start, g_n, seen, EV)
        f = feature(x, seen, E, MAP)
        m = margin(f, above[None, :], below[None, :], MAP) * scale
        c = tl.maximum(m, 1.0)
        g_S = tl.dot(g, S_t, input_precision=PRECISION)
        dm = tl.where(m >= 1, -tl.sum(f * g_S, 1) * scale / (c * c), 0.0)
        df = g_S / c[:, None] + dm[:, None] * margin_gradient(f, above[None, :], below[None, :], MAP)
        store_rows(dq_ptr, start, dq_n, seen, df * scale * feature_gradient(x, MAP), E)
        dS += tl.dot(tl.trans(f), g * (scale / c)[:, None], input_precision=PRECISION)
        dk_mean += tl.sum(f * (dm * scale)[:, None], 0)
        dv_mean += tl.sum(g, 0)
    store_sums(part_ptr + pid * sums_size(E, EV), dS, dk_mean, dv_mean, E, EV)


@jit
def key_gradient_kernel(
    k_ptr: Tile, k_b: Tile, k_h: Tile, k_n: Tile,
    v_ptr: Tile, v_b: Tile, v_h: Tile, v_n: Tile,
    dk_ptr: Tile, dk_b: Tile, dk_h: Tile, dk_n: Tile,
    dv_ptr: Tile, dv_b: Tile, dv_h: Tile, dv_n: Tile,
    mask_ptr: Tile, m_b: Tile, m_h: Tile, m_n: Tile,
    state_ptr: Tile, dstate_ptr: Tile,
    heads: Tile, length: Tile, splits: Tile, steps: Tile,
    E: tl.constexpr, EV: tl.constexpr, BLOCK: tl.constexpr,
    MAP: tl.constexpr, MASKED: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Write the gradients dk and dv for `steps` blocks of keys from dS, dkbar and dvbar of their head."""
    pid = tl.program_id(0).to(tl.int64)
    head, begin = pid // splits, pid % splits * steps * BLOCK
    k_ptr = at_head(k_ptr, k_b, k_h, head, heads)
    v_ptr = at_head(v_ptr, v_b, v_h, head, heads)
    dk_ptr = at_head(dk_ptr, dk_b, dk_h, head, heads)
    dv_ptr = at_head(dv_ptr, dv_b, dv_h, head, heads)
    mask_ptr = at_head(mask_ptr, m_b, m_h, head, heads)
    k_mean, v_mean = load_means(state_ptr + head * state_size(E, EV), E, EV)
    share = 1 / tl.maximum(tl.load(state_ptr + head * state_size(E, EV)), 1.0)
    dS, dk_mean, dv_mean = load_sums(dstate_ptr + head * sums_size(E, EV), E, EV)
    dS, dk_mean, dv_mean = dS * share, dk_mean * share, dv_mean * share
    dS_t = tl.trans(dS)
    for step in range(steps):
        start = begin + step * BLOCK
        exists = start + tl.arange(0, BLOCK) < length
        key, k, v, seen = load_keys(k_ptr, k_n, v_ptr, v_n, mask_ptr, m_n, start, length, E, EV, BLOCK, MAP, MASKED)
        dk = tl.dot(v - v_mean[None, :], dS_t, input_precision=PRECISION) + dk_mean[None, :]
        dv = tl.dot(k - k_mean[None, :], dS, input_precision=PRECISION) + dv_mean[None, :]
        dk = tl.where(seen[:, None], dk * feature_gradient(key, MAP), 0.0)
        store_rows(dk_ptr, start, dk_n, exists, dk, E)
        store_rows(dv_ptr, start, dv_n, exists, tl.where(seen[:, None], dv, 0.0), EV)
