/* One precision and instruction set: include with REAL, SUFFIX, LANES, ROWS and TARGET set. */
#include "product.h"
#include "rows.h"
#include "state.h"
#include "full.h"
#include "causal.h"
#include "jobs.h"
#undef REAL
#undef SUFFIX
#undef LANES
#undef ROWS
#undef TARGET
