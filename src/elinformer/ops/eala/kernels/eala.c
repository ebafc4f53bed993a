/* EALA on CPUs: plain C on raw pointers, called through ctypes.

   Feature map, statistics, products and gradients are fused over blocks of rows that stay in the first-level cache,
   so that every tensor is read or written once or twice. Loops over a row are left to the compiler's vectoriser,
   products are written in vector registers. One file is compiled for several instruction sets, and the best one the
   processor has runs. Threads belong to the OpenMP runtime that PyTorch has already loaded, found by the caller
   at run time: linking one here could bring a second runtime into the process. */

#include <math.h>

#include "eala.h"

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

#define JOIN2(a, b) a##_##b
#define JOIN(a, b) JOIN2(a, b)
#define NAME(x) JOIN(x, SUFFIX)

#define REAL float
#define SUFFIX f32_generic
#define LANES 4
#define ROWS 4
#define TARGET
#include "variant.h"

#define REAL double
#define SUFFIX f64_generic
#define LANES 2
#define ROWS 4
#define TARGET
#include "variant.h"

#if defined(__x86_64__)
#define REAL float
#define SUFFIX f32_avx2
#define LANES 8
#define ROWS 4
#define TARGET __attribute__((target("avx2,fma")))
#include "variant.h"

#define REAL double
#define SUFFIX f64_avx2
#define LANES 4
#define ROWS 4
#define TARGET __attribute__((target("avx2,fma")))
#include "variant.h"

#define REAL float
#define SUFFIX f32_avx512
#define LANES 16
#define ROWS 8
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma,prefer-vector-width=512")))
#include "variant.h"
#endif

enum { GENERIC, AVX2, AVX512 };

/* The best instruction set there is, at most `c->isa`; rows that 16 lanes would mostly pad are left to 8. */
static int choose(const call *c) {
#if defined(__x86_64__)
    const int narrow = 5 * (round_up(c->e, 8) + round_up(c->f, 8)) <= 4 * (round_up(c->e, 16) + round_up(c->f, 16));
    const int wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                     __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (wide && c->isa >= AVX512 && !narrow && c->dtype != FLOAT64) return AVX512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && c->isa >= AVX2) return AVX2;
#endif
    (void)c;
    return GENERIC;
}

#define PICK(direction, c, ...)                                                                                \
    do {                                                                                                       \
        if ((c)->batch * (c)->heads == 0) return 0; /* no head, no work */                                     \
        const int isa = choose(c), f64 = (c)->dtype == FLOAT64;                                                \
        X86(if (isa == AVX512) return direction##_f32_avx512(c, __VA_ARGS__);)                                 \
        X86(if (isa == AVX2) return f64 ? direction##_f64_avx2(c, __VA_ARGS__) : direction##_f32_avx2(c, __VA_ARGS__);) \
        (void)isa;                                                                                             \
        return f64 ? direction##_f64_generic(c, __VA_ARGS__) : direction##_f32_generic(c, __VA_ARGS__);        \
    } while (0)

#if defined(__x86_64__)
#define X86(...) __VA_ARGS__
#else
#define X86(...)
#endif

/* All return 0, or 1 for no memory. The halves are for keys in several places, whose states and sums are put together
   between them; `sums` holds, a head, dkbar E | dvbar F | dS (E x F). */
int eala_forward(const call *c) { PICK(forward, c, GATHER | SPREAD); }
int eala_gather(const call *c) { PICK(forward, c, GATHER); }
int eala_apply(const call *c) { PICK(forward, c, SPREAD); }
int eala_backward(const call *c) { PICK(backward, c, GATHER | SPREAD, NULL); }
int eala_query_gradients(const call *c, void *sums) { PICK(backward, c, GATHER, sums); }
int eala_key_gradients(const call *c, void *sums) { PICK(backward, c, SPREAD, sums); }

/* GNU's entry point to a parallel region; Intel's and LLVM's runtimes have it too. */
typedef void (*team)(void (*body)(void *), void *data, unsigned threads, unsigned flags);

static team parallel;
static int forked; /* the threads of a runtime do not survive a fork, and waiting for them would never end */

static void after_fork(void) { forked = 1; }

void eala_use_threads_of(void *gomp_parallel) {
#if defined(__unix__) || defined(__APPLE__)
    if (!parallel && gomp_parallel) pthread_atfork(NULL, NULL, after_fork);
#endif
    parallel = (team)gomp_parallel;
}

static void body(void *data) {
    job *j = data;
    j->run(j);
}

void eala_run(job *j) {
    const call *c = j->c;
    const int64_t work = c->batch * c->heads * (c->lq + c->lk) * (c->e + c->f);
    int64_t threads = c->threads < j->tasks ? c->threads : j->tasks;
    if (work < 16384) threads = 1; /* less than waking a thread costs */
    j->next = 0;
    if (threads > 1 && parallel && !forked)
        parallel(body, j, (unsigned)threads, 0);
    else
        j->run(j);
}
