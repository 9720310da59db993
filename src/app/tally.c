#include "tally.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum frx_status frx_tally_create(int n_rung, struct frx_tally *tally) {
    *tally = (struct frx_tally){n_rung, calloc(3 * (size_t)n_rung, sizeof *tally->sum)};
    return tally->sum ? FRX_OK
                      : FRX_FAIL(FRX_ERR_MEMORY, "out of memory for the statistics of %d rungs", n_rung);
}

void frx_tally_clear(struct frx_tally *tally) {
    free(tally->sum);
    memset(tally, 0, sizeof *tally);
}

void frx_tally_add(struct frx_tally *tally, int rung, double energy) {
    tally->sum[rung] += 1;
    tally->sum[tally->n_rung + rung] += energy;
    tally->sum[2 * tally->n_rung + rung] += energy * energy;
}

int64_t frx_tally_read(const struct frx_tally *tally, int rung, double *mean, double *deviation) {
    const double n = tally->sum[rung];
    *mean = n > 0 ? tally->sum[tally->n_rung + rung] / n : NAN;
    const double square = tally->sum[2 * tally->n_rung + rung] - n * *mean * *mean;
    *deviation = n > 1 ? sqrt(fmax(square, 0) / (n - 1)) : NAN;
    return (int64_t)n;
}
