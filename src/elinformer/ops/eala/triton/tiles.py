"""Shared code of the kernels: loading tiles, the feature maps, the certificate, and the state of a set of keys.

A state is stored as one row of float32 numbers, in the layout of `elinformer.ops.eala.statistics.KeyStatistics.pack`.
While keys are added it is held with M = n S in place of S, and with infinite bounds for no keys.
"""

# ruff: noqa: PLR0917 - kernels take their arguments by position
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import triton
import triton.language as tl

jit: Any = triton.jit  # its own type says that what it decorates never returns
constexpr_function: Any = triton.constexpr_function

if TYPE_CHECKING:
    Tile = Any
else:
    Tile = tl.tensor  # numbers, pointers or scalars, of a type known when a kernel is compiled


@jit
def feature(x: Tile, seen: Tile, WIDTH: tl.constexpr, MAP: tl.constexpr):
    """Return phi(x), zero where x lies outside of its matrix; comparisons are written so that NaN stays NaN."""
    if MAP == "relu":
        x = tl.where(x < 0, 0.0, x)
    if MAP == "softplus":
        e = tl.exp(-tl.abs(x))
        u = 1 + e
        # log(1 + e) to the last digit for small e (Kahan): the rounding of u cancels in log(u) / (u - 1).
        x = tl.where(x < 0, 0.0, x) + tl.where(u == 1, e, tl.log(u) * (e / tl.where(u == 1, 1.0, u - 1)))
        inside = seen[:, None] & (tl.arange(0, x.shape[1]) < WIDTH)[None, :]
        x = tl.where(inside, x, 0.0)  # softplus(0) is not 0
    return x


@jit
def feature_gradient(x: Tile, MAP: tl.constexpr):
    """Return the derivative phi'(x)."""
    if MAP == "relu":
        x = tl.where(x > 0, 1.0, 0.0)
    elif MAP == "softplus":
        x = tl.sigmoid(x)
    else:
        x = tl.full(x.shape, 1.0, tl.float32)
    return x


@jit
def at_head(ptr: Tile, batch_stride: Tile, head_stride: Tile, head: Tile, heads: Tile):
    """Return the start of a head, of all heads of all batches."""
    return ptr + head // heads * batch_stride + head % heads * head_stride


@jit
def load_rows(ptr: Tile, start: Tile, stride: Tile, seen: Tile, WIDTH: tl.constexpr):
    """Load rows start.. of a matrix as float32 (len(seen), WIDTH rounded up to a tile); zero where not seen."""
    rows, columns = tl.arange(0, seen.shape[0]), tl.arange(0, padded(WIDTH))
    offsets = start * stride + rows[:, None] * stride + columns[None, :]
    return tl.load(ptr + offsets, mask=seen[:, None] & (columns < WIDTH)[None, :], other=0.0).to(tl.float32)


@jit
def store_rows(ptr: Tile, start: Tile, stride: Tile, seen: Tile, x: Tile, WIDTH: tl.constexpr):
    """Store as the counterpart of `load_rows`, rounding to the dtype of the matrix."""
    rows, columns = tl.arange(0, seen.shape[0]), tl.arange(0, padded(WIDTH))
    offsets = start * stride + rows[:, None] * stride + columns[None, :]
    tl.store(ptr + offsets, x.to(ptr.dtype.element_ty), mask=seen[:, None] & (columns < WIDTH)[None, :])


@constexpr_function
def padded(width: int):
    """Return the tile that holds a head dim: a power of two, and at least 16 as `tl.dot` asks."""
    return max(16, triton.next_power_of_2(width))


@jit
def load_mask(ptr: Tile, start: Tile, stride: Tile, length: Tile, BLOCK: tl.constexpr, MASKED: tl.constexpr):
    """Say of the keys start.. if they exist and take part."""
    rows = start + tl.arange(0, BLOCK)
    seen = rows < length
    if MASKED:
        seen = seen & (tl.load(ptr + rows * stride, mask=seen, other=0) != 0)
    return seen


@jit
def load_keys(
    k_ptr: Tile, k_n: Tile, v_ptr: Tile, v_n: Tile, mask_ptr: Tile, m_n: Tile, start: Tile, length: Tile,
    E: tl.constexpr, EV: tl.constexpr, BLOCK: tl.constexpr, MAP: tl.constexpr, MASKED: tl.constexpr,
):  # fmt: skip
    """Load a block of keys, phi of them, their values, and a mask of those that take part; zero where not."""
    seen = load_mask(mask_ptr, start, m_n, length, BLOCK, MASKED)
    key = load_rows(k_ptr, start, k_n, seen, E)
    return key, feature(key, seen, E, MAP), load_rows(v_ptr, start, v_n, seen, EV), seen


@jit
def margin(f: Tile, above: Tile, below: Tile, MAP: tl.constexpr):
    """Return the certificate m / scale of theory, section 4: f is phi(query); above = mean - lo, below = hi - mean."""
    terms = f * above
    if MAP == "identity":  # else phi >= 0
        terms = tl.where(f < 0, -f * below, terms)
    return tl.sum(terms, 1)


@jit
def margin_gradient(f: Tile, above: Tile, below: Tile, MAP: tl.constexpr):
    """Return the slope dm / df, with 0 at f = 0, where m has a kink."""
    slope = tl.where(f > 0, above, 0.0)
    if MAP == "identity":
        slope = tl.where(f < 0, -below, slope)
    return slope


@jit
def empty_state(E: tl.constexpr, EV: tl.constexpr):
    """Return the running sum of no keys."""
    products = tl.zeros((padded(E), padded(EV)), tl.float32)
    k_mean, v_mean = tl.zeros((padded(E),), tl.float32), tl.zeros((padded(EV),), tl.float32)
    lo, hi = tl.full((padded(E),), float("inf"), tl.float32), tl.full((padded(E),), float("-inf"), tl.float32)
    return products, k_mean, lo, hi, v_mean, tl.sum(k_mean)


@jit
def absorb(
    products: Tile, k_mean: Tile, lo: Tile, hi: Tile, v_mean: Tile, n: Tile,
    k: Tile, v: Tile, seen: Tile, PRECISION: tl.constexpr,
):  # fmt: skip
    """Return the running sum after a block of keys k = phi(key) and values, zero where not seen (theory, section 6)."""
    seen = seen[:, None]
    count = tl.sum(seen.to(tl.float32))
    share = 1 / tl.maximum(count, 1.0)
    k_block, v_block = tl.sum(tl.where(seen, k, 0.0), 0) * share, tl.sum(v, 0) * share
    x, y = tl.where(seen, k - k_block[None, :], 0.0), tl.where(seen, v - v_block[None, :], 0.0)
    dk, dv = k_block - k_mean, v_block - v_mean
    weight = count / tl.maximum(n + count, 1.0)
    products += tl.dot(tl.trans(x), y, input_precision=PRECISION) + (n * weight) * dk[:, None] * dv[None, :]
    lo = tl.minimum(lo, tl.min(tl.where(seen, k, float("inf")), 0))
    hi = tl.maximum(hi, tl.max(tl.where(seen, k, float("-inf")), 0))
    return products, k_mean + weight * dk, lo, hi, v_mean + weight * dv, n + count


@constexpr_function
def state_size(width_k: int, width_v: int):
    """Return how many numbers a stored state has: n, mean, lo, hi, mean of the values, S row by row."""
    return 1 + 3 * width_k + width_v + width_k * width_v


@constexpr_function
def covariance_start(width_k: int, width_v: int):
    """Return the place of S in a stored state."""
    return 1 + 3 * width_k + width_v


@jit
def store_state(
    ptr: Tile, products: Tile, k_mean: Tile, lo: Tile, hi: Tile, v_mean: Tile, n: Tile,
    E: tl.constexpr, EV: tl.constexpr,
):  # fmt: skip
    """Write the state of a running sum as one row; bounds of no keys are zero, as everything else."""
    d, e = tl.arange(0, padded(E)), tl.arange(0, padded(EV))
    tl.store(ptr, n)
    tl.store(ptr + 1 + d, k_mean, mask=d < E)
    tl.store(ptr + 1 + E + d, tl.where(n > 0, lo, 0.0), mask=d < E)
    tl.store(ptr + 1 + 2 * E + d, tl.where(n > 0, hi, 0.0), mask=d < E)
    tl.store(ptr + 1 + 3 * E + e, v_mean, mask=e < EV)
    S_ptr = ptr + covariance_start(E, EV) + d[:, None] * EV + e[None, :]
    tl.store(S_ptr, products / tl.maximum(n, 1.0), mask=(d < E)[:, None] & (e < EV)[None, :])


@jit
def load_state(ptr: Tile, E: tl.constexpr, EV: tl.constexpr):
    """Read a state: S, mean of the keys, their bounds, mean of the values, n; zeros for no keys."""
    d, e = tl.arange(0, padded(E)), tl.arange(0, padded(EV))
    n = tl.load(ptr)
    k_mean = tl.load(ptr + 1 + d, mask=d < E, other=0.0)
    lo = tl.load(ptr + 1 + E + d, mask=d < E, other=0.0)
    hi = tl.load(ptr + 1 + 2 * E + d, mask=d < E, other=0.0)
    v_mean = tl.load(ptr + 1 + 3 * E + e, mask=e < EV, other=0.0)
    S_ptr = ptr + covariance_start(E, EV) + d[:, None] * EV + e[None, :]
    S = tl.load(S_ptr, mask=(d < E)[:, None] & (e < EV)[None, :], other=0.0)
    return S, k_mean, lo, hi, v_mean, n


@jit
def resume_state(ptr: Tile, E: tl.constexpr, EV: tl.constexpr):
    """Read a state as the running sum that `absorb` continues."""
    S, k_mean, lo, hi, v_mean, n = load_state(ptr, E, EV)
    return S * n, k_mean, tl.where(n > 0, lo, float("inf")), tl.where(n > 0, hi, float("-inf")), v_mean, n


@jit
def load_means(ptr: Tile, E: tl.constexpr, EV: tl.constexpr):
    """Read the means of keys and values alone."""
    d, e = tl.arange(0, padded(E)), tl.arange(0, padded(EV))
    k_mean = tl.load(ptr + 1 + d, mask=d < E, other=0.0)
    return k_mean, tl.load(ptr + 1 + 3 * E + e, mask=e < EV, other=0.0)


@jit
def empty_sums(E: tl.constexpr, EV: tl.constexpr):
    """Zeros for `store_sums`."""
    zeros = tl.zeros((padded(E), padded(EV)), tl.float32)
    return zeros, tl.zeros((padded(E),), tl.float32), tl.zeros((padded(EV),), tl.float32)


@jit
def store_sums(ptr: Tile, p_sum: Tile, e_sum: Tile, b_sum: Tile, E: tl.constexpr, EV: tl.constexpr):
    """Write sums over queries for the gradients of keys and values as one row: E, Ev and (E x Ev) numbers."""
    d, e = tl.arange(0, padded(E)), tl.arange(0, padded(EV))
    tl.store(ptr + d, e_sum, mask=d < E)
    tl.store(ptr + E + e, b_sum, mask=e < EV)
    p_ptr = ptr + E + EV + d[:, None] * EV + e[None, :]
    tl.store(p_ptr, p_sum, mask=(d < E)[:, None] & (e < EV)[None, :])


@jit
def load_sums(ptr: Tile, E: tl.constexpr, EV: tl.constexpr):
    """Read a row of `store_sums`."""
    d, e = tl.arange(0, padded(E)), tl.arange(0, padded(EV))
    p_ptr = ptr + E + EV + d[:, None] * EV + e[None, :]
    p_sum = tl.load(p_ptr, mask=(d < E)[:, None] & (e < EV)[None, :], other=0.0)
    return p_sum, tl.load(ptr + d, mask=d < E, other=0.0), tl.load(ptr + E + e, mask=e < EV, other=0.0)


@constexpr_function
def sums_size(width_k: int, width_v: int):
    """Return how many numbers `store_sums` writes."""
    return width_k * width_v + width_k + width_v
