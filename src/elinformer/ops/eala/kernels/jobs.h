/* The work of each thread, for one precision and instruction set. A head is one task where there are enough of them;
   otherwise its rows are split, and the results of the parts are put together between two rounds. */

INLINE void NAME(forward_tasks)(job *j, NAME(scratch) *w, const int64_t e, const int64_t f, const int dtype) {
    const call *c = j->c;
    for (int64_t t = take(j), from, to; t < j->tasks; t = take(j)) {
        const int64_t head = t / j->splits, split = t % j->splits;
        if (c->causal) {
            NAME(causal_forward)(c, w, head, e, f, dtype);
            continue;
        }
        if (j->stage & GATHER) {
            share(c->lk, split, j->splits, &from, &to);
            REAL *state = j->splits == 1 ? STATE(c, head) : (REAL *)j->partial + t * j->partial_size;
            NAME(gather)(c, w, head, from, to, state, e, f, dtype);
        }
        if (j->stage & SPREAD) {
            share(c->lq, split, j->splits, &from, &to);
            NAME(apply)(c, w, head, from, to, e, f, dtype);
        }
    }
}

INLINE void NAME(backward_tasks)(job *j, NAME(scratch) *w, const int64_t e, const int64_t f, const int dtype) {
    const call *c = j->c;
    for (int64_t t = take(j), from, to; t < j->tasks; t = take(j)) {
        const int64_t head = t / j->splits, split = t % j->splits;
        if (c->causal) {
            j->failed |= NAME(causal_backward)(c, w, head, e, f, dtype);
            continue;
        }
        REAL *sums = j->partial ? (REAL *)j->partial + t * j->partial_size : w->sums;
        if (j->stage & GATHER) {
            share(c->lq, split, j->splits, &from, &to);
            NAME(query_gradients)(c, w, head, from, to, sums, e, f, dtype);
        }
        if (j->stage & SPREAD) {
            if (j->partial) sums = (REAL *)j->partial + head * j->splits * j->partial_size;
            share(c->lk, split, j->splits, &from, &to);
            NAME(key_gradients)(c, w, head, from, to, sums, e, f, dtype);
        }
    }
}

#if LANES > 4
#define BY_SIZE(tasks, dtype)                         \
    do {                                              \
        if (same == 16) tasks(j, w, 16, 16, dtype);   \
        else if (same == 20) tasks(j, w, 20, 20, dtype); \
        else if (same == 32) tasks(j, w, 32, 32, dtype); \
        else tasks(j, w, c->e, c->f, dtype);          \
    } while (0)
#else
#define BY_SIZE(tasks, dtype) (void)same, tasks(j, w, c->e, c->f, dtype)
#endif

/* Common sizes are compiled for, so that loops over a row unroll. */
#define SPECIALISED(tasks)                                             \
    do {                                                               \
        const call *c = j->c;                                          \
        NAME(scratch) *w = NAME(scratch_new)(c->e, c->f);              \
        if (!w) {                                                      \
            j->failed = 1;                                             \
            return;                                                    \
        }                                                              \
        const int64_t same = c->e == c->f ? c->e : 0;                    \
        if (sizeof(REAL) == 4 && c->dtype == BFLOAT16) BY_SIZE(tasks, BFLOAT16);              \
        else BY_SIZE(tasks, sizeof(REAL) == 4 ? FLOAT32 : FLOAT64);      \
        free(w);                                                       \
    } while (0)

TARGET static void NAME(forward_run)(job *j) { SPECIALISED(NAME(forward_tasks)); }
TARGET static void NAME(backward_run)(job *j) { SPECIALISED(NAME(backward_tasks)); }

/* Both halves, or one: gathering the state, which the caller then has, or applying one that it gives. */
TARGET static int NAME(forward)(const call *c, const int stage) {
    job j = {.c = c, .run = NAME(forward_run), .splits = splits_for(c), .stage = stage};
    j.tasks = c->batch * c->heads * j.splits;
    j.partial_size = 1 + 3 * c->e + c->f + c->e * c->f;
    if (j.splits == 1 || !(stage & GATHER)) {
        eala_run(&j);
        return j.failed;
    }
    j.partial = malloc(sizeof(REAL) * j.tasks * j.partial_size);
    if (!j.partial) return 1;
    j.stage = GATHER;
    eala_run(&j);
    if (j.failed) return free(j.partial), 1;
    for (int64_t t = 0; t < j.tasks; t++) {
        const REAL *part = (REAL *)j.partial + t * j.partial_size;
        if (t % j.splits == 0)
            memcpy(STATE(c, t / j.splits), part, sizeof(REAL) * j.partial_size);
        else
            NAME(merge)(STATE(c, t / j.splits), part, c->e, c->f);
    }
    free(j.partial);
    if (!(stage & SPREAD)) return 0;
    j.stage = SPREAD;
    eala_run(&j);
    return j.failed;
}

/* Between the sums dkbar | dvbar | dS of a head as the caller has them and as they are padded here. */
TARGET static void NAME(move_sums)(const call *c, REAL *sums, REAL *padded, const int out) {
    const int64_t pad = LANES < 4 ? 4 : LANES, ep = round_up(c->e, pad), fp = round_up(c->f, pad);
    for (int64_t i = -2; i < c->e; i++) { /* two rows for the means, and those of S */
        REAL *mine = i == -2 ? padded : i == -1 ? padded + ep : padded + ep + fp + i * fp;
        const int64_t n = i == -2 ? c->e : c->f;
        out ? memcpy(sums, mine, sizeof(REAL) * n) : memcpy(mine, sums, sizeof(REAL) * n);
        sums += n;
    }
}

/* Both halves, or one: the gradient of the queries with the sums over them, or that of the keys from such sums. */
TARGET static int NAME(backward)(const call *c, const int stage, void *sums) {
    job j = {.c = c, .run = NAME(backward_run), .splits = splits_for(c), .stage = stage};
    const int64_t pad = LANES < 4 ? 4 : LANES, ep = round_up(c->e, pad), fp = round_up(c->f, pad);
    const int64_t heads = c->batch * c->heads, size = c->e + c->f + c->e * c->f;
    j.tasks = heads * j.splits;
    j.partial_size = ep + fp + ep * fp;
    if (j.splits == 1 && stage == (GATHER | SPREAD)) {
        eala_run(&j);
        return j.failed;
    }
    j.partial = calloc(j.tasks * j.partial_size + 1, sizeof(REAL)); /* never of size 0, which may fail */
    if (!j.partial) return 1;
    const int64_t between = j.splits * j.partial_size; /* from the first part of a head to that of the next */
    j.stage = GATHER;
    if (stage & GATHER) eala_run(&j);
    for (int64_t t = 0; t < j.tasks && !j.failed && stage & GATHER; t++) {
        REAL *first = (REAL *)j.partial + t / j.splits * between;
        const REAL *part = (REAL *)j.partial + t * j.partial_size;
        if (t % j.splits)
            for (int64_t i = 0; i < j.partial_size; i++) first[i] += part[i];
    }
    for (int64_t h = 0; h < heads && !j.failed && sums; h++)
        NAME(move_sums)(c, (REAL *)sums + h * size, (REAL *)j.partial + h * between, stage & GATHER);
    j.stage = SPREAD;
    if (!j.failed && stage & SPREAD) eala_run(&j);
    free(j.partial);
    return j.failed;
}

#undef STATE
#undef FLOOR
#undef WIDE
#undef INLINE
#undef SPECIALISED
#undef BY_SIZE
