/* The graph: all pairs of beads with r < r_cut, each once, as i < j, sorted by i and then by j.
 *
 * It is found anew for every configuration, so it depends on the positions and on nothing else. Up to
 * FRX_BRUTE_FORCE_LIMIT beads all pairs are tried; above, cells of at least r_cut restrict the search. Both
 * give the same list to the bit. */
#ifndef FRX_CPU_NEIGHBOURS_H
#define FRX_CPU_NEIGHBOURS_H

#include "status.h"

#include <stddef.h>
#include <stdint.h>

#define FRX_BRUTE_FORCE_LIMIT 512

struct frx_neighbours {
    int n_bead, n_pair, capacity;
    double r_cut;
    int32_t *first;                         /* [n_bead + 1] pairs of i are first[i] .. first[i + 1] - 1 */
    int32_t *i, *j;                         /* [n_pair] */
    double *r;                              /* [n_pair] Angstrom */
    double *unit;                           /* [n_pair][3] (r_i - r_j) / r */
    double *position;                       /* [3][n_bead] */
    double *r_squared;                      /* [n_bead] */
    uint64_t *found;                        /* [(n_bead + 63) / 64] bits */
    int32_t *cell, *cell_first, *cell_bead; /* [n_bead], [n_cell + 1], [n_bead] */
};

/* Pairs that a new list has room for: all of them up to FRX_BRUTE_FORCE_LIMIT beads. Local. */
int frx_neighbours_capacity(int n_bead);

/* Bytes that frx_neighbours_create allocates. Local. */
size_t frx_neighbours_bytes(int n_bead);

/* Room for the pairs of n_bead beads. Owned by the caller, freed by frx_neighbours_clear (zeroed structs are
 * fine). Errors: FRX_ERR_MEMORY. Local. */
FRX_CHECKED enum frx_status frx_neighbours_create(int n_bead, double r_cut, struct frx_neighbours *list);
void frx_neighbours_clear(struct frx_neighbours *list);

/* Find the pairs of finite positions [n_bead][3], Angstrom. Allocates only when a system of more than
 * FRX_BRUTE_FORCE_LIMIT beads gets denser than its list has ever been. Errors: FRX_ERR_MEMORY. Local. */
FRX_CHECKED enum frx_status frx_neighbours_find(struct frx_neighbours *list, const double *positions);

#endif
