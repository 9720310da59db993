/* Messages with tabulated filters, in single precision: for every pair i < j and channel c
 *   forward   m_i += W(r) h_j,  m_j += W(r) h_i
 *   backward  dE/dh_i += W(r) g_j,  dE/dh_j += W(r) g_i,  dE/dr += W'(r) (g_i h_j + g_j h_i)
 * where W and W' are sums over four table rows (filter_table.h). Channels are walked in slices: for one slice
 * all pairs are visited, sorted by i, whose features and sums stay in registers. */
#ifndef FRX_CPU_MESSAGES_H
#define FRX_CPU_MESSAGES_H

#include "filter_table.h"
#include "neighbours.h"

/* What a pair needs in every slice, pass and interaction. */
struct frx_message_pair {
    int32_t j, row;
    float w[4], dw[4];
};

/* The pairs of a graph that lie in the domain of the tables. */
struct frx_message_pairs {
    int n_bead, n_pair, capacity;
    int32_t *first;                /* [n_bead + 1] */
    struct frx_message_pair *pair; /* [n_pair] */
    int32_t *origin;               /* [n_pair] index in the neighbour list */
    float *slope;                  /* [n_pair] dE/dr, summed over interactions */
};

/* Bytes that frx_message_pairs_create allocates. Local. */
size_t frx_message_pairs_bytes(int n_bead, int capacity);

/* Room for `capacity` pairs. Owned by the caller, cleared with frx_message_pairs_clear. Errors:
 * FRX_ERR_MEMORY. Local. */
FRX_CHECKED enum frx_status frx_message_pairs_create(int n_bead, int capacity,
                                                     struct frx_message_pairs *pairs);
void frx_message_pairs_clear(struct frx_message_pairs *pairs);

/* Look up all pairs of `list` and set their slopes to zero. Allocates only when the list has outgrown its
 * capacity. Errors: FRX_ERR_MEMORY. Local. */
FRX_CHECKED enum frx_status frx_message_pairs_find(const struct frx_filter_grid *grid,
                                                   const struct frx_neighbours *list,
                                                   struct frx_message_pairs *pairs);

/* m = messages. table [n_filter/FRX_SLICE][n_row][FRX_SLICE]; h, m [n_bead][n_filter]; float, aligned. Local.
 */
void frx_messages_forward(const struct frx_message_pairs *pairs, const float *table, int n_row, int n_filter,
                          const float *h, float *m);

/* Adds to the slopes; gh = dE/dh unless gh is NULL. g = dE/dm; all [n_bead][n_filter], float, aligned. Local.
 */
void frx_messages_backward(struct frx_message_pairs *pairs, const float *table, int n_row, int n_filter,
                           const float *h, const float *g, float *gh);

/* Add the forces of all slopes: forces [n_bead][3] double, kcal/mol/A. Local. */
void frx_messages_forces(const struct frx_message_pairs *pairs, const struct frx_neighbours *list,
                         double *forces);

#endif
