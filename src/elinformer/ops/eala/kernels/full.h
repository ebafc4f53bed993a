/* Forward and backward of queries that see every key; the mathematics and its names: docs/theory.md. */

/* A block of scaled phi(query) into w->k and max(1, m) into w->c; w->dm gets m. */
INLINE void NAME(load_queries)(const call *c, NAME(scratch) *w, int64_t head, int64_t from, int64_t count,
                               const int64_t e, const int64_t ep, const int dtype) {
    const REAL floor = FLOOR(c), scale = (REAL)c->scale;
    for (int64_t i = 0; i < count; i++) {
        const char *row = NAME(row)(c, &c->q, head, from + i, dtype);
        const REAL m = NAME(margin)(w, row, w->k + i * ep, floor, scale, 0, e, dtype);
        w->dm[i] = m;
        w->c[i] = m < 1 ? 1 : m;
    }
}

/* Outputs of queries from..to of a head: vbar + q S / c. */
INLINE void NAME(apply)(const call *c, NAME(scratch) *w, int64_t head, int64_t from, int64_t to, const int64_t e,
                        const int64_t f, const int dtype) {
    const int64_t ep = WIDE(e), fp = WIDE(f);
    NAME(unpack)(w, STATE(c, head), e, f, 0);
    const REAL *restrict mean = w->v_mean;
    for (int64_t j = from; j < to; j += w->rows) {
        const int64_t count = to - j < w->rows ? to - j : w->rows;
        NAME(load_queries)(c, w, head, j, count, e, ep, dtype);
        NAME(product)(round_up(count, 4), fp, e, w->k, ep, 1, w->s, fp, w->v, fp, 0);
        for (int64_t i = 0; i < count; i++) {
            char *row = NAME(row)(c, &c->out, head, j + i, dtype);
            const REAL *restrict y = w->v + i * fp, inverse = 1 / w->c[i];
#pragma omp simd
            for (int64_t l = 0; l < f; l++) NAME(put)(row, l, mean[l] + y[l] * inverse, dtype);
        }
    }
}

/* A block of output gradients over c into w->v; adds them up into w->v_sum as they are. */
INLINE void NAME(load_gradients)(const call *c, NAME(scratch) *w, int64_t head, int64_t from, int64_t count,
                                 const int64_t f, const int dtype) {
    const int64_t fp = WIDE(f);
    REAL *restrict sum = w->v_sum;
    for (int64_t i = 0; i < count; i++) {
        const char *row = NAME(row)(c, &c->grad, head, from + i, dtype);
        REAL *restrict g = w->v + i * fp, inverse = 1 / w->c[i];
#pragma omp simd
        for (int64_t l = 0; l < f; l++) {
            const REAL a = NAME(get)(row, l, dtype);
            sum[l] += a;
            g[l] = a * inverse;
        }
    }
}

/* The gradient of one query, x = scale phi(query), from its h; adds dm x to w->k_sum. */
INLINE void NAME(put_query_gradient)(const call *c, NAME(scratch) *w, int64_t head, int64_t from, int64_t at,
                                     const int64_t e, const int dtype) {
    const REAL floor = FLOOR(c), scale = (REAL)c->scale;
    const char *query = NAME(row)(c, &c->q, head, from + at, dtype);
    char *row = NAME(row)(c, &c->grad_q, head, from + at, dtype);
    const REAL *restrict x = w->k + at * WIDE(e), *restrict h = w->t + at * WIDE(e);
    const REAL *restrict above = w->lo, *restrict below = w->hi;
    REAL *restrict sum = w->k_sum, dm = 0;
#pragma omp simd reduction(+ : dm)
    for (int64_t l = 0; l < e; l++) dm += x[l] * h[l];
    dm = w->dm[at] >= 1 ? -dm / w->c[at] : 0;
#pragma omp simd
    for (int64_t l = 0; l < e; l++) {
        const REAL a = (h[l] + dm * NAME(slope)(x[l], above[l], below[l])) * scale;
        sum[l] += dm * x[l];
        NAME(put)(row, l, NAME(get)(query, l, dtype) > floor ? a : 0, dtype);
    }
}

/* Gradients of queries from..to of a head; adds up dkbar | dvbar | dS (padded) into `sums`. */
INLINE void NAME(query_gradients)(const call *c, NAME(scratch) *w, int64_t head, int64_t from, int64_t to,
                                  REAL *restrict sums, const int64_t e, const int64_t f, const int dtype) {
    const int64_t ep = WIDE(e), fp = WIDE(f);
    REAL *restrict ds = sums + ep + fp;
    memset(sums, 0, sizeof(REAL) * (ep + fp + ep * fp));
    NAME(unpack)(w, STATE(c, head), e, f, 1);
    for (int64_t j = from; j < to; j += w->rows) {
        const int64_t count = to - j < w->rows ? to - j : w->rows;
        for (int64_t i = 0; i < e; i++) w->k_sum[i] = 0;
        for (int64_t l = 0; l < f; l++) w->v_sum[l] = 0;
        NAME(load_queries)(c, w, head, j, count, e, ep, dtype);
        NAME(load_gradients)(c, w, head, j, count, f, dtype);
        NAME(product)(round_up(count, 4), ep, f, w->v, fp, 1, w->st, ep, w->t, ep, 0); /* h = g S^T / c */
        for (int64_t i = 0; i < count; i++) NAME(put_query_gradient)(c, w, head, j, i, e, dtype);
        NAME(product)(round_up(e, 4), fp, count, w->k, 1, ep, w->v, fp, ds, fp, 1);
        for (int64_t i = 0; i < e; i++) sums[i] += w->k_sum[i];
        for (int64_t l = 0; l < f; l++) sums[ep + l] += w->v_sum[l];
    }
}

/* The next keys up to `to` that are seen, no more than a block, into w->index, and they and their values less the means
   into the block; the others get gradients of zero. Returns their number and moves *next behind them. */
INLINE int64_t NAME(load_keys)(const call *c, NAME(scratch) *w, int64_t head, int64_t *next, int64_t to,
                               const int64_t e, const int64_t f, const int dtype) {
    const REAL floor = FLOOR(c), *restrict k_mean = STATE(c, head) + 1, *restrict v_mean = k_mean + 3 * e;
    int64_t count = 0;
    for (; *next < to && count < w->rows; ++*next) {
        const int64_t j = *next;
        if (!NAME(seen)(c, head, j)) {
            NAME(put_zeros)(NAME(row)(c, &c->grad_k, head, j, dtype), e, dtype);
            NAME(put_zeros)(NAME(row)(c, &c->grad_v, head, j, dtype), f, dtype);
            continue;
        }
        const char *kr = NAME(row)(c, &c->k, head, j, dtype), *vr = NAME(row)(c, &c->v, head, j, dtype);
        REAL *restrict x = w->k + count * WIDE(e), *restrict z = w->v + count * WIDE(f);
#pragma omp simd
        for (int64_t l = 0; l < e; l++) x[l] = NAME(phi)(kr, l, floor, dtype) - k_mean[l];
#pragma omp simd
        for (int64_t l = 0; l < f; l++) z[l] = NAME(get)(vr, l, dtype) - v_mean[l];
        w->index[count++] = j;
    }
    return count;
}

/* Gradients of keys and values from..to of a head, from the sums over its queries. */
INLINE void NAME(key_gradients)(const call *c, NAME(scratch) *w, int64_t head, int64_t from, int64_t to,
                                const REAL *restrict sums, const int64_t e, const int64_t f, const int dtype) {
    const int64_t ep = WIDE(e), fp = WIDE(f);
    const REAL n = STATE(c, head)[0], inverse = 1 / (n < 1 ? 1 : n), floor = FLOOR(c);
    REAL *restrict dk_mean = w->k_sum, *restrict dv_mean = w->v_sum;
    for (int64_t i = 0; i < e; i++) dk_mean[i] = sums[i] * inverse;
    for (int64_t l = 0; l < f; l++) dv_mean[l] = sums[ep + l] * inverse;
    for (int64_t i = 0; i < e; i++)
        for (int64_t l = 0; l < f; l++)
            w->st[l * ep + i] = w->s[i * fp + l] = sums[ep + fp + i * fp + l] * inverse;
    for (int64_t j = from, count; j < to;) {
        count = NAME(load_keys)(c, w, head, &j, to, e, f, dtype);
        NAME(product)(round_up(count, 4), ep, f, w->v, fp, 1, w->st, ep, w->t, ep, 0);
        for (int64_t i = 0; i < count; i++) {
            const char *kr = NAME(row)(c, &c->k, head, w->index[i], dtype);
            char *row = NAME(row)(c, &c->grad_k, head, w->index[i], dtype);
            const REAL *restrict t = w->t + i * ep;
#pragma omp simd
            for (int64_t l = 0; l < e; l++)
                NAME(put)(row, l, NAME(get)(kr, l, dtype) > floor ? t[l] + dk_mean[l] : 0, dtype);
        }
        NAME(product)(round_up(count, 4), fp, e, w->k, ep, 1, w->s, fp, w->t, fp, 0);
        for (int64_t i = 0; i < count; i++) {
            char *row = NAME(row)(c, &c->grad_v, head, w->index[i], dtype);
            const REAL *restrict t = w->t + i * fp;
#pragma omp simd
            for (int64_t l = 0; l < f; l++) NAME(put)(row, l, t[l] + dv_mean[l], dtype);
        }
    }
}
