/* Forward and backward for one precision and instruction set; the mathematics and its names: docs/theory.md. */

/* What a thread works in. Rows are padded to the vector width with zeros. */
typedef struct {
    int64_t ep, fp, rows;
    REAL *k, *v, *t;            /* blocks of rows, e wide, f wide and either */
    REAL *s, *st;               /* E x F and F x E */
    REAL *k_mean, *lo, *hi, *k_sum;
    REAL *v_mean, *v_sum;
    REAL *c, *dm;               /* a value a row */
    REAL *sums;                 /* dkbar | dvbar | dS of a head */
    int64_t *index;
} NAME(scratch);

static NAME(scratch) *NAME(scratch_new)(int64_t e, int64_t f) {
    const int64_t pad = LANES < 4 ? 4 : LANES, ep = round_up(e, pad), fp = round_up(f, pad);
    const int64_t wide = ep > fp ? ep : fp;
    int64_t rows = 24576 / (int64_t)sizeof(REAL) / (ep + fp) / 8 * 8;
    rows = rows < 16 ? 16 : rows > 256 ? 256 : rows;
    const int64_t reals = rows * (ep + fp + wide + 2) + 3 * ep * fp + 5 * ep + 3 * fp;
    NAME(scratch) *w = calloc(1, sizeof *w + rows * sizeof(int64_t) + (reals + 16) * sizeof(REAL) + 64);
    if (!w) return NULL;
    w->ep = ep, w->fp = fp, w->rows = rows;
    w->index = (int64_t *)(w + 1);
    REAL *p = (REAL *)(((uintptr_t)(w->index + rows) + 63) / 64 * 64);
    w->k = p, p += rows * ep;
    w->v = p, p += rows * fp;
    w->t = p, p += rows * wide;
    w->s = p, p += ep * fp;
    w->st = p, p += ep * fp;
    w->k_mean = p, p += ep;
    w->lo = p, p += ep;
    w->hi = p, p += ep;
    w->k_sum = p, p += ep;
    w->v_mean = p, p += fp;
    w->v_sum = p, p += fp;
    w->c = p, p += rows;
    w->dm = p, p += rows;
    w->sums = p;
    return w;
}

#define FLOOR(c) ((c)->relu ? (REAL)0 : -(REAL)INFINITY) /* phi(x) = max(x, FLOOR) */
#define STATE(c, head) ((REAL *)(c)->state + (head) * (1 + 3 * (c)->e + (c)->f + (c)->e * (c)->f))

INLINE REAL NAME(get)(const char *row, int64_t i, const int dtype) {
    return dtype == BFLOAT16 ? (REAL)from_bfloat16(((const uint16_t *)row)[i]) : ((const REAL *)row)[i];
}

INLINE void NAME(put)(char *row, int64_t i, REAL x, const int dtype) {
    if (dtype == BFLOAT16)
        ((uint16_t *)row)[i] = to_bfloat16((float)x);
    else
        ((REAL *)row)[i] = x;
}

INLINE char *NAME(row)(const call *c, const tensor *t, int64_t head, int64_t i, const int dtype) {
    const int64_t at = head / c->heads * t->b + head % c->heads * t->h + i * t->row;
    return t->data + at * (dtype == BFLOAT16 ? 2 : (int64_t)sizeof(REAL));
}

INLINE int NAME(seen)(const call *c, int64_t head, int64_t j) {
    const tensor *m = &c->mask;
    return !m->data || m->data[head / c->heads * m->b + head % c->heads * m->h + j * m->row];
}

/* The state of keys from..to of a head, packed; sums are taken about the mean of the keys before the block. */
INLINE void NAME(gather)(const call *c, NAME(scratch) *w, int64_t head, int64_t from, int64_t to, REAL *state,
                         const int64_t e, const int64_t f, const int dtype) {
    const int64_t ep = round_up(e, LANES < 4 ? 4 : LANES), fp = round_up(f, LANES < 4 ? 4 : LANES);
    const REAL floor = FLOOR(c);
    REAL *restrict p = w->k_mean, *restrict r = w->v_mean, *restrict lo = w->lo, *restrict hi = w->hi;
    REAL *restrict ks = w->k_sum, *restrict vs = w->v_sum, *restrict s = w->s;
    memset(s, 0, sizeof(REAL) * ep * fp);
    for (int64_t i = 0; i < e; i++) p[i] = 0, lo[i] = (REAL)INFINITY, hi[i] = -(REAL)INFINITY;
    for (int64_t i = 0; i < f; i++) r[i] = 0;
    int64_t n = 0, j = from;
    while (j < to) {
        int64_t count = 0;
        for (int64_t i = 0; i < e; i++) ks[i] = 0;
        for (int64_t i = 0; i < f; i++) vs[i] = 0;
        for (; j < to && count < w->rows; j++) {
            if (!NAME(seen)(c, head, j)) continue;
            const char *kr = NAME(row)(c, &c->k, head, j, dtype), *vr = NAME(row)(c, &c->v, head, j, dtype);
            REAL *restrict x = w->k + count * ep, *restrict z = w->v + count * fp;
            if (n + count++ == 0) { /* the first key is the first pivot */
                for (int64_t i = 0; i < e; i++) p[i] = NAME(get)(kr, i, dtype) < floor ? floor : NAME(get)(kr, i, dtype);
                for (int64_t i = 0; i < f; i++) r[i] = NAME(get)(vr, i, dtype);
            }
#pragma omp simd
            for (int64_t i = 0; i < e; i++) {
                REAL a = NAME(get)(kr, i, dtype);
                a = a < floor ? floor : a;
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
        if (count == 0) break;
        n += count;
        NAME(product)(round_up(e, 4), fp, count, w->k, 1, ep, w->v, fp, s, fp, 1);
        for (int64_t i = 0; i < e; i++) ks[i] /= n, p[i] += ks[i];
        for (int64_t i = 0; i < f; i++) vs[i] /= n, r[i] += vs[i];
        for (int64_t i = 0; i < e; i++) {
            const REAL moved = n * ks[i];
#pragma omp simd
            for (int64_t l = 0; l < f; l++) s[i * fp + l] -= moved * vs[l];
        }
    }
    *state++ = n;
    for (int64_t i = 0; i < e; i++) {
        state[i] = p[i];
        state[e + i] = n ? lo[i] : 0;
        state[2 * e + i] = n ? hi[i] : 0;
    }
    for (int64_t i = 0; i < f; i++) state[3 * e + i] = r[i];
    state += 3 * e + f;
    for (int64_t i = 0; i < e; i++)
        for (int64_t l = 0; l < f; l++) state[i * f + l] = n ? s[i * fp + l] / n : 0;
}

/* Merge the state of more keys into a state (section 6). */
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

/* Unpack a state: w->s = S, w->st = its transpose, w->lo = kbar - lo, w->hi = hi - kbar, means as they are. */
INLINE void NAME(unpack)(NAME(scratch) *w, const REAL *state, const int64_t e, const int64_t f, const int transpose) {
    const int64_t ep = w->ep, fp = w->fp;
    const REAL *mean = state + 1, *lo = mean + e, *hi = lo + e, *v = hi + e, *s = v + f;
    for (int64_t i = 0; i < e; i++) w->k_mean[i] = mean[i], w->lo[i] = mean[i] - lo[i], w->hi[i] = hi[i] - mean[i];
    for (int64_t l = 0; l < f; l++) w->v_mean[l] = v[l];
    if (transpose)
        for (int64_t i = 0; i < e; i++)
            for (int64_t l = 0; l < f; l++) w->st[l * ep + i] = s[i * f + l];
    else
        for (int64_t i = 0; i < e; i++)
            for (int64_t l = 0; l < f; l++) w->s[i * fp + l] = s[i * f + l];
}

/* A block of scaled phi(query) into w->k and max(1, m) into w->c; w->dm gets m. */
INLINE void NAME(load_queries)(const call *c, NAME(scratch) *w, int64_t head, int64_t from, int64_t count,
                               const int64_t e, const int64_t ep, const int dtype) {
    const REAL floor = FLOOR(c), scale = (REAL)c->scale;
    const REAL *restrict above = w->lo, *restrict below = w->hi;
    for (int64_t i = 0; i < count; i++) {
        const char *row = NAME(row)(c, &c->q, head, from + i, dtype);
        REAL *restrict x = w->k + i * ep, m = 0;
#pragma omp simd reduction(+ : m)
        for (int64_t l = 0; l < e; l++) {
            REAL a = NAME(get)(row, l, dtype);
            a = (a < floor ? floor : a) * scale;
            x[l] = a;
            m += a * (a < 0 ? -below[l] : above[l]);
        }
        w->dm[i] = m;
        w->c[i] = m < 1 ? 1 : m;
    }
}

/* Outputs of queries from..to of a head: vbar + q S / c. */
INLINE void NAME(apply)(const call *c, NAME(scratch) *w, int64_t head, int64_t from, int64_t to, const int64_t e,
                        const int64_t f, const int dtype) {
    const int64_t ep = round_up(e, LANES < 4 ? 4 : LANES), fp = round_up(f, LANES < 4 ? 4 : LANES);
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

/* Gradients of queries from..to of a head; adds up dkbar | dvbar | dS (padded) into `sums`. */
INLINE void NAME(query_gradients)(const call *c, NAME(scratch) *w, int64_t head, int64_t from, int64_t to,
                                  REAL *restrict sums, const int64_t e, const int64_t f, const int dtype) {
    const int64_t ep = round_up(e, LANES < 4 ? 4 : LANES), fp = round_up(f, LANES < 4 ? 4 : LANES);
    const REAL floor = FLOOR(c), scale = (REAL)c->scale;
    REAL *restrict dk_mean = w->k_sum, *restrict dv_mean = w->v_sum, *ds = sums + ep + fp;
    memset(sums, 0, sizeof(REAL) * (ep + fp + ep * fp));
    NAME(unpack)(w, STATE(c, head), e, f, 1);
    const REAL *restrict above = w->lo, *restrict below = w->hi;
    for (int64_t j = from; j < to; j += w->rows) {
        const int64_t count = to - j < w->rows ? to - j : w->rows;
        NAME(load_queries)(c, w, head, j, count, e, ep, dtype);
        for (int64_t i = 0; i < e; i++) dk_mean[i] = 0;
        for (int64_t l = 0; l < f; l++) dv_mean[l] = 0;
        for (int64_t i = 0; i < count; i++) {
            const char *row = NAME(row)(c, &c->grad, head, j + i, dtype);
            REAL *restrict g = w->v + i * fp, inverse = 1 / w->c[i];
#pragma omp simd
            for (int64_t l = 0; l < f; l++) {
                const REAL a = NAME(get)(row, l, dtype);
                dv_mean[l] += a;
                g[l] = a * inverse;
            }
        }
        NAME(product)(round_up(count, 4), ep, f, w->v, fp, 1, w->st, ep, w->t, ep, 0); /* h = g S^T / c */
        for (int64_t i = 0; i < count; i++) {
            const char *row = NAME(row)(c, &c->q, head, j + i, dtype);
            char *out = NAME(row)(c, &c->grad_q, head, j + i, dtype);
            const REAL *restrict x = w->k + i * ep, *restrict h = w->t + i * ep;
            REAL dm = 0;
#pragma omp simd reduction(+ : dm)
            for (int64_t l = 0; l < e; l++) dm += x[l] * h[l];
            dm = w->dm[i] >= 1 ? -dm / w->c[i] : 0;
#pragma omp simd
            for (int64_t l = 0; l < e; l++) {
                const REAL slope = (x[l] >= 0 ? above[l] : 0) - (x[l] <= 0 ? below[l] : 0);
                const REAL a = (h[l] + dm * slope) * scale;
                dk_mean[l] += dm * x[l];
                NAME(put)(out, l, NAME(get)(row, l, dtype) > floor ? a : 0, dtype);
            }
        }
        NAME(product)(round_up(e, 4), fp, count, w->k, 1, ep, w->v, fp, ds, fp, 1);
        for (int64_t i = 0; i < e; i++) sums[i] += dk_mean[i];
        for (int64_t l = 0; l < f; l++) sums[ep + l] += dv_mean[l];
    }
}

/* Gradients of keys and values from..to of a head, from the sums over its queries. */
INLINE void NAME(key_gradients)(const call *c, NAME(scratch) *w, int64_t head, int64_t from, int64_t to,
                                const REAL *restrict sums, const int64_t e, const int64_t f, const int dtype) {
    const int64_t ep = round_up(e, LANES < 4 ? 4 : LANES), fp = round_up(f, LANES < 4 ? 4 : LANES);
    const REAL *state = STATE(c, head), inverse = 1 / (state[0] < 1 ? 1 : state[0]), floor = FLOOR(c);
    const REAL *restrict k_mean = state + 1, *restrict v_mean = state + 1 + 3 * e;
    REAL *restrict dk_mean = w->k_sum, *restrict dv_mean = w->v_sum;
    for (int64_t i = 0; i < e; i++) dk_mean[i] = sums[i] * inverse;
    for (int64_t l = 0; l < f; l++) dv_mean[l] = sums[ep + l] * inverse;
    for (int64_t i = 0; i < e; i++)
        for (int64_t l = 0; l < f; l++)
            w->st[l * ep + i] = w->s[i * fp + l] = sums[ep + fp + i * fp + l] * inverse;
    int64_t j = from;
    while (j < to) {
        int64_t count = 0;
        for (; j < to && count < w->rows; j++) {
            if (NAME(seen)(c, head, j)) {
                w->index[count++] = j;
                continue;
            }
            char *dk = NAME(row)(c, &c->grad_k, head, j, dtype), *dv = NAME(row)(c, &c->grad_v, head, j, dtype);
            for (int64_t i = 0; i < e; i++) NAME(put)(dk, i, 0, dtype);
            for (int64_t l = 0; l < f; l++) NAME(put)(dv, l, 0, dtype);
        }
        for (int64_t i = 0; i < count; i++) {
            const char *kr = NAME(row)(c, &c->k, head, w->index[i], dtype);
            const char *vr = NAME(row)(c, &c->v, head, w->index[i], dtype);
            REAL *restrict x = w->k + i * ep, *restrict z = w->v + i * fp;
#pragma omp simd
            for (int64_t l = 0; l < e; l++) {
                const REAL a = NAME(get)(kr, l, dtype);
                x[l] = (a < floor ? floor : a) - k_mean[l];
            }
#pragma omp simd
            for (int64_t l = 0; l < f; l++) z[l] = NAME(get)(vr, l, dtype) - v_mean[l];
        }
        NAME(product)(round_up(count, 4), ep, f, w->v, fp, 1, w->st, ep, w->t, ep, 0);
        for (int64_t i = 0; i < count; i++) {
            const char *kr = NAME(row)(c, &c->k, head, w->index[i], dtype);
            char *dk = NAME(row)(c, &c->grad_k, head, w->index[i], dtype);
            const REAL *restrict t = w->t + i * ep;
#pragma omp simd
            for (int64_t l = 0; l < e; l++)
                NAME(put)(dk, l, NAME(get)(kr, l, dtype) > floor ? t[l] + dk_mean[l] : 0, dtype);
        }
        NAME(product)(round_up(count, 4), fp, e, w->k, ep, 1, w->s, fp, w->t, fp, 0);
        for (int64_t i = 0; i < count; i++) {
            char *dv = NAME(row)(c, &c->grad_v, head, w->index[i], dtype);
            const REAL *restrict t = w->t + i * fp;
#pragma omp simd
            for (int64_t l = 0; l < f; l++) NAME(put)(dv, l, t[l] + dv_mean[l], dtype);
        }
    }
}
