/* SchNet in single precision with tabulated filters: the fast path. Equations as in network_reference.h.
 *
 * Channels are padded to whole vectors with zeros, which stay zero. Every undirected pair reads its four
 * table rows once in the forward pass and once in the backward pass and serves both directions. Sums over
 * neighbours and beads run in a fixed order. The table's rows and the messages are walked in slices of
 * channels, so that a slice of the table and of the features stays in the cache. */
#ifndef FRX_CPU_NETWORK_TABLE_H
#define FRX_CPU_NETWORK_TABLE_H

#include "filter_table.h"
#include "neighbours.h"
#include "stages.h"
#include "system.h"

struct frx_table_network; /* weights and tables, shared by all threads */
struct frx_table_work;    /* activations of one configuration */

/* Copy weights and table to single precision, padded. NULL when memory is out. Owned by the caller. Local. */
struct frx_table_network *frx_table_network_create(const struct frx_network *network,
                                                   const struct frx_filter_table *table);
void frx_table_network_destroy(struct frx_table_network *network);
size_t frx_table_network_bytes(const struct frx_table_network *network);

/* Bytes of, and room for, one configuration of n_bead beads. NULL when memory is out. Local. */
size_t frx_table_work_bytes(const struct frx_table_network *network, int n_bead);
struct frx_table_work *frx_table_work_create(const struct frx_table_network *network, int n_bead);
void frx_table_work_destroy(struct frx_table_work *work);

/* Energy of the network in kcal/mol for beads of `type` [n_bead] and the pairs in `list`; forces [n_bead][3]
 * double, kcal/mol/A, are added to. Time is booked on `stages`. Errors: FRX_ERR_MEMORY. Local. */
FRX_CHECKED enum frx_status frx_table_eval(const struct frx_table_network *network,
                                           struct frx_table_work *work, const int32_t *type,
                                           const struct frx_neighbours *list, double *forces,
                                           struct frx_stages *stages, double *energy);

#endif
