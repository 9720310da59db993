/* The decision: which configurations change places within one ladder at one exchange event.
 *
 * A pure function of energies, betas and counters: every rank computes it and gets the same answer, so there
 * is nothing to broadcast, nothing to disagree on, and a restart repeats it.
 *
 *   a = min(1, exp[(beta_i - beta_j)(U_i - U_j)])     acceptance of swapping rungs i and j
 *
 * Schemes:
 * - even-odd: pairs (k, k+1) with k = event mod 2, +2, ..: one parity per event, in turn. Non-reversible;
 *   replicas travel ballistically. The default.
 * - stochastic even-odd: the parity of each event is drawn. Reversible, diffusive: for comparison.
 * - Gibbs: n_rung^3 times, a pair of different rungs is drawn and swapped with its a: close to an independent
 *   draw from all permutations. Costs n_rung^3 per event.
 * A pair with an energy that is not finite is never swapped.
 *
 * Source: Sugita and Okamoto, Chem. Phys. Lett. 314, 141 (1999); even-odd: Okabe et al., Chem. Phys. Lett.
 * 335, 435 (2001), and Syed, Bouchard-Cote, Deligiannidis, Doucet, J. R. Stat. Soc. B 84, 321 (2022); Gibbs:
 * Chodera and Shirts, J. Chem. Phys. 135, 194110 (2011). */
#ifndef FRX_EXCHANGE_SWAP_H
#define FRX_EXCHANGE_SWAP_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum frx_scheme { FRX_SCHEME_EVEN_ODD, FRX_SCHEME_STOCHASTIC_EVEN_ODD, FRX_SCHEME_GIBBS };

/* Outcome for one ladder; pair k is that of rungs k and k+1. Arrays owned by the caller. */
struct frx_swap {
    int *from;           /* [n_rung] the configuration now at rung k was at rung from[k] */
    double *probability; /* [n_rung-1] a of pair k with the energies as given, whether attempted or not: an
                            estimate of the same average in every scheme and at every event */
    int *n_attempt;      /* [n_rung-1] how often pair k was tried: 0 or 1; Gibbs: any number */
    int *n_accept;       /* [n_rung-1] how often it was swapped; Gibbs counts neighbours only */
};

/* Acceptance probability of swapping two rungs; 0 if an energy is not finite. Energies in kcal/mol, betas in
 * mol/kcal. Local. */
double frx_swap_probability(double beta_i, double beta_j, double energy_i, double energy_j);

/* Decide. beta, energy [n_rung], by rung; energy[k] is that of the configuration that is at rung k before the
 * event. `event` is the index of the exchange event, counted from 0 over the whole run; the random numbers
 * are frx_rng_draw(seed, FRX_RNG_SWAP, ladder, event, pair) and (seed, FRX_RNG_SCHEME, ladder, event, draw).
 * Local. */
void frx_swap_decide(enum frx_scheme scheme, uint64_t seed, int ladder, int64_t event, int n_rung,
                     const double *beta, const double *energy, struct frx_swap *swap);

#ifdef __cplusplus
}
#endif
#endif
