/* Placing the rungs of a ladder: equal rejection between all neighbours, for as long as the ends are fixed.
 *
 *   a(l) = erfc(sqrt(pi) l / 2)          acceptance of two rungs that are the length l apart
 *   l    = 2/sqrt(pi) erfc^-1(a)         the barrier between them; close rungs: l = r = 1 - a
 *   Lambda = sum of the l                does not depend on how many rungs there are and where
 * Rungs at equal distances in Lambda have equal rejections. Lambda is known at the rungs only; between them
 * it is a monotone cubic (Fritsch and Carlson) in ln beta, in which it is a straight line where the heat
 * capacity is constant. For Gaussian energies the relation of a and l is exact, l = sigma_U dbeta/sqrt(pi);
 * bare rejections instead of lengths have the same fixed point, but saturate at 1 and need more rounds.
 *
 * Adaptation: rounds of 2, 4, 8, .. exchange events; after each the rungs are placed anew from the
 * acceptances of that round. Every rank computes the same from the same numbers.
 *
 * Source: Syed, Bouchard-Cote, Deligiannidis, Doucet, J. R. Stat. Soc. B 84, 321 (2022), section 5;
 * Predescu, Predescu, Ciobanu, J. Chem. Phys. 120, 4119 (2004); Fritsch, Carlson, SIAM J. Numer. Anal. 17,
 * 238 (1980). */
#ifndef FRX_EXCHANGE_ADAPT_H
#define FRX_EXCHANGE_ADAPT_H

#include "status.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FRX_ADAPT_MAX_ROUND 24 /* 33 million events */

/* Events of the rounds 1 .. n_round together: 2^(n_round+1) - 2. Local. */
int64_t frx_adapt_n_event(int n_round);

/* Rounds that are complete after n_event events, and whether the last of them ended just then. Local. */
int frx_adapt_n_round(int64_t n_event);
int frx_adapt_is_end(int64_t n_event);

/* Length between two rungs with this average acceptance, 0..1 (0 counts as 1e-300), and back. Local. */
double frx_length_of_acceptance(double acceptance);
double frx_acceptance_of_length(double length);

/* Place n_new rungs at equal distances. beta [n_rung] mol/kcal, descending, n_rung >= 2; length [n_rung-1]
 * between neighbours, in any unit (of pairs below a hundredth of the average, this much is taken; all zero:
 * as if equal); new_beta [n_new], n_new >= 2, the ends as before. The arrays must not overlap. Errors:
 * FRX_ERR_ARGUMENT (counts, a length that is negative or not finite), FRX_ERR_MEMORY. Local. */
FRX_CHECKED enum frx_status frx_place_rungs(int n_rung, const double *beta, const double *length, int n_new,
                                            double *new_beta);

/* The same from the average acceptance of each pair: acceptance [n_rung-1]. */
FRX_CHECKED enum frx_status frx_adapt(int n_rung, const double *beta, const double *acceptance, int n_new,
                                      double *new_beta);

#ifdef __cplusplus
}
#endif
#endif
