/* Causal forward and backward, row by row: query i sees keys 0..i, whose sums grow by one outer product a row
   (Welford's update), so that memory does not depend on the length. */

/* Start a head: w->s or w->st = n S or its transpose, means and bounds, all about the first key and value seen. */
INLINE void NAME(causal_start)(NAME(scratch) *w) {
    memset(w->s, 0, sizeof(REAL) * w->ep * w->fp);
    memset(w->st, 0, sizeof(REAL) * w->ep * w->fp);
    for (int64_t i = 0; i < w->ep; i++) w->k_mean[i] = w->k_pivot[i] = 0, w->lo[i] = (REAL)INFINITY, w->hi[i] = -(REAL)INFINITY;
    for (int64_t l = 0; l < w->fp; l++) w->v_mean[l] = w->v_pivot[l] = 0;
}

/* See key j, the n-th, under a constant `relu`, which needs no upper bound; d = k - mean before, z = v - mean after, so that n S grows by d z^T. Means and bounds are
   distances from the first key and value: an offset of all of them costs no digits. */
INLINE void NAME(see_by)(const int relu, const call *c, NAME(scratch) *w, int64_t head, int64_t j, int64_t n, REAL *restrict d,
                         REAL *restrict z, const int64_t e, const int64_t f, const int dtype) {
    const char *kr = NAME(row)(c, &c->k, head, j, dtype), *vr = NAME(row)(c, &c->v, head, j, dtype);
    const REAL inverse = (REAL)1 / n, floor = FLOOR(c);
    REAL *restrict mean = w->k_mean, *restrict lo = w->lo, *restrict hi = w->hi, *restrict v_mean = w->v_mean;
    REAL *restrict p = w->k_pivot, *restrict r = w->v_pivot;
    if (n == 1) {
        for (int64_t i = 0; i < e; i++) p[i] = NAME(phi)(kr, i, floor, dtype);
        for (int64_t l = 0; l < f; l++) r[l] = NAME(get)(vr, l, dtype);
    }
#pragma omp simd
    for (int64_t i = 0; i < e; i++) {
        const REAL a = NAME(phi)(kr, i, floor, dtype) - p[i];
        lo[i] = a < lo[i] ? a : lo[i];
        if (!relu) hi[i] = a > hi[i] ? a : hi[i];
        d[i] = a - mean[i];
        mean[i] += d[i] * inverse;
    }
#pragma omp simd
    for (int64_t l = 0; l < f; l++) {
        const REAL a = NAME(get)(vr, l, dtype) - r[l];
        v_mean[l] += (a - v_mean[l]) * inverse;
        z[l] = a - v_mean[l];
    }
}

INLINE void NAME(see)(const call *c, NAME(scratch) *w, int64_t head, int64_t j, int64_t n, REAL *restrict d,
                      REAL *restrict z, const int64_t e, const int64_t f, const int dtype) {
    if (c->relu)
        NAME(see_by)(1, c, w, head, j, n, d, z, e, f, dtype);
    else
        NAME(see_by)(0, c, w, head, j, n, d, z, e, f, dtype);
}

/* M (rows x wide) += a b^T, then y = x M. */
TARGET static __attribute__((noinline)) void NAME(grow)(REAL *restrict M, const REAL *restrict a, const REAL *restrict b, const REAL *restrict x,
                       REAL *restrict y, const int64_t rows, const int64_t wide) {
    for (int64_t at = 0; at < wide; at += 2 * LANES) {
        const int two = at + LANES < wide;
        NAME(vec) left = {0}, right = {0}, b_left = *(const NAME(vec) *)(b + at), b_right = {0};
        if (two) b_right = *(const NAME(vec) *)(b + at + LANES);
        for (int64_t i = 0; i < rows; i++) {
            NAME(vec) *cell = (NAME(vec) *)(M + i * wide + at);
            left += x[i] * (*cell += a[i] * b_left);
            if (!two) continue;
            cell = (NAME(vec) *)(M + i * wide + at + LANES);
            right += x[i] * (*cell += a[i] * b_right);
        }
        *(NAME(vec) *)(y + at) = left;
        if (two) *(NAME(vec) *)(y + at + LANES) = right;
    }
}

INLINE void NAME(causal_forward)(const call *c, NAME(scratch) *w, int64_t head, const int64_t e, const int64_t f,
                                 const int dtype) {
    REAL *restrict d = w->k, *restrict x = d + w->ep, *restrict z = w->v, *restrict y = z + w->fp;
    const REAL floor = FLOOR(c), scale = (REAL)c->scale;
    int64_t n = 0;
    NAME(causal_start)(w);
    for (int64_t i = 0; i < c->lq; i++) {
        const int seen = NAME(seen)(c, head, i);
        if (seen)
            NAME(see)(c, w, head, i, ++n, d, z, e, f, dtype);
        else
            memset(d, 0, sizeof(REAL) * w->ep);
        char *out = NAME(row)(c, &c->out, head, i, dtype);
        if (n == 0) {
            NAME(put_zeros)(out, f, dtype);
            continue;
        }
        const char *row = NAME(row)(c, &c->q, head, i, dtype);
        const REAL m = NAME(margin)(w, row, x, floor, scale, 1, e, dtype), inverse = 1 / (n * (m < 1 ? 1 : m));
        for (int64_t l = 0; l < e; l++) x[l] *= inverse;
        NAME(grow)(w->s, d, z, x, y, e, w->fp);
        const REAL *restrict mean = w->v_mean, *restrict r = w->v_pivot;
#pragma omp simd
        for (int64_t l = 0; l < f; l++) NAME(put)(out, l, r[l] + (mean[l] + y[l]), dtype);
    }
}

enum { NAME(block) = 64 }; /* rows between two pivots */

/* Numbers that the first pass of the backward leaves for the second. */
typedef struct {
    REAL *inverse, *a, *b; /* a row: 1 / (n c), q (kbar - p) - c, u (vbar - r) - dm / n */
    REAL *p, *r;           /* a block: its pivots, the means before it */
} NAME(trail);

INLINE REAL NAME(about)(const REAL *restrict x, const REAL *restrict mean, const REAL *restrict pivot, int64_t n) {
    REAL sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) sum += x[i] * (mean[i] - pivot[i]);
    return sum;
}

/* The pivots of a block are the means so far; w->k_sum and w->v_sum get them as means are stored, about the first key. */
INLINE void NAME(set_pivots)(const NAME(scratch) *w, REAL *restrict p, REAL *restrict r, const int64_t e, const int64_t f) {
    for (int64_t i = 0; i < e; i++) p[i] = w->k_pivot[i] + w->k_mean[i], w->k_sum[i] = p[i] - w->k_pivot[i];
    for (int64_t l = 0; l < f; l++) r[l] = w->v_pivot[l] + w->v_mean[l], w->v_sum[l] = r[l] - w->v_pivot[l];
}

/* First pass, first row to last: gradients of the queries. */
INLINE void NAME(causal_queries)(const call *c, NAME(scratch) *w, const NAME(trail) *t, int64_t head, const int64_t e,
                                 const int64_t f, const int dtype) {
    REAL *restrict d = w->k, *restrict x = d + w->ep, *restrict h = w->t, *restrict z = w->v, *restrict u = z + w->fp;
    const REAL floor = FLOOR(c), scale = (REAL)c->scale;
    int64_t n = 0;
    NAME(causal_start)(w);
    for (int64_t i = 0; i < c->lq; i++) {
        REAL *p = t->p + i / NAME(block) * e, *r = t->r + i / NAME(block) * f;
        const int seen = NAME(seen)(c, head, i);
        memset(z, 0, sizeof(REAL) * w->fp);
        if (i % NAME(block) == 0) NAME(set_pivots)(w, p, r, e, f);
        if (seen) NAME(see)(c, w, head, i, ++n, d, z, e, f, dtype);
        if (seen && n == 1) NAME(set_pivots)(w, p, r, e, f);
        char *out = NAME(row)(c, &c->grad_q, head, i, dtype);
        if (n == 0) {
            t->inverse[i] = t->a[i] = t->b[i] = 0;
            NAME(put_zeros)(out, e, dtype);
            continue;
        }
        const char *row = NAME(row)(c, &c->q, head, i, dtype), *g = NAME(row)(c, &c->grad, head, i, dtype);
        const REAL m = NAME(margin)(w, row, x, floor, scale, 1, e, dtype), margin = m < 1 ? 1 : m, inverse = 1 / (n * margin);
        for (int64_t l = 0; l < f; l++) u[l] = NAME(get)(g, l, dtype) * inverse;
        NAME(grow)(w->st, z, d, u, h, f, w->ep);
        REAL dm = 0;
#pragma omp simd reduction(+ : dm)
        for (int64_t l = 0; l < e; l++) dm += x[l] * h[l];
        dm = m >= 1 ? -dm / margin : 0;
        const REAL *restrict mean = w->k_mean, *restrict lo = w->lo, *restrict hi = w->hi;
#pragma omp simd
        for (int64_t l = 0; l < e; l++) {
            const REAL a = (h[l] + dm * NAME(slope)(x[l], mean[l] - lo[l], hi[l] - mean[l])) * scale;
            NAME(put)(out, l, NAME(get)(row, l, dtype) > floor ? a : 0, dtype);
        }
        t->inverse[i] = inverse;
        t->a[i] = NAME(about)(x, w->k_mean, w->k_sum, e) - margin;
        t->b[i] = NAME(about)(u, w->v_mean, w->v_sum, f) - dm / n;
    }
}

/* Second pass, last row to first: gradients of keys and values; w->s = sum q^T u of the queries that see the row. */
INLINE void NAME(causal_keys)(const call *c, NAME(scratch) *w, const NAME(trail) *t, int64_t head, const int64_t e,
                              const int64_t f, const int dtype) {
    REAL *restrict d = w->k, *restrict x = d + w->ep, *restrict dk = w->t, *restrict z = w->v, *restrict u = z + w->fp;
    REAL *restrict dv = u + w->fp, *restrict for_k = w->k_sum, *restrict for_v = w->v_sum;
    const REAL floor = FLOOR(c), scale = (REAL)c->scale;
    memset(w->s, 0, sizeof(REAL) * w->ep * w->fp);
    memset(w->st, 0, sizeof(REAL) * w->ep * w->fp);
    memset(for_k, 0, sizeof(REAL) * w->ep);
    memset(for_v, 0, sizeof(REAL) * w->fp);
    for (int64_t i = c->lq - 1; i >= 0; i--) {
        const REAL *p = t->p + i / NAME(block) * e, *r = t->r + i / NAME(block) * f;
        if (i % NAME(block) == NAME(block) - 1 && i + 1 < c->lq) /* move the sums to this block's pivots */
            for (int64_t k = 0; k < e; k++)
                for (int64_t l = 0; l < f; l++) {
                    for_v[l] += (p[e + k] - p[k]) * w->s[k * w->fp + l];
                    for_k[k] += (r[f + l] - r[l]) * w->s[k * w->fp + l];
                }
        const char *qr = NAME(row)(c, &c->q, head, i, dtype), *gr = NAME(row)(c, &c->grad, head, i, dtype);
        const char *kr = NAME(row)(c, &c->k, head, i, dtype), *vr = NAME(row)(c, &c->v, head, i, dtype);
        char *dk_out = NAME(row)(c, &c->grad_k, head, i, dtype), *dv_out = NAME(row)(c, &c->grad_v, head, i, dtype);
        const int seen = NAME(seen)(c, head, i);
#pragma omp simd
        for (int64_t l = 0; l < e; l++) {
            const REAL a = NAME(get)(qr, l, dtype), k = seen ? NAME(get)(kr, l, dtype) : 0;
            x[l] = (a < floor ? floor : a) * scale;
            for_k[l] += t->b[i] * x[l];
            d[l] = (k < floor ? floor : k) - p[l];
        }
#pragma omp simd
        for (int64_t l = 0; l < f; l++) {
            u[l] = NAME(get)(gr, l, dtype) * t->inverse[i];
            for_v[l] += t->a[i] * u[l];
            z[l] = seen ? NAME(get)(vr, l, dtype) - r[l] : 0;
        }
        NAME(grow)(w->s, x, u, d, dv, e, w->fp);
        NAME(grow)(w->st, u, x, z, dk, f, w->ep);
        for (int64_t l = 0; l < e; l++)
            NAME(put)(dk_out, l, seen && NAME(get)(kr, l, dtype) > floor ? dk[l] - for_k[l] : 0, dtype);
        for (int64_t l = 0; l < f; l++) NAME(put)(dv_out, l, seen ? dv[l] - for_v[l] : 0, dtype);
    }
}

INLINE int NAME(causal_backward)(const call *c, NAME(scratch) *w, int64_t head, const int64_t e, const int64_t f,
                                 const int dtype) {
    const int64_t blocks = c->lq / NAME(block) + 1;
    REAL *memory = malloc(sizeof(REAL) * (3 * c->lq + blocks * (e + f) + 1)); /* never of size 0, which may fail */
    if (!memory) return 1;
    const NAME(trail) t = {memory, memory + c->lq, memory + 2 * c->lq, memory + 3 * c->lq,
                           memory + 3 * c->lq + blocks * e};
    NAME(causal_queries)(c, w, &t, head, e, f, dtype);
    NAME(causal_keys)(c, w, &t, head, e, f, dtype);
    free(memory);
    return 0;
}
