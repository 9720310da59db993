#include "ladder.h"

#include "units.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>

enum frx_status frx_ladder_create(int n_ladder, int n_rung, const double *beta, struct frx_ladder *ladder) {
    *ladder = (struct frx_ladder){0};
    if (n_ladder < 1 || n_rung < 1 || n_rung > INT_MAX / n_ladder)
        return FRX_FAIL(FRX_ERR_ARGUMENT, "%d ladders of %d rungs: both must be at least 1", n_ladder,
                        n_rung);
    for (int k = 0; k < n_rung; k++) {
        if (!isfinite(beta[k]) || beta[k] <= 0)
            return FRX_FAIL(FRX_ERR_ARGUMENT, "beta %g of rung %d must be positive and finite", beta[k], k);
        if (k > 0 && beta[k] >= beta[k - 1])
            return FRX_FAIL(
                FRX_ERR_ARGUMENT,
                "betas must be strictly descending (coldest first), but rung %d has %.10g and rung "
                "%d has %.10g",
                k - 1, beta[k - 1], k, beta[k]);
    }
    double *copy = malloc((size_t)n_rung * sizeof *copy);
    if (!copy) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for %d betas", n_rung);
    for (int k = 0; k < n_rung; k++) copy[k] = beta[k];
    *ladder = (struct frx_ladder){.n_ladder = n_ladder, .n_rung = n_rung, .beta = copy};
    return FRX_OK;
}

enum frx_status frx_ladder_create_kelvin(int n_ladder, int n_rung, const double *kelvin,
                                         struct frx_ladder *ladder) {
    *ladder = (struct frx_ladder){0};
    for (int k = 0; k < n_rung; k++) {
        if (!isfinite(kelvin[k]) || kelvin[k] <= 0)
            return FRX_FAIL(FRX_ERR_ARGUMENT, "temperature %g K of rung %d must be positive and finite",
                            kelvin[k], k);
        if (k > 0 && kelvin[k] <= kelvin[k - 1])
            return FRX_FAIL(
                FRX_ERR_ARGUMENT,
                "temperatures must be strictly ascending, but rung %d has %.10g K and rung %d has "
                "%.10g K",
                k - 1, kelvin[k - 1], k, kelvin[k]);
    }
    double *beta = malloc((size_t)(n_rung > 0 ? n_rung : 1) * sizeof *beta);
    if (!beta) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for %d betas", n_rung);
    for (int k = 0; k < n_rung; k++) beta[k] = FRX_BETA_OF_KELVIN(kelvin[k]);
    const enum frx_status status = frx_ladder_create(n_ladder, n_rung, beta, ladder);
    free(beta);
    return status;
}

enum frx_status frx_ladder_geometric(double t_min, double t_max, int n_rung, double *kelvin) {
    if (n_rung < 1) return FRX_FAIL(FRX_ERR_ARGUMENT, "%d rungs: at least 1 is needed", n_rung);
    if (!isfinite(t_min) || !isfinite(t_max) || t_min <= 0)
        return FRX_FAIL(FRX_ERR_ARGUMENT, "temperatures %g K to %g K must be positive and finite", t_min,
                        t_max);
    if (n_rung == 1 ? t_min != t_max : t_min >= t_max)
        return FRX_FAIL(FRX_ERR_ARGUMENT, "%d rungs do not fit from %g K to %g K%s", n_rung, t_min, t_max,
                        n_rung == 1 ? ": one rung has one temperature" : "");
    for (int k = 1; k < n_rung - 1; k++) kelvin[k] = t_min * pow(t_max / t_min, (double)k / (n_rung - 1));
    kelvin[0] = t_min;
    kelvin[n_rung - 1] = t_max;
    return FRX_OK;
}

void frx_ladder_clear(struct frx_ladder *ladder) {
    free(ladder->beta);
    *ladder = (struct frx_ladder){0};
}

int frx_ladder_n_slot(const struct frx_ladder *ladder) {
    return ladder->n_ladder * ladder->n_rung;
}

static int first_slot(int n_slot, int n_rank, int rank) {
    return (int)((long long)rank * n_slot / n_rank);
}

enum frx_status frx_slots_of_rank(int n_slot, int n_rank, int rank, int *first, int *n) {
    if (n_rank > n_slot)
        return FRX_FAIL(
            FRX_ERR_ARGUMENT,
            "%d ranks for %d replicas: start at most %d ranks, or use more temperatures or ladders", n_rank,
            n_slot, n_slot);
    *first = first_slot(n_slot, n_rank, rank);
    *n = first_slot(n_slot, n_rank, rank + 1) - *first;
    return FRX_OK;
}

int frx_rank_of_slot(int n_slot, int n_rank, int slot) {
    /* The largest rank whose block starts at or before the slot: rank * n_slot / n_rank <= slot. */
    return (int)((((long long)slot + 1) * n_rank - 1) / n_slot);
}
