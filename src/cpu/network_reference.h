/* SchNet in double precision with the filter network evaluated for every pair: the readable reference that
 * the tabulated engines are measured against.
 *
 *   x = embedding[type];  per interaction l:  h = W1 x,  m_i = sum_j W_l(r_ij) h_j,
 *   y = tanh(W3 m + b3),  x += W4 y + b4;     E = scale sum_i OUT(x_i) + shift
 *
 * Backward, with g = dE/dm:  dE/dh_j = sum_i W_l(r_ij) g_i,
 *   dE/dr_ij = sum_c W'_lc(r_ij) (g_ic h_jc + g_jc h_ic).
 * The filter of an undirected pair is evaluated once in the forward pass and once, with its derivative, in
 * the backward pass. Source: docs/formats.md; Schuett et al., NeurIPS 2017. */
#ifndef FRX_CPU_NETWORK_REFERENCE_H
#define FRX_CPU_NETWORK_REFERENCE_H

#include "neighbours.h"
#include "stages.h"
#include "system.h"

struct frx_reference_work; /* activations of one configuration */

/* Bytes that frx_reference_work_create allocates. Local. */
size_t frx_reference_work_bytes(const struct frx_system *system);

/* Room for one configuration, NULL when memory is out. Owned by the caller. Local. */
struct frx_reference_work *frx_reference_work_create(const struct frx_system *system);
void frx_reference_work_destroy(struct frx_reference_work *work);

/* Energy of the network in kcal/mol for the pairs in `list`; forces [n_bead][3] double, kcal/mol/A, are added
 * to. Time is booked on `stages`. Local. */
double frx_reference_eval(const struct frx_system *system, struct frx_reference_work *work,
                          const struct frx_neighbours *list, double *forces, struct frx_stages *stages);

#endif
