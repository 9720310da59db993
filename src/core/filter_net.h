/* The continuous filter of SchNet as its network defines it, in double precision with its exact derivative:
 *   W_l(r) = C_filter(r) MLP_l(phi(r)),  phi_n(r) = C_basis(r) exp(-coefficient_n (t(r) - center_n)^2).
 * It depends on the distance alone, which is why engines tabulate it (filter_table.h); this is what tables
 * and forces are measured against. docs/formats.md defines every symbol.
 *
 * Source: Schuett et al., NeurIPS 2017 (SchNet); Husic et al., J. Chem. Phys. 153, 194101 (2020) (CGSchNet);
 * Unke and Meuwly, J. Chem. Theory Comput. 15, 3678 (2019) (exponential basis). */
#ifndef FRX_CORE_FILTER_NET_H
#define FRX_CORE_FILTER_NET_H

#include "system.h"

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* C(r) and dC/dr in 1/Angstrom. Zero for r >= r_hi. Where C has a kink the value from above holds. Local. */
void frx_envelope_eval(const struct frx_envelope *envelope, double r, double *value, double *slope);

/* Doubles of scratch that frx_filter_net_eval needs. Local. */
size_t frx_filter_net_scratch(const struct frx_network *network);

/* W_l and dW_l/dr of interaction l at n distances r [n], Angstrom.
 * value [n][n_filter]; slope [n][n_filter], 1/Angstrom, or NULL when it is not wanted; scratch
 * [frx_filter_net_scratch]; all host, owned by the caller. What is computed for a distance does not depend on
 * its neighbours in r. Local. */
void frx_filter_net_eval(const struct frx_network *network, int l, int n, const double *r, double *scratch,
                         double *value, double *slope);

#ifdef __cplusplus
}
#endif
#endif
