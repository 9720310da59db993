/* Least-squares splines of filters on a mapped distance, and how far they are off: the mathematics of
 * filter_tiles.c, to which it is private. Double precision, host.
 *
 *   s(r) = n_interval [weight (e(r_lo) - e(r)) / (e(r_lo) - e(r_hi)) + (1 - weight) (r - r_lo)/(r_hi -
 * r_lo)], e(r) = exp(-r/length);   W_c(r) = sum_k b(s(r) - k) coefficient[k][c]
 *
 * Source: de Boor, A Practical Guide to Splines (1978), ch. XIV. */
#ifndef FRX_KERNELS_TILE_FIT_H
#define FRX_KERNELS_TILE_FIT_H

#include "status.h"
#include "system.h"

/* Filters of all interactions on a fine uniform grid in r; between grid points by cubic Hermite
 * interpolation, as good as the network itself. Channel c of interaction l is number l n_filter + c. */
struct frx_fine_filters {
    double r_lo, r_hi, spacing;
    int n_interaction, n_filter;
    double *value, *slope; /* [n_fine + 1][n_interaction n_filter], 1/Angstrom */
};

/* Sample a network's filters in [r_lo, r_hi). Owned by the caller. Errors: FRX_ERR_MEMORY. Local. */
FRX_CHECKED enum frx_status frx_fine_filters_create(const struct frx_network *network, double r_lo,
                                                    double r_hi, struct frx_fine_filters *fine);

/* Every so many-th channel, at most n_filter of each interaction: enough to compare maps on. Owned by the
 * caller. Errors: FRX_ERR_MEMORY. Local. */
FRX_CHECKED enum frx_status frx_fine_filters_thin(const struct frx_fine_filters *fine, int n_filter,
                                                  struct frx_fine_filters *thin);
void frx_fine_filters_clear(struct frx_fine_filters *fine);

/* Interaction l at distance r: value, and slope or NULL, [n_filter]; below r_lo the filter is constant.
 * Local. */
void frx_fine_filters_eval(const struct frx_fine_filters *fine, int l, double r, double *value,
                           double *slope);

struct frx_map {
    double r_lo, r_hi, length, weight; /* weight of the exponential part; 0: uniform in r */
    int n_interval;
};

/* s(r), and ds/dr. Local. */
double frx_map_coordinate(const struct frx_map *map, double r, double *slope);

/* Least-squares coefficients [n_interval + 3][n_interaction n_filter] for a map. Errors: FRX_ERR_MEMORY.
 * Local. */
FRX_CHECKED enum frx_status frx_tile_fit(const struct frx_fine_filters *fine, const struct frx_map *map,
                                         double *coefficient);

/* The spline with these coefficients, as frx_fine_filters_eval. Local. */
void frx_tile_eval(const struct frx_fine_filters *fine, const struct frx_map *map, const double *coefficient,
                   int l, double r, double *value, double *slope);

/* Deviations from the network: root mean square over its own, pairs weighted by min(r, 10 A)^2, the largest
 * over interactions. Errors: FRX_ERR_MEMORY. Local. */
FRX_CHECKED enum frx_status frx_tile_deviation(const struct frx_fine_filters *fine, const struct frx_map *map,
                                               const double *coefficient, double *error_value,
                                               double *error_slope);

#endif
