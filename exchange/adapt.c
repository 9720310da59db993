#include "adapt.h"

#include "monotone_cubic.h"

#include <math.h>
#include <stdlib.h>

#define SQRT_PI      1.7724538509055160273
#define MIN_ACCEPTED 1e-300
#define MIN_SHARE    0.01 /* of the average length: a pair that was always accepted is not wide for ever */

/* ---- rounds ---- */

int64_t frx_adapt_n_event(int n_round) {
    return (INT64_C(2) << n_round) - 2;
}

int frx_adapt_n_round(int64_t n_event) {
    int n_round = 0;
    while (n_round < FRX_ADAPT_MAX_ROUND && frx_adapt_n_event(n_round + 1) <= n_event) n_round++;
    return n_round;
}

int frx_adapt_is_end(int64_t n_event) {
    return n_event > 0 && frx_adapt_n_event(frx_adapt_n_round(n_event)) == n_event;
}

/* ---- lengths ---- */

double frx_acceptance_of_length(double length) {
    return erfc(0.5 * SQRT_PI * length);
}

/* erfc falls, so halving an interval finds the only solution, to the last bits and the same everywhere. */
double frx_length_of_acceptance(double acceptance) {
    const double wanted = fmin(fmax(acceptance, MIN_ACCEPTED), 1);
    double low = 0, high = 30; /* erfc(0.886 * 30) < 1e-300 */
    if (wanted == 1) return 0;
    for (int i = 0; i < 60; i++) {
        const double middle = 0.5 * (low + high);
        if (frx_acceptance_of_length(middle) > wanted)
            low = middle;
        else
            high = middle;
    }
    return 0.5 * (low + high);
}

/* ---- placing ---- */

/* Lambda at the rungs from the lengths. */
static enum frx_status sum_lengths(int n_rung, const double *length, double *barrier) {
    double total = 0;
    for (int p = 0; p < n_rung - 1; p++) {
        if (!isfinite(length[p]) || length[p] < 0)
            return FRX_FAIL(FRX_ERR_ARGUMENT, "the length between rungs %d and %d is %g", p, p + 1,
                            length[p]);
        total += length[p];
    }
    const double least = total > 0 ? MIN_SHARE * total / (n_rung - 1) : 1;
    barrier[0] = 0;
    for (int k = 1; k < n_rung; k++) barrier[k] = barrier[k - 1] + fmax(length[k - 1], least);
    return FRX_OK;
}

enum frx_status frx_place_rungs(int n_rung, const double *beta, const double *length, int n_new,
                                double *new_beta) {
    if (n_rung < 2 || n_new < 2)
        return FRX_FAIL(FRX_ERR_ARGUMENT, "%d rungs cannot be placed from %d: both must be at least 2", n_new,
                        n_rung);
    double *x = malloc(3 * (size_t)n_rung * sizeof *x), *barrier = x + n_rung, *slope = x + 2 * n_rung;
    if (!x) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for %d rungs", n_rung);
    for (int k = 0; k < n_rung; k++) x[k] = -log(beta[k]);
    const enum frx_status status = sum_lengths(n_rung, length, barrier);
    if (status == FRX_OK) {
        frx_monotone_slopes(n_rung, x, barrier, slope);
        for (int k = 1; k < n_new - 1; k++)
            new_beta[k] =
                exp(-frx_monotone_solve(n_rung, x, barrier, slope, barrier[n_rung - 1] * k / (n_new - 1)));
        new_beta[0] = beta[0];
        new_beta[n_new - 1] = beta[n_rung - 1];
    }
    free(x);
    return status;
}

enum frx_status frx_adapt(int n_rung, const double *beta, const double *acceptance, int n_new,
                          double *new_beta) {
    double *length = malloc((size_t)(n_rung > 0 ? n_rung : 1) * sizeof *length);
    if (!length) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for %d rungs", n_rung);
    for (int p = 0; p < n_rung - 1; p++) length[p] = frx_length_of_acceptance(acceptance[p]);
    const enum frx_status status = frx_place_rungs(n_rung, beta, length, n_new, new_beta);
    free(length);
    return status;
}
