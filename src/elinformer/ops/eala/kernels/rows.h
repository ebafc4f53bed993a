/* Rows of tensors, and what a thread works in, for one precision and instruction set. */

/* Rows are padded to the vector width with zeros. */
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

INLINE void NAME(put_zeros)(char *row, int64_t n, const int dtype) {
    memset(row, 0, n * (dtype == BFLOAT16 ? 2 : sizeof(REAL)));
}
