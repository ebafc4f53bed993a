/* The call as the caller describes it, and small functions of all parts of the kernel. */
#ifndef ELINFORMER_EALA_H
#define ELINFORMER_EALA_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* A tensor (B, H, rows, columns) whose columns lie side by side; strides in elements. */
typedef struct {
    char *data;
    int64_t b, h, row;
} tensor;

enum { FLOAT32, BFLOAT16, FLOAT64 };

/* One call. `state` holds, a head, n | k mean E | lo E | hi E | v mean F | S (E x F). All fields are 8 bytes wide. */
typedef struct {
    tensor q, k, v, mask, out, grad, grad_q, grad_k, grad_v;
    char *state;
    int64_t batch, heads, lq, lk, e, f, dtype, relu, causal, threads, isa;
    double scale;
} call;

/* Work of one kind, cut into numbered tasks; `run` is called once a thread and takes tasks until none are left. */
enum { GATHER = 1, SPREAD = 2 }; /* the sums over rows, and the work that needs them */
typedef struct job job;
struct job {
    const call *c;
    void (*run)(job *);
    int64_t tasks, splits, next;
    char *partial; /* the results of the splits of a head, `partial_size` elements each */
    int64_t partial_size;
    int stage, failed;
};

void eala_run(job *j);

static inline int64_t take(job *j) { return __atomic_fetch_add(&j->next, 1, __ATOMIC_RELAXED); }

static inline int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

/* The rows of part `split` of `splits`. */
static inline void share(int64_t rows, int64_t split, int64_t splits, int64_t *from, int64_t *to) {
    int64_t step = (rows + splits - 1) / splits;
    *from = split * step < rows ? split * step : rows;
    *to = *from + step < rows ? *from + step : rows;
}

/* How many parts the rows of a head are cut into: enough for every thread to get several, none of them tiny. */
static inline int64_t splits_for(const call *c) {
    const int64_t heads = c->batch * c->heads, longest = c->lq > c->lk ? c->lq : c->lk;
    if (c->causal || c->threads == 1 || heads == 0 || heads >= 8 * c->threads) return 1;
    const int64_t wanted = (8 * c->threads + heads - 1) / heads, most = longest / 1024;
    return most < 2 ? 1 : wanted < most ? wanted : most;
}

static inline float from_bfloat16(uint16_t x) {
    uint32_t bits = (uint32_t)x << 16;
    float y;
    memcpy(&y, &bits, 4);
    return y;
}

/* To nearest, ties to even, as PyTorch; without a branch, which would leave the end of a row to one element at a time. */
static inline uint16_t to_bfloat16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    const uint32_t number = -(uint32_t)(x == x);
    bits = (bits & number) | (0x7fc00000 & ~number);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

#endif
