/* What a filter table does to the forces: the network's forces on one structure in double precision, once
 * with filters on a fine grid (as good as the network itself) and once with the tiles. Only so is it known
 * how many tiles a model needs: forces of some models are small differences of large terms, and an error of
 * 0.1 % in the filters is 10 % in the force. Private to network_mixed.cu and filter_tiles.c. */
#ifndef FRX_KERNELS_TILE_ERROR_H
#define FRX_KERNELS_TILE_ERROR_H

#include "status.h"
#include "system.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Filters of all interactions at one distance: value and slope [n_interaction * n_filter], 1/Angstrom. */
typedef void frx_filter_function(const void *filters, double r, double *value, double *slope);

/* energy, kcal/mol, and forces [n_bead][3], kcal/mol/A, of the network of `system` at positions [n_bead][3]
 * with these filters; pairs at or beyond r_hi have none. Plain loops, one thread. Errors: FRX_ERR_MEMORY.
 * Local. Source: the equations of docs/formats.md. */
FRX_CHECKED enum frx_status frx_network_forces_with(const struct frx_system *system, const double *positions,
                                                    double r_hi, frx_filter_function *filter,
                                                    const void *filters, double *energy, double *forces);

#ifdef __cplusplus
}
#endif
#endif
