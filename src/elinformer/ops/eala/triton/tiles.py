"""What the kernels share: loading tiles, the feature maps, the certificate, and the state of a set of keys.

A state is stored as one row of `state_size` float32 numbers:
M = n S (E x Ev), mean of the keys (E), their minima (E) and maxima (E), mean of the values (Ev), and n.
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
    Tile = tl.tensor  # what a kernel handles: numbers, pointers or scalars, of a type known when it is compiled


@jit
def feature(x: Tile, seen: Tile, WIDTH: tl.constexpr, MAP: tl.constexpr):
    """phi(x), zero where x lies outside of its matrix; comparisons are written so that NaN stays NaN."""
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
    """The derivative phi'(x)."""
    if MAP == "relu":
        x = tl.where(x > 0, 1.0, 0.0)
    elif MAP == "softplus":
        x = tl.sigmoid(x)
    else:
        x = tl.full(x.shape, 1.0, tl.float32)
    return x


@jit
def at_head(ptr: Tile, batch_stride: Tile, head_stride: Tile, head: Tile, heads: Tile):
    """Where a head begins, of all heads of all batches."""
    return ptr + head // heads * batch_stride + head % heads * head_stride


@jit
def load_rows(ptr: Tile, start: Tile, stride: Tile, seen: Tile, WIDTH: tl.constexpr):
    """Rows start.. of a matrix as float32 (len(seen), WIDTH rounded up to a tile); zero where not seen."""
    rows, columns = tl.arange(0, seen.shape[0]), tl.arange(0, padded(WIDTH))
    offsets = start * stride + rows[:, None] * stride + columns[None, :]
    return tl.load(ptr + offsets, mask=seen[:, None] & (columns < WIDTH)[None, :], other=0.0).to(tl.float32)


@jit
def store_rows(ptr: Tile, start: Tile, stride: Tile, seen: Tile, x: Tile, WIDTH: tl.constexpr):
    """The counterpart of `load_rows`, rounding to the dtype of the matrix."""
    rows, columns = tl.arange(0, seen.shape[0]), tl.arange(0, padded(WIDTH))
    offsets = start * stride + rows[:, None] * stride + columns[None, :]
    tl.store(ptr + offsets, x.to(ptr.dtype.element_ty), mask=seen[:, None] & (columns < WIDTH)[None, :])


@constexpr_function
def padded(width: int):
    """The tile that holds a head dim: a power of two, and at least 16 as `tl.dot` asks."""
    return max(16, triton.next_power_of_2(width))


@jit
def load_mask(ptr: Tile, start: Tile, stride: Tile, length: Tile, BLOCK: tl.constexpr, MASKED: tl.constexpr):
    """Which of the keys start.. exist and take part."""
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
    """A block of keys as they are, phi of them, their values, and which exist and take part; zero where not."""
    seen = load_mask(mask_ptr, start, m_n, length, BLOCK, MASKED)
    key = load_rows(k_ptr, start, k_n, seen, E)
    return key, feature(key, seen, E, MAP), load_rows(v_ptr, start, v_n, seen, EV), seen


@jit
def margin(f: Tile, above: Tile, below: Tile, MAP: tl.constexpr):
    """The certificate m / scale of theory, section 4: f is phi(query); above = mean - lo, below = hi - mean."""
    terms = f * above
    if MAP == "identity":  # else phi >= 0
        terms = tl.where(f < 0, -f * below, terms)
    return tl.sum(terms, 1)


@jit
def margin_gradient(f: Tile, above: Tile, below: Tile, MAP: tl.constexpr):
    """The slope dm / df, with 0 at f = 0, where m has a kink."""
    slope = tl.where(f > 0, above, 0.0)
    if MAP == "identity":
        slope = tl.where(f < 0, -below, slope)
    return slope


@jit
def empty_state(E: tl.constexpr, EV: tl.constexpr):
    """The state of no keys."""
    products = tl.zeros((padded(E), padded(EV)), tl.float32)
    k_mean, v_mean = tl.zeros((padded(E),), tl.float32), tl.zeros((padded(EV),), tl.float32)
    lo, hi = tl.full((padded(E),), float("inf"), tl.float32), tl.full((padded(E),), float("-inf"), tl.float32)
    return products, k_mean, lo, hi, v_mean, tl.sum(k_mean)


@jit
def absorb(
    products: Tile, k_mean: Tile, lo: Tile, hi: Tile, v_mean: Tile, n: Tile,
    k: Tile, v: Tile, seen: Tile, PRECISION: tl.constexpr,
):  # fmt: skip
    """The state after a block of keys k = phi(key) and values, zero where not seen (theory, section 6)."""
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
    """How many numbers a stored state has."""
    return width_k * width_v + 3 * width_k + width_v + 1


@jit
def store_state(
    ptr: Tile, products: Tile, k_mean: Tile, lo: Tile, hi: Tile, v_mean: Tile, n: Tile,
    E: tl.constexpr, EV: tl.constexpr,
):  # fmt: skip
    """Write a state as one row."""
    d, e = tl.arange(0, padded(E)), tl.arange(0, padded(EV))
    tl.store(ptr + d[:, None] * EV + e[None, :], products, mask=(d < E)[:, None] & (e < EV)[None, :])
    ptr += E * EV
    tl.store(ptr + d, k_mean, mask=d < E)
    tl.store(ptr + E + d, lo, mask=d < E)
    tl.store(ptr + 2 * E + d, hi, mask=d < E)
    tl.store(ptr + 3 * E + e, v_mean, mask=e < EV)
    tl.store(ptr + 3 * E + EV, n)


@jit
def load_state(ptr: Tile, E: tl.constexpr, EV: tl.constexpr):
    """Read what `store_state` wrote."""
    d, e = tl.arange(0, padded(E)), tl.arange(0, padded(EV))
    products = tl.load(ptr + d[:, None] * EV + e[None, :], mask=(d < E)[:, None] & (e < EV)[None, :], other=0.0)
    ptr += E * EV
    k_mean = tl.load(ptr + d, mask=d < E, other=0.0)
    lo = tl.load(ptr + E + d, mask=d < E, other=0.0)
    hi = tl.load(ptr + 2 * E + d, mask=d < E, other=0.0)
    v_mean = tl.load(ptr + 3 * E + e, mask=e < EV, other=0.0)
    return products, k_mean, lo, hi, v_mean, tl.load(ptr + 3 * E + EV)


@jit
def load_means(ptr: Tile, E: tl.constexpr, EV: tl.constexpr):
    """Only the means of keys and values, of what `store_state` wrote."""
    d, e = tl.arange(0, padded(E)), tl.arange(0, padded(EV))
    k_mean = tl.load(ptr + E * EV + d, mask=d < E, other=0.0)
    return k_mean, tl.load(ptr + E * EV + 3 * E + e, mask=e < EV, other=0.0)


@jit
def empty_sums(E: tl.constexpr, EV: tl.constexpr):
    """Zeros for `store_sums`."""
    zeros = tl.zeros((padded(E), padded(EV)), tl.float32)
    return zeros, tl.zeros((padded(E),), tl.float32), tl.zeros((padded(EV),), tl.float32)


@jit
def store_sums(ptr: Tile, p_sum: Tile, e_sum: Tile, b_sum: Tile, E: tl.constexpr, EV: tl.constexpr):
    """Write what queries add up for the gradients of keys and values, (E x Ev), E and Ev numbers, as one row."""
    d, e = tl.arange(0, padded(E)), tl.arange(0, padded(EV))
    tl.store(ptr + d[:, None] * EV + e[None, :], p_sum, mask=(d < E)[:, None] & (e < EV)[None, :])
    tl.store(ptr + E * EV + d, e_sum, mask=d < E)
    tl.store(ptr + E * EV + E + e, b_sum, mask=e < EV)


@jit
def load_sums(ptr: Tile, E: tl.constexpr, EV: tl.constexpr):
    """Read what `store_sums` wrote."""
    d, e = tl.arange(0, padded(E)), tl.arange(0, padded(EV))
    p_sum = tl.load(ptr + d[:, None] * EV + e[None, :], mask=(d < E)[:, None] & (e < EV)[None, :], other=0.0)
    e_sum = tl.load(ptr + E * EV + d, mask=d < E, other=0.0)
    return p_sum, e_sum, tl.load(ptr + E * EV + E + e, mask=e < EV, other=0.0)


@constexpr_function
def sums_size(width_k: int, width_v: int):
    """How many numbers `store_sums` writes."""
    return width_k * width_v + width_k + width_v
