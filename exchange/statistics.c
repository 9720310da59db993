#include "statistics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum frx_status frx_statistics_create(int n_ladder, int n_rung, struct frx_statistics *s) {
    const size_t n_pair = (size_t)n_ladder * (size_t)(n_rung - 1),
                 n_replica = (size_t)n_ladder * (size_t)n_rung;
    const size_t at_least = 1; /* one rung has no pairs; calloc(0) may be NULL */
    *s = (struct frx_statistics){.n_ladder = n_ladder, .n_rung = n_rung};
    s->probability_sum = calloc(n_pair + at_least, sizeof *s->probability_sum);
    s->n_attempt = calloc(n_pair + at_least, sizeof *s->n_attempt);
    s->n_accept = calloc(n_pair + at_least, sizeof *s->n_accept);
    s->n_up = calloc(n_replica, sizeof *s->n_up);
    s->n_down = calloc(n_replica, sizeof *s->n_down);
    s->label = calloc(n_replica, sizeof *s->label);
    s->n_round_trip = calloc(n_replica, sizeof *s->n_round_trip);
    s->n_restart = calloc(n_replica, sizeof *s->n_restart);
    s->residence = calloc(n_replica * (size_t)n_rung, sizeof *s->residence);
    if (s->probability_sum && s->n_attempt && s->n_accept && s->n_up && s->n_down && s->label &&
        s->n_round_trip && s->n_restart && s->residence)
        return FRX_OK;
    frx_statistics_clear(s);
    return FRX_FAIL(FRX_ERR_MEMORY, "no memory for the statistics of %d ladders of %d rungs", n_ladder,
                    n_rung);
}

void frx_statistics_clear(struct frx_statistics *s) {
    free(s->probability_sum);
    free(s->n_attempt);
    free(s->n_accept);
    free(s->n_up);
    free(s->n_down);
    free(s->label);
    free(s->n_round_trip);
    free(s->n_restart);
    free(s->residence);
    *s = (struct frx_statistics){0};
}

void frx_statistics_reset(struct frx_statistics *s) {
    const size_t n_pair = (size_t)s->n_ladder * (size_t)(s->n_rung - 1);
    const size_t n_replica = (size_t)s->n_ladder * (size_t)s->n_rung;
    s->n_event = 0;
    memset(s->probability_sum, 0, n_pair * sizeof *s->probability_sum);
    memset(s->n_attempt, 0, n_pair * sizeof *s->n_attempt);
    memset(s->n_accept, 0, n_pair * sizeof *s->n_accept);
    memset(s->n_up, 0, n_replica * sizeof *s->n_up);
    memset(s->n_down, 0, n_replica * sizeof *s->n_down);
    memset(s->n_round_trip, 0, n_replica * sizeof *s->n_round_trip);
    memset(s->n_restart, 0, n_replica * sizeof *s->n_restart);
    memset(s->residence, 0, n_replica * (size_t)s->n_rung * sizeof *s->residence);
}

/* A replica is at an end of the ladder: close the half trip that it was on. Trips begin at the hottest rung,
 * so the coldest means nothing to a replica that has not been there yet. */
static void visit_end(struct frx_statistics *s, uint32_t replica, int rung) {
    int32_t *label = &s->label[replica];
    if (rung > 0) {
        if (*label == FRX_LABEL_UP) s->n_round_trip[replica]++;
        *label = FRX_LABEL_DOWN;
    } else if (*label == FRX_LABEL_DOWN) {
        s->n_restart[replica]++;
        *label = FRX_LABEL_UP;
    }
}

void frx_statistics_update(struct frx_statistics *s, const struct frx_swap *swap,
                           const uint32_t *identity_of_rung) {
    const int n_rung = s->n_rung, n_pair = n_rung - 1;
    s->n_event++;
    for (int l = 0; l < s->n_ladder; l++) {
        for (int p = 0; p < n_pair; p++) {
            s->probability_sum[l * n_pair + p] += swap[l].probability[p];
            s->n_attempt[l * n_pair + p] += swap[l].n_attempt[p];
            s->n_accept[l * n_pair + p] += swap[l].n_accept[p];
        }
        for (int k = 0; k < n_rung; k++) {
            const uint32_t replica = identity_of_rung[l * n_rung + k];
            s->residence[(size_t)replica * (size_t)n_rung + (size_t)k]++;
            if (n_rung == 1) continue; /* no ends, no trips */
            if (k == 0 || k == n_rung - 1) visit_end(s, replica, k);
            s->n_up[l * n_rung + k] += s->label[replica] == FRX_LABEL_UP;
            s->n_down[l * n_rung + k] += s->label[replica] == FRX_LABEL_DOWN;
        }
    }
}

/* The ladders first .. last-1 that `ladder` means. */
static void range_of(const struct frx_statistics *s, int ladder, int *first, int *last) {
    *first = ladder == FRX_ALL_LADDERS ? 0 : ladder;
    *last = ladder == FRX_ALL_LADDERS ? s->n_ladder : ladder + 1;
}

void frx_statistics_acceptance(const struct frx_statistics *s, int ladder, double *acceptance) {
    const int n_pair = s->n_rung - 1;
    int first, last;
    range_of(s, ladder, &first, &last);
    for (int p = 0; p < n_pair; p++) {
        double sum = 0;
        for (int l = first; l < last; l++) sum += s->probability_sum[l * n_pair + p];
        acceptance[p] = s->n_event ? sum / ((double)s->n_event * (last - first)) : NAN;
    }
}

void frx_statistics_up_fraction(const struct frx_statistics *s, int ladder, double *fraction) {
    int first, last;
    range_of(s, ladder, &first, &last);
    for (int k = 0; k < s->n_rung; k++) {
        int64_t up = 0, down = 0;
        for (int l = first; l < last; l++) {
            up += s->n_up[l * s->n_rung + k];
            down += s->n_down[l * s->n_rung + k];
        }
        fraction[k] = up + down ? (double)up / (double)(up + down) : NAN;
    }
}

static double rate(const struct frx_statistics *s, int ladder, const int64_t *count) {
    int first, last;
    range_of(s, ladder, &first, &last);
    int64_t sum = 0;
    for (int replica = first * s->n_rung; replica < last * s->n_rung; replica++) sum += count[replica];
    return s->n_event ? (double)sum / ((double)s->n_event * (last - first)) : NAN;
}

double frx_statistics_round_trip_rate(const struct frx_statistics *s, int ladder) {
    return rate(s, ladder, s->n_round_trip);
}

double frx_statistics_restart_rate(const struct frx_statistics *s, int ladder) {
    return rate(s, ladder, s->n_restart);
}

void frx_barrier(int n_rung, const double *acceptance, double *barrier) {
    barrier[0] = 0;
    for (int k = 1; k < n_rung; k++) barrier[k] = barrier[k - 1] + (1 - acceptance[k - 1]);
}

double frx_predicted_round_trip_rate(enum frx_scheme scheme, int n_rung, const double *acceptance) {
    if (scheme == FRX_SCHEME_GIBBS || n_rung < 2) return NAN;
    double effort = 0;
    for (int p = 0; p < n_rung - 1; p++) {
        if (acceptance[p] <= 0) return 0;
        effort += (1 - acceptance[p]) / acceptance[p];
    }
    return 1 / (2 * (scheme == FRX_SCHEME_EVEN_ODD ? 1 : n_rung - 1) + 2 * effort);
}
