/* A curve through rising points that rises everywhere: piecewise cubic, with a continuous first derivative.
 *
 * Source: Fritsch and Carlson, SIAM J. Numer. Anal. 17, 238 (1980). */
#ifndef FRX_EXCHANGE_MONOTONE_CUBIC_H
#define FRX_EXCHANGE_MONOTONE_CUBIC_H

#ifdef __cplusplus
extern "C" {
#endif

/* Slopes at the points into slope [n], n >= 2; x [n] strictly rising, y [n] not falling. They are those of
 * the parabola through a point and its neighbours, made smaller where the curve would fall. Local. */
void frx_monotone_slopes(int n, const double *x, const double *y, double *slope);

/* The curve at `at` in x[0] .. x[n-1]. Local. */
double frx_monotone_value(int n, const double *x, const double *y, const double *slope, double at);

/* Where the curve has the value `value` in y[0] .. y[n-1]. Local. */
double frx_monotone_solve(int n, const double *x, const double *y, const double *slope, double value);

#ifdef __cplusplus
}
#endif
#endif
