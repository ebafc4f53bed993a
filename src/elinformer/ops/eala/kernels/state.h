/* The state of a set of keys: made, merged, read (docs/theory.md, section 6). */

/* One more key and its value into the block, about the pivots; bounds and sums grow. */
INLINE void NAME(add_key)(const NAME(scratch) *w, const char *kr, const char *vr, int64_t at, const REAL floor,
                          const int64_t e, const int64_t f, const int dtype) {
    const int64_t ep = WIDE(e), fp = WIDE(f);
    const REAL *restrict p = w->k_mean, *restrict r = w->v_mean;
    REAL *restrict x = w->k + at * ep, *restrict z = w->v + at * fp, *restrict ks = w->k_sum, *restrict vs = w->v_sum;
    REAL *restrict lo = w->lo, *restrict hi = w->hi;
#pragma omp simd
    for (int64_t i = 0; i < e; i++) {
        REAL a = NAME(phi)(kr, i, floor, dtype);
        lo[i] = a < lo[i] ? a : lo[i];
        hi[i] = a > hi[i] ? a : hi[i];
        a -= p[i];
        x[i] = a;
        ks[i] += a;
    }
#pragma omp simd
    for (int64_t i = 0; i < f; i++) {
        const REAL a = NAME(get)(vr, i, dtype) - r[i];
        z[i] = a;
        vs[i] += a;
    }
}

/* The sum of outer products with this block, of n keys so far; then the pivots move to the mean. */
INLINE void NAME(add_block)(NAME(scratch) *w, int64_t count, int64_t n, const int64_t e, const int64_t f) {
    const int64_t ep = WIDE(e), fp = WIDE(f);
    REAL *restrict s = w->s, *restrict ks = w->k_sum, *restrict vs = w->v_sum;
    NAME(product)(round_up(e, 4), fp, count, w->k, 1, ep, w->v, fp, s, fp, 1);
    for (int64_t i = 0; i < e; i++) ks[i] /= n, w->k_mean[i] += ks[i];
    for (int64_t i = 0; i < f; i++) vs[i] /= n, w->v_mean[i] += vs[i];
    for (int64_t i = 0; i < e; i++) {
        const REAL moved = n * ks[i];
#pragma omp simd
        for (int64_t l = 0; l < f; l++) s[i * fp + l] -= moved * vs[l];
    }
}

INLINE void NAME(pack)(const NAME(scratch) *w, int64_t n, REAL *state, const int64_t e, const int64_t f) {
    const int64_t fp = WIDE(f);
    *state++ = n;
    for (int64_t i = 0; i < e; i++) {
        state[i] = w->k_mean[i];
        state[e + i] = n ? w->lo[i] : 0;
        state[2 * e + i] = n ? w->hi[i] : 0;
    }
    for (int64_t i = 0; i < f; i++) state[3 * e + i] = w->v_mean[i];
    state += 3 * e + f;
    for (int64_t i = 0; i < e; i++)
        for (int64_t l = 0; l < f; l++) state[i * f + l] = n ? w->s[i * fp + l] / n : 0;
}

/* The state of keys from..to of a head, packed; sums are taken about the mean of the keys before the block. */
INLINE void NAME(gather)(const call *c, NAME(scratch) *w, int64_t head, int64_t from, int64_t to, REAL *state,
                         const int64_t e, const int64_t f, const int dtype) {
    const REAL floor = FLOOR(c);
    memset(w->s, 0, sizeof(REAL) * w->ep * w->fp);
    for (int64_t i = 0; i < e; i++) w->k_mean[i] = 0, w->lo[i] = (REAL)INFINITY, w->hi[i] = -(REAL)INFINITY;
    for (int64_t i = 0; i < f; i++) w->v_mean[i] = 0;
    int64_t n = 0, j = from;
    while (j < to) {
        int64_t count = 0;
        for (int64_t i = 0; i < e; i++) w->k_sum[i] = 0;
        for (int64_t i = 0; i < f; i++) w->v_sum[i] = 0;
        for (; j < to && count < w->rows; j++) {
            if (!NAME(seen)(c, head, j)) continue;
            const char *kr = NAME(row)(c, &c->k, head, j, dtype), *vr = NAME(row)(c, &c->v, head, j, dtype);
            if (n + count == 0) { /* the first key is the first pivot */
                for (int64_t i = 0; i < e; i++) w->k_mean[i] = NAME(phi)(kr, i, floor, dtype);
                for (int64_t i = 0; i < f; i++) w->v_mean[i] = NAME(get)(vr, i, dtype);
            }
            NAME(add_key)(w, kr, vr, count++, floor, e, f, dtype);
        }
        if (count == 0) break;
        n += count;
        NAME(add_block)(w, count, n, e, f);
    }
    NAME(pack)(w, n, state, e, f);
}

/* Merge the state of more keys into a state. */
TARGET static void NAME(merge)(REAL *restrict a, const REAL *restrict b, const int64_t e, const int64_t f) {
    if (b[0] == 0) return;
    if (a[0] == 0) {
        memcpy(a, b, sizeof(REAL) * (1 + 3 * e + f + e * f));
        return;
    }
    const REAL n = a[0] + b[0], part = b[0] / n, cross = part * (1 - part);
    REAL *ka = a + 1, *va = ka + 3 * e, *sa = va + f;
    const REAL *kb = b + 1, *vb = kb + 3 * e, *sb = vb + f;
    for (int64_t i = 0; i < e; i++) {
        const REAL moved = cross * (kb[i] - ka[i]);
        for (int64_t l = 0; l < f; l++)
            sa[i * f + l] += part * (sb[i * f + l] - sa[i * f + l]) + moved * (vb[l] - va[l]);
    }
    for (int64_t i = 0; i < e; i++) {
        ka[i] += part * (kb[i] - ka[i]);
        ka[e + i] = kb[e + i] < ka[e + i] ? kb[e + i] : ka[e + i];
        ka[2 * e + i] = kb[2 * e + i] > ka[2 * e + i] ? kb[2 * e + i] : ka[2 * e + i];
    }
    for (int64_t l = 0; l < f; l++) va[l] += part * (vb[l] - va[l]);
    a[0] = n;
}

/* Unpack a state: w->s = S or w->st = its transpose, w->lo = kbar - lo, w->hi = hi - kbar, the mean of the values. */
INLINE void NAME(unpack)(NAME(scratch) *w, const REAL *state, const int64_t e, const int64_t f, const int transpose) {
    const int64_t ep = w->ep, fp = w->fp;
    const REAL *mean = state + 1, *lo = mean + e, *hi = lo + e, *v = hi + e, *s = v + f;
    for (int64_t i = 0; i < e; i++) w->lo[i] = mean[i] - lo[i], w->hi[i] = hi[i] - mean[i];
    for (int64_t l = 0; l < f; l++) w->v_mean[l] = v[l];
    if (transpose)
        for (int64_t i = 0; i < e; i++)
            for (int64_t l = 0; l < f; l++) w->st[l * ep + i] = s[i * f + l];
    else
        for (int64_t i = 0; i < e; i++)
            for (int64_t l = 0; l < f; l++) w->s[i * fp + l] = s[i * f + l];
}
