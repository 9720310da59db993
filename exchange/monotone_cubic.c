#include "monotone_cubic.h"

#include <math.h>

static double secant(const double *x, const double *y, int k) {
    return (y[k + 1] - y[k]) / (x[k + 1] - x[k]);
}

/* Slope at point k of the parabola through three points; at the ends through two. */
static double parabola(int n, const double *x, const double *y, int k) {
    if (k == 0) return secant(x, y, 0);
    if (k == n - 1) return secant(x, y, n - 2);
    const double left = x[k] - x[k - 1], right = x[k + 1] - x[k];
    return (right * secant(x, y, k - 1) + left * secant(x, y, k)) / (left + right);
}

void frx_monotone_slopes(int n, const double *x, const double *y, double *slope) {
    for (int k = 0; k < n; k++) slope[k] = parabola(n, x, y, k);
    for (int k = 0; k < n - 1; k++) { /* the piece rises if (alpha, beta) is in the circle of radius 3 */
        const double rise = secant(x, y, k);
        if (rise <= 0) {
            slope[k] = slope[k + 1] = 0;
            continue;
        }
        const double alpha = slope[k] / rise, beta = slope[k + 1] / rise, radius = hypot(alpha, beta);
        if (radius <= 3) continue;
        slope[k] = 3 / radius * alpha * rise;
        slope[k + 1] = 3 / radius * beta * rise;
    }
}

/* The piece that starts at point k, at fraction t of its width. */
static double hermite(const double *x, const double *y, const double *slope, int k, double t) {
    const double h = x[k + 1] - x[k], u = 1 - t;
    return u * u * ((1 + 2 * t) * y[k] + t * h * slope[k]) +
           t * t * ((1 + 2 * u) * y[k + 1] - u * h * slope[k + 1]);
}

/* The piece in which a rising list has a value. */
static int piece_of(int n, const double *list, double value) {
    int k = 0;
    while (k < n - 2 && list[k + 1] < value) k++;
    return k;
}

double frx_monotone_value(int n, const double *x, const double *y, const double *slope, double at) {
    const int k = piece_of(n, x, at);
    return hermite(x, y, slope, k, (at - x[k]) / (x[k + 1] - x[k]));
}

double frx_monotone_solve(int n, const double *x, const double *y, const double *slope, double value) {
    const int k = piece_of(n, y, value);
    double low = 0, high = 1;
    for (int i = 0; i < 60; i++) {
        const double middle = 0.5 * (low + high);
        if (hermite(x, y, slope, k, middle) < value)
            low = middle;
        else
            high = middle;
    }
    return x[k] + 0.5 * (low + high) * (x[k + 1] - x[k]);
}
