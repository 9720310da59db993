/* Filters as tables: W_l(r) of every interaction and channel as a cubic spline in r, so that the radial
 * basis, the envelopes and the filter network vanish from the inner loop.
 *
 * The domain [r_lo, r_hi) is cut into segments: at fixed fractions, because filters vary faster at short
 * distances, and where an envelope has a kink (jump of the curvature). In a segment of n_interval intervals
 * of equal length the spline is C2 and has n_interval + 3 coefficients per channel (uniform cubic B-spline);
 * value and slope are continuous from one segment to the next. Evaluation at one distance:
 *
 *   row = frx_filter_locate(&grid, r, w, dw);               once, for all interactions and channels
 *   W_c(r)  = sum_{k<4} w[k]  coefficient[l][row + k][c]
 *   W_c'(r) = sum_{k<4} dw[k] coefficient[l][row + k][c]    the exact derivative of W_c
 *
 * The filter is identically zero below r_lo and from r_hi on (r_hi <= r_cut): pairs out there send nothing
 * and need no look-up.
 *
 * Source: de Boor, A Practical Guide to Splines (1978), ch. IX-XIII: interpolation with end slopes has an
 * error of order h^4 in the value and h^3 in the slope. */
#ifndef FRX_CORE_FILTER_TABLE_H
#define FRX_CORE_FILTER_TABLE_H

#include "rng.h" /* FRX_HOST_DEVICE */
#include "system.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FRX_FILTER_MAX_SEGMENT 8 /* four cuts, and at most three kinks of two envelopes */
/* Of all segments together; when that is not enough, creation fails. */
#define FRX_FILTER_MAX_INTERVAL 16384

/* Deviations in value and slope are relative to the largest |W| and |W'| of their interaction and segment, or
 * to this fraction of the largest of all segments if that is more. Filters are steepest where beads never
 * come, so the largest of all says little about the distances that matter. */
#define FRX_FILTER_LEAST_UNIT 0.01

/* Default tolerances. Single: below what float arithmetic costs. Mixed: below what 16-bit rows cost. */
#define FRX_FILTER_TOLERANCE_SINGLE 3e-6
#define FRX_FILTER_TOLERANCE_MIXED  1e-4

/* Knot k of a segment lies at r_start + k / density (in exact arithmetic on these floats), rows first_row +
 * k .. first_row + k + 3 serve the interval from knot k to knot k + 1. */
struct frx_filter_segment {
    float r_start; /* Angstrom */
    float density; /* intervals per Angstrom */
    int32_t n_interval, first_row;
};

/* Where the knots are; plain data that can be passed to a kernel by value. */
struct frx_filter_grid {
    float r_lo, r_hi; /* Angstrom; W = 0 outside [r_lo, r_hi) */
    int32_t n_segment, n_row;
    struct frx_filter_segment segment[FRX_FILTER_MAX_SEGMENT];
};

struct frx_filter_table {
    int n_interaction, n_filter;
    struct frx_filter_grid grid;
    double *coefficient;             /* [n_interaction][grid.n_row][n_filter], host */
    double error_value, error_slope; /* largest deviations from the network between knots */
};

/* Where distance r lies: the first of the four rows that serve it, the fraction t in [0, 1] of its interval,
 * and the number of intervals per Angstrom there. r_lo <= r < r_hi; a distance rounded just outside is fine.
 * Local; host and device. */
static inline FRX_HOST_DEVICE int frx_filter_place(const struct frx_filter_grid *grid, float r, float *t,
                                                   float *density) {
    int s = 0;
    while (s + 1 < grid->n_segment && r >= grid->segment[s + 1].r_start) s++;
    const struct frx_filter_segment *segment = &grid->segment[s];
    const float u = (r - segment->r_start) * segment->density;
    int k = (int)u;
    k = k < 0 ? 0 : k >= segment->n_interval ? segment->n_interval - 1 : k;
    *t = u - (float)k;
    *density = segment->density;
    return segment->first_row + k;
}

/* Weights of the four rows for value and slope (1/Angstrom). Local; host and device. */
static inline FRX_HOST_DEVICE void frx_filter_weights(float t, float density, float w[4], float dw[4]) {
    const float q = 1.0f - t, half = 0.5f * density;
    w[0] = q * q * q * (1.0f / 6.0f);
    w[1] = ((0.5f * t - 1.0f) * t * t) + 2.0f / 3.0f;
    w[2] = ((0.5f * q - 1.0f) * q * q) + 2.0f / 3.0f;
    w[3] = t * t * t * (1.0f / 6.0f);
    dw[0] = -half * q * q;
    dw[1] = half * t * (3.0f * t - 4.0f);
    dw[2] = -half * q * (3.0f * q - 4.0f);
    dw[3] = half * t * t;
}

/* Both at once. */
static inline FRX_HOST_DEVICE int frx_filter_locate(const struct frx_filter_grid *grid, float r, float w[4],
                                                    float dw[4]) {
    float t, density;
    const int row = frx_filter_place(grid, r, &t, &density);
    frx_filter_weights(t, density, w, dw);
    return row;
}

/* Tabulate the filters of a validated network. Every segment is refined until the deviation from the network
 * in value and slope, relative as in struct frx_filter_table and measured at three points of every interval
 * (middle, and the two where the slope of an interpolating cubic is worst), is at most `tolerance`.
 * The table is owned by the caller; free it with frx_filter_table_clear. It depends on nothing but the
 * network and the tolerance.
 * Errors: FRX_ERR_ARGUMENT (tolerance not positive), FRX_ERR_MODEL (tolerance out of reach with
 * FRX_FILTER_MAX_INTERVAL intervals, saying what was reached), FRX_ERR_MEMORY. Local. */
FRX_CHECKED enum frx_status frx_filter_table_create(const struct frx_network *network, double tolerance,
                                                    struct frx_filter_table *table);

/* Free the coefficients and zero the struct. NULL and zeroed structs are fine. Local. */
void frx_filter_table_clear(struct frx_filter_table *table);

/* The spline of interaction l in double precision: value [n_filter], slope [n_filter], 1/Angstrom, host. Zero
 * outside the domain. For tests and reports; engines use frx_filter_locate. Local. */
void frx_filter_table_eval(const struct frx_filter_table *table, int l, double r, double *value,
                           double *slope);

#ifdef __cplusplus
}
#endif
#endif
