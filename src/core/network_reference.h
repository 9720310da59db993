/* SchNet in double precision with the filter network evaluated for every pair: the readable reference that
 * the tabulated engines are measured against.
 *
 *   x = embedding[type];  per interaction l:  h = W1 x,  m_i = sum_j W_l(r_ij) h_j,
 *   y = tanh(W3 m + b3),  x += W4 y + b4;     E = scale sum_i OUT(x_i) + shift
 *
 * Backward, with g = dE/dm:  dE/dh_j = sum_i W_l(r_ij) g_i,
 *   dE/dr_ij = sum_c W'_lc(r_ij) (g_ic h_jc + g_jc h_ic).
 * The filter of an undirected pair is evaluated once in the forward pass and once, with its derivative, in
 * the backward pass. Other filters can be put in the place of the network's own, which is how a table is
 * judged by the forces that it gives. Source: docs/formats.md; Schuett et al., NeurIPS 2017. */
#ifndef FRX_CORE_NETWORK_REFERENCE_H
#define FRX_CORE_NETWORK_REFERENCE_H

#include "system.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct frx_reference_work; /* activations of one configuration */
struct frx_stages;         /* stages.h */

/* Bytes that frx_reference_work_create allocates. Local. */
size_t frx_reference_work_bytes(const struct frx_system *system);

/* Room for one configuration, NULL when memory is out. Owned by the caller. Local. */
struct frx_reference_work *frx_reference_work_create(const struct frx_system *system);
void frx_reference_work_destroy(struct frx_reference_work *work);

/* The graph: every pair inside the cutoff once. */
struct frx_pairs {
    int n_pair;
    const int32_t *i, *j; /* [n_pair] */
    const double *r;      /* [n_pair] Angstrom */
    const double *unit;   /* [n_pair][3] (r_i - r_j) / r */
};

/* Filters of interaction l at n distances r [n], Angstrom: value [n][n_filter]; slope [n][n_filter],
 * 1/Angstrom, or NULL when it is not wanted. */
typedef void frx_filter_function(const void *filters, int l, int n, const double *r, double *value,
                                 double *slope);

/* Energy of the network in kcal/mol for these pairs; forces [n_bead][3] double, kcal/mol/A, are added to.
 * filter NULL: the network's own; otherwise it is called with `filters`. Time is booked on `stages`, which
 * may be NULL. Local. */
double frx_reference_eval(const struct frx_system *system, struct frx_reference_work *work,
                          const struct frx_pairs *pairs, frx_filter_function *filter, const void *filters,
                          double *forces, struct frx_stages *stages);

#ifdef __cplusplus
}
#endif
#endif
