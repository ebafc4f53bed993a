/* Rows of tensors, and the scratch memory of a thread, for one precision and instruction set. */

/* Rows are padded to the vector width with zeros. */
typedef struct {
    int64_t ep, fp, rows;
    REAL *k, *v, *t;            /* blocks of rows, e wide, f wide and either */
    REAL *s, *st;               /* E x F and F x E */
    REAL *k_mean, *k_pivot, *k_sum, *lo, *hi;
    REAL *v_mean, *v_pivot, *v_sum;
    REAL *c, *dm;               /* a value a row */
    REAL *sums;                 /* dkbar | dvbar | dS of a head */
    int64_t *index;
} NAME(scratch);

static NAME(scratch) *NAME(scratch_new)(int64_t e, int64_t f) {
    const int64_t pad = LANES < 4 ? 4 : LANES, ep = round_up(e, pad), fp = round_up(f, pad);
    const int64_t wide = ep > fp ? ep : fp;
    int64_t rows = 24576 / (int64_t)sizeof(REAL) / (ep + fp ? ep + fp : pad) / 8 * 8;
    rows = rows < 16 ? 16 : rows > 256 ? 256 : rows;
    const int64_t reals = rows * (ep + fp + wide + 2) + 3 * ep * fp + 6 * ep + 4 * fp;
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
    w->k_pivot = p, p += ep;
    w->k_sum = p, p += ep;
    w->lo = p, p += ep;
    w->hi = p, p += ep;
    w->v_mean = p, p += fp;
    w->v_pivot = p, p += fp;
    w->v_sum = p, p += fp;
    w->c = p, p += rows;
    w->dm = p, p += rows;
    w->sums = p;
    return w;
}

#define WIDE(n) round_up(n, LANES < 4 ? 4 : LANES)
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

/* max(x, floor), which is phi(x); NaN stays NaN. */
INLINE REAL NAME(phi)(const char *row, int64_t i, const REAL floor, const int dtype) {
    const REAL a = NAME(get)(row, i, dtype);
    return a < floor ? floor : a;
}

INLINE char *NAME(row)(const call *c, const tensor *t, int64_t head, int64_t i, const int dtype) {
    const int64_t at = head / c->heads * t->b + head % c->heads * t->h + i * t->row;
    return t->data + at * (dtype == BFLOAT16 ? 2 : (int64_t)sizeof(REAL));
}

INLINE int NAME(seen)(const call *c, int64_t head, int64_t j) {
    const tensor *m = &c->mask;
    return !m->data || m->data[head / c->heads * m->b + head % c->heads * m->h + j * m->row];
}

/* x = scale phi(query); returns the certificate m(x) (docs/theory.md, section 4). w->lo and w->hi are the bounds if
   `running`, else their distances kbar - lo and hi - kbar from the mean, which many queries share. */
INLINE REAL NAME(margin)(const NAME(scratch) *w, const char *row, REAL *restrict x, const REAL floor, const REAL scale,
                         const int running, const int64_t e, const int dtype) {
    const REAL *restrict mean = w->k_mean, *restrict lo = w->lo, *restrict hi = w->hi;
    REAL m = 0;
#pragma omp simd reduction(+ : m)
    for (int64_t l = 0; l < e; l++) {
        const REAL a = NAME(phi)(row, l, floor, dtype) * scale;
        x[l] = a;
        m += a * (a < 0 ? (running ? mean[l] - hi[l] : -hi[l]) : (running ? mean[l] - lo[l] : lo[l]));
    }
    return m;
}

/* The derivative of m by x at x, 0 at its kink. */
INLINE REAL NAME(slope)(const REAL x, const REAL above, const REAL below) {
    return (x > 0 ? above : 0) - (x < 0 ? below : 0);
}

INLINE void NAME(put_zeros)(char *row, int64_t n, const int dtype) {
    memset(row, 0, n * (dtype == BFLOAT16 ? 2 : sizeof(REAL)));
}
