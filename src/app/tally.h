/* Mean and spread of the potential energy at every rung. */
#ifndef FRX_APP_TALLY_H
#define FRX_APP_TALLY_H

#include "status.h"

#include <stdint.h>

struct frx_tally {
    int n_rung;
    double *sum; /* [3][n_rung]: number, sum and sum of squares of energies */
};

/* Make an empty tally, owned by the caller; free it. Errors: FRX_ERR_MEMORY. Local. */
FRX_CHECKED enum frx_status frx_tally_create(int n_rung, struct frx_tally *tally);
void frx_tally_clear(struct frx_tally *tally);

/* Count one energy, kcal/mol. Local. */
void frx_tally_add(struct frx_tally *tally, int rung, double energy);

/* Number of energies at a rung, their mean and standard deviation (NaN below one / two). Local. */
int64_t frx_tally_read(const struct frx_tally *tally, int rung, double *mean, double *deviation);

#endif
