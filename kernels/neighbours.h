/* Neighbour lists of all replicas: for every bead, in ascending order, the beads whose distance lies where
 * filters are not zero. Rebuilt for every force evaluation: no skin, no reuse, nothing to go stale. */
#ifndef FRX_KERNELS_NEIGHBOURS_H
#define FRX_KERNELS_NEIGHBOURS_H

#include "device.h"

#include <stdint.h>

#define FRX_MAX_BEAD 65535 /* a neighbour takes 16 bits */

struct frx_neighbours {
    int n_rep, n_bead;
    int capacity;         /* of one bead's list: all other beads, so that none can overflow */
    float r_lo, r_hi;     /* neighbours: r_lo <= r < r_hi, Angstrom */
    uint16_t *list;       /* [n_rep][n_bead][capacity], device */
    int32_t *n_neighbour; /* [n_rep][n_bead], device */
};

/* Take the device arrays; sizes and distances are set before. Local. */
void frx_neighbours_layout(struct frx_neighbours *neighbours, struct frx_arena *arena);

/* positions [n_rep][n_bead][3] float, Angstrom, device. Launches on stream. Local. */
FRX_CHECKED enum frx_status frx_neighbours_build(const struct frx_neighbours *neighbours,
                                                 const float *positions, cudaStream_t stream);

#endif
