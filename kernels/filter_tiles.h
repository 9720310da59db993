/* Filters as tiles of 16 knots: the table of the tensor-core message passing (mixed_messages.cu).
 *
 * The distance is mapped to a knot coordinate s(r) = s0 + s1 r + s2 exp(-r / length), monotone, that spends
 * knots where filters vary fast (short distances) and few where they vary slowly; W_c(r) = sum_k b(s - k)
 * coefficient[k][c] with the cardinal cubic B-spline b, so W is C2 and its slope is exact. Intervals are
 * grouped by 13: tile t covers s in [13 t, 13 t + 13) and needs the 16 coefficient rows 13 t .. 13 t + 15,
 * exactly one side of a tensor-core product. An edge belongs to one tile.
 *
 * Tensor cores pay for knots, not for distances: with 104 intervals the slopes of a 1ENH-sized network are
 * off by 0.1 % here and by 7 % on a uniform grid. Coefficients come from least squares on 8 samples per
 * interval in double precision.
 *
 * Source: de Boor, A Practical Guide to Splines (1978), ch. XIV (least-squares splines). */
#ifndef FRX_KERNELS_FILTER_TILES_H
#define FRX_KERNELS_FILTER_TILES_H

#include "status.h"
#include "system.h"

#ifdef __cplusplus
extern "C" {
#endif

#define FRX_TILE_KNOT     16 /* rows of a tile */
#define FRX_TILE_INTERVAL 13 /* intervals of a tile: a cubic reaches 3 knots further */
#define FRX_TILE_MAX      16 /* tiles of a table */
/* Default for the table's share of the force error; with 16-bit rounding (about 1e-3) well below 5e-3. */
#define FRX_TILE_TOLERANCE        2.5e-3
#define FRX_TILE_ENERGY_TOLERANCE 1e-4 /* kcal/mol per bead */

/* s(r) = s0 + s1 r + s2 exp2(rate r); plain data, passed to kernels by value. Below r_lo s = 0 (the filter is
 * constant there), from r_hi on there is no edge. */
struct frx_tile_map {
    float r_lo, r_hi; /* Angstrom */
    float s0, s1, s2, rate;
};

struct frx_filter_tiles {
    int n_interaction, n_filter, n_tile;
    struct frx_tile_map map;
    double *coefficient; /* [n_interaction][13 n_tile + 3][n_filter], host */
    double error_value;  /* root-mean-square deviation from the network over its own root mean square, pairs
                            weighted */
    double error_slope;  /* by min(r, 10 A)^2; the largest over interactions */
    double error_force;  /* |df| of the network's forces on up to four starting structures, the largest, over
                            the  root mean square of |f| there */
    double error_energy; /* |dE| per bead, kcal/mol, likewise */
};

/* Tabulate the filters of a validated system's network on the fewest tiles whose forces on shaken starting
 * structures deviate from the network's by at most `tolerance` (error_force below) and whose energies by
 * FRX_TILE_ENERGY_TOLERANCE. r_contact: no pair is expected closer, Angstrom; the table starts there (or at
 * the lower cutoff). Owned by the caller; free with frx_filter_tiles_clear. Errors: FRX_ERR_MODEL (out of
 * reach with FRX_TILE_MAX tiles: says what was reached), FRX_ERR_MEMORY. Local. */
FRX_CHECKED enum frx_status frx_filter_tiles_create(const struct frx_system *system, double r_contact,
                                                    double tolerance, struct frx_filter_tiles *tiles);
void frx_filter_tiles_clear(struct frx_filter_tiles *tiles);

#ifdef __cplusplus
}
#endif
#endif
