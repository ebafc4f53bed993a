/* Small matrix products in registers, for one precision and instruction set (REAL, LANES, TARGET, NAME). */

typedef REAL NAME(vec) __attribute__((vector_size(LANES * sizeof(REAL)), aligned(sizeof(REAL)), may_alias));

#define INLINE static inline __attribute__((always_inline)) TARGET

/* ROWS x WIDE vectors of C = [C +] A B; A(i, l) is a[i * ai + l * al]. C is added last: sums of blocks lose fewer
   digits than one long sum. */
INLINE void NAME(tile)(const int rows, const int wide, int64_t depth, const REAL *restrict a, int64_t ai, int64_t al,
                       const REAL *restrict b, int64_t ldb, REAL *restrict c, int64_t ldc, const int add) {
    NAME(vec) sum[8][2];
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int j = 0; j < wide; j++)
            sum[i][j] = (NAME(vec)){0};
    for (int64_t l = 0; l < depth; l++) {
        NAME(vec) row[2];
#pragma GCC unroll 2
        for (int j = 0; j < wide; j++) row[j] = *(const NAME(vec) *)(b + l * ldb + j * LANES);
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++) {
            const REAL x = a[i * ai + l * al];
#pragma GCC unroll 2
            for (int j = 0; j < wide; j++) sum[i][j] += x * row[j];
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int j = 0; j < wide; j++) {
            NAME(vec) *cell = (NAME(vec) *)(c + i * ldc + j * LANES);
            if (add) sum[i][j] += *cell;
            *cell = sum[i][j];
        }
}

INLINE void NAME(columns)(const int rows, const int wide, int64_t m, int64_t depth, const REAL *a, int64_t ai, int64_t al,
                          const REAL *b, int64_t ldb, REAL *c, int64_t ldc, const int add) {
    int64_t i = 0;
    for (; i + rows <= m; i += rows) NAME(tile)(rows, wide, depth, a + i * ai, ai, al, b, ldb, c + i * ldc, ldc, add);
    for (; i < m; i += 4) NAME(tile)(4, wide, depth, a + i * ai, ai, al, b, ldb, c + i * ldc, ldc, add);
}

/* C (m x n) = [C +] A B; m is a multiple of 4, n one of LANES. */
TARGET static __attribute__((noinline)) void NAME(product)(int64_t m, int64_t n, int64_t depth, const REAL *a, int64_t ai, int64_t al, const REAL *b,
                          int64_t ldb, REAL *c, int64_t ldc, const int add) {
    int64_t j = 0;
    for (; j + 2 * LANES <= n; j += 2 * LANES)
        NAME(columns)(ROWS, 2, m, depth, a, ai, al, b + j, ldb, c + j, ldc, add);
    for (; j < n; j += LANES) NAME(columns)(8, 1, m, depth, a, ai, al, b + j, ldb, c + j, ldc, add);
}
