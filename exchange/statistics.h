/* How well a run mixes: acceptance, barrier, round trips, labels.
 *
 * Filled by every rank with the same numbers from the decisions of swap.h, hence identical everywhere and
 * bit for bit repeatable. Only sums and counts are stored, in plain arrays that a checkpoint can write and
 * read; everything else is computed from them by the functions below.
 *
 *   r_n = 1 - <a_n>                          rejection of pair n = (n, n+1), from probabilities, not counts
 *   Lambda_k = sum_{n<k} r_n                 communication barrier from rung 0 to rung k
 *   round trips per event, all replicas of a ladder of K rungs:
 *       even-odd 1/(2 + 2 E), stochastic even-odd 1/(2(K-1) + 2 E), E = sum_n r_n/(1 - r_n)
 * A round trip is hottest -> coldest -> hottest, a tempered restart its first half. A replica
 * has no label until its first visit to the hottest rung, is on its way `down` after each, and `up` again
 * after the coldest; f = up/(up + down) falls from 1 to 0 along the ladder, evenly if it is well placed, with
 * a step where replicas cannot pass.
 *
 * Source: Syed, Bouchard-Cote, Deligiannidis, Doucet, J. R. Stat. Soc. B 84, 321 (2022), theorem 1 and
 * corollary 2; labels and f: Katzgraber, Trebst, Huse, Troyer, J. Stat. Mech. P03018 (2006). */
#ifndef FRX_EXCHANGE_STATISTICS_H
#define FRX_EXCHANGE_STATISTICS_H

#include "status.h"
#include "swap.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum frx_label { FRX_LABEL_NONE, FRX_LABEL_UP, FRX_LABEL_DOWN };

/* Pair p of ladder l is at l * (n_rung-1) + p, rung k at l * n_rung + k; a replica is addressed by identity,
 * 0 .. n_ladder*n_rung-1, and stays in ladder identity / n_rung. */
struct frx_statistics {
    int n_ladder, n_rung;
    int64_t n_event;
    double *probability_sum; /* [n_ladder][n_rung-1] acceptance probability, summed over events */
    int64_t *n_attempt;      /* [n_ladder][n_rung-1] */
    int64_t *n_accept;       /* [n_ladder][n_rung-1] */
    int64_t *n_up;           /* [n_ladder][n_rung] visits by replicas labelled up */
    int64_t *n_down;         /* [n_ladder][n_rung] visits by replicas labelled down */
    int32_t *label;          /* [n_replica] enum frx_label */
    int64_t *n_round_trip;   /* [n_replica] */
    int64_t *n_restart;      /* [n_replica] */
    int64_t *residence;      /* [n_replica][n_rung] events after which the replica was at that rung */
};

#define FRX_ALL_LADDERS (-1) /* where a `ladder` is asked for: all of them pooled */

/* Make empty statistics; release with frx_statistics_clear. Errors: FRX_ERR_MEMORY. Local. */
FRX_CHECKED enum frx_status frx_statistics_create(int n_ladder, int n_rung,
                                                  struct frx_statistics *statistics);
void frx_statistics_clear(struct frx_statistics *statistics);

/* Forget everything but the labels, e.g. when adaptation ends. Local. */
void frx_statistics_reset(struct frx_statistics *statistics);

/* Count one event: swap [n_ladder], the decisions; identity_of_rung [n_ladder][n_rung], who is where after
 * it. Local, the same on all ranks. */
void frx_statistics_update(struct frx_statistics *statistics, const struct frx_swap *swap,
                           const uint32_t *identity_of_rung);

/* <a_n> of every pair into acceptance [n_rung-1]; NaN before the first event. Local. */
void frx_statistics_acceptance(const struct frx_statistics *statistics, int ladder, double *acceptance);

/* f of every rung into fraction [n_rung]; NaN where no labelled replica has been. Local. */
void frx_statistics_up_fraction(const struct frx_statistics *statistics, int ladder, double *fraction);

/* Observed round trips (tempered restarts) per event and ladder. NaN before the first event. Local. */
double frx_statistics_round_trip_rate(const struct frx_statistics *statistics, int ladder);
double frx_statistics_restart_rate(const struct frx_statistics *statistics, int ladder);

/* Lambda_k into barrier [n_rung], from acceptance [n_rung-1]; barrier[0] = 0, the last is the whole barrier.
 * Local. */
void frx_barrier(int n_rung, const double *acceptance, double *barrier);

/* Predicted round trips per event of one ladder; 0 if some pair is never accepted, NaN for Gibbs (no closed
 * form) and for one rung. Holds when replicas forget their energy between events; slower exploration gives
 * fewer. Local. */
double frx_predicted_round_trip_rate(enum frx_scheme scheme, int n_rung, const double *acceptance);

#ifdef __cplusplus
}
#endif
#endif
