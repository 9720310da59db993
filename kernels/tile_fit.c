#include "tile_fit.h"

#include "filter_net.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { n_fine = 1024, samples_per_interval = 8, n_point = 1500, n_at_once = 32 };

static int channels(const struct frx_fine_filters *fine) {
    return fine->n_interaction * fine->n_filter;
}

/* ---- the filters on a fine grid ---- */

static enum frx_status allocate(struct frx_fine_filters *fine) {
    const size_t n = (size_t)(n_fine + 1) * (size_t)channels(fine);
    fine->value = malloc(n * sizeof(double));
    fine->slope = malloc(n * sizeof(double));
    if (fine->value && fine->slope) return FRX_OK;
    frx_fine_filters_clear(fine);
    return FRX_FAIL(FRX_ERR_MEMORY, "no memory for %zu filter samples", n);
}

void frx_fine_filters_clear(struct frx_fine_filters *fine) {
    free(fine->value);
    free(fine->slope);
    fine->value = fine->slope = NULL;
}

enum frx_status frx_fine_filters_create(const struct frx_network *network, double r_lo, double r_hi,
                                        struct frx_fine_filters *fine) {
    const int n_filter = network->n_filter;
    *fine = (struct frx_fine_filters){r_lo, r_hi, (r_hi - r_lo) / n_fine, network->n_interaction, n_filter,
                                      NULL, NULL};
    FRX_TRY(allocate(fine));
    const size_t block = (size_t)n_at_once * n_filter;
    double *scratch = malloc((frx_filter_net_scratch(network) + 2 * block) * sizeof(double));
    if (!scratch) {
        frx_fine_filters_clear(fine);
        return FRX_FAIL(FRX_ERR_MEMORY, "no memory to sample filters");
    }
    double *value = scratch, *slope = value + block, r[n_at_once];
    for (int first = 0; first <= n_fine; first += n_at_once) {
        const int n = n_fine + 1 - first < n_at_once ? n_fine + 1 - first : n_at_once;
        /* at the cutoff itself the envelope is what it tends to from inside */
        for (int k = 0; k < n; k++)
            r[k] = first + k < n_fine ? r_lo + (first + k) * fine->spacing : r_hi - 1e-9;
        for (int l = 0; l < network->n_interaction; l++) {
            frx_filter_net_eval(network, l, n, r, slope + block, value, slope);
            for (int k = 0; k < n; k++) {
                const size_t at = (size_t)(first + k) * channels(fine) + (size_t)l * n_filter;
                memcpy(fine->value + at, value + (size_t)k * n_filter, n_filter * sizeof(double));
                memcpy(fine->slope + at, slope + (size_t)k * n_filter, n_filter * sizeof(double));
            }
        }
    }
    free(scratch);
    return FRX_OK;
}

enum frx_status frx_fine_filters_thin(const struct frx_fine_filters *fine, int n_filter,
                                      struct frx_fine_filters *thin) {
    *thin = *fine;
    thin->n_filter = fine->n_filter < n_filter ? fine->n_filter : n_filter;
    FRX_TRY(allocate(thin));
    for (int k = 0; k <= n_fine; k++)
        for (int l = 0; l < fine->n_interaction; l++)
            for (int c = 0; c < thin->n_filter; c++) {
                const size_t to = (size_t)k * channels(thin) + (size_t)(l * thin->n_filter + c);
                const size_t from = (size_t)k * channels(fine) +
                                    (size_t)(l * fine->n_filter + c * fine->n_filter / thin->n_filter);
                thin->value[to] = fine->value[from];
                thin->slope[to] = fine->slope[from];
            }
    return FRX_OK;
}

/* n channels from number `first` on */
static void eval_fine(const struct frx_fine_filters *fine, int first, int n, double r, double *value,
                      double *slope) {
    const double u = (fmax(r, fine->r_lo) - fine->r_lo) / fine->spacing, h = fine->spacing;
    int k = (int)u;
    k = k > n_fine - 1 ? n_fine - 1 : k;
    const double t = u - k;
    const double a0 = (1 + 2 * t) * (1 - t) * (1 - t), a1 = t * t * (3 - 2 * t);
    const double b0 = t * (1 - t) * (1 - t) * h, b1 = t * t * (t - 1) * h;
    const double inside = r < fine->r_lo ? 0 : 1;
    const double da = inside * 6 * t * (t - 1) / h, db0 = inside * (1 - t) * (1 - 3 * t),
                 db1 = inside * t * (3 * t - 2);
    const size_t at = (size_t)k * channels(fine) + first;
    const double *v0 = fine->value + at, *v1 = v0 + channels(fine);
    const double *d0 = fine->slope + at, *d1 = d0 + channels(fine);
    for (int c = 0; c < n; c++) value[c] = a0 * v0[c] + a1 * v1[c] + b0 * d0[c] + b1 * d1[c];
    for (int c = 0; slope && c < n; c++) slope[c] = da * (v0[c] - v1[c]) + db0 * d0[c] + db1 * d1[c];
}

void frx_fine_filters_eval(const struct frx_fine_filters *fine, int l, double r, double *value,
                           double *slope) {
    eval_fine(fine, l * fine->n_filter, fine->n_filter, r, value, slope);
}

/* ---- the map ---- */

double frx_map_coordinate(const struct frx_map *map, double r, double *slope) {
    const double linear = (r - map->r_lo) / (map->r_hi - map->r_lo);
    const double lo = exp(-map->r_lo / map->length), hi = exp(-map->r_hi / map->length),
                 e = exp(-r / map->length);
    *slope = map->n_interval *
             (map->weight * e / map->length / (lo - hi) + (1 - map->weight) / (map->r_hi - map->r_lo));
    return map->n_interval * (map->weight * (lo - e) / (lo - hi) + (1 - map->weight) * linear);
}

/* The distance at which s(r) = s: s is concave and rises, so Newton's steps from a point left of it never
 * overshoot. */
static double map_distance(const struct frx_map *map, double s, double from) {
    double r = from, slope, step = 1;
    for (int k = 0; k < 50 && step > 1e-13 * r; k++) {
        step = (s - frx_map_coordinate(map, r, &slope)) / slope;
        r += step;
    }
    return r;
}

/* ---- splines ---- */

/* b(s - k) for the four rows k = floor(s) .. floor(s) + 3, and derivatives by s. */
static int spline_weights(double s, int n_interval, double w[4], double dw[4]) {
    int k = (int)s;
    if (k > n_interval - 1) k = n_interval - 1;
    const double t = s - k, q = 1 - t;
    w[0] = q * q * q / 6;
    w[1] = (0.5 * t - 1) * t * t + 2.0 / 3;
    w[2] = (0.5 * q - 1) * q * q + 2.0 / 3;
    w[3] = t * t * t / 6;
    dw[0] = -0.5 * q * q;
    dw[1] = 0.5 * t * (3 * t - 4);
    dw[2] = -0.5 * q * (3 * q - 4);
    dw[3] = 0.5 * t * t;
    return k;
}

/* Add weight^2 (row row^T) to the normal matrix band [n][4] and weight^2 row target^T to rhs [n][m]. */
static void add_sample(double *band, double *rhs, int m, int first, const double row[4], double weight,
                       const double *target) {
    for (int a = 0; a < 4; a++) {
        for (int b = a; b < 4; b++) band[4 * (size_t)(first + a) + (b - a)] += weight * row[a] * row[b];
        const double scale = weight * row[a];
        double *out = rhs + (size_t)(first + a) * m;
        for (int c = 0; c < m; c++) out[c] += scale * target[c];
    }
}

/* Solve the symmetric band system (diagonal and three upper) in place by Cholesky; rhs [n][m] becomes the
 * solution. */
static void band_solve(double *band, double *rhs, int n, int m) {
    for (int i = 0; i < n; i++) {
        for (int b = 1; b <= 3 && i - b >= 0; b++) {
            const double *up = band + 4 * (size_t)(i - b);
            for (int a = 0; a + b <= 3; a++) band[4 * (size_t)i + a] -= up[b] * up[a + b];
        }
        const double inverse = 1 / sqrt(band[4 * (size_t)i]);
        for (int a = 0; a <= 3; a++) band[4 * (size_t)i + a] *= inverse;
    }
    for (int i = 0; i < n; i++) {
        double *x = rhs + (size_t)i * m;
        for (int b = 1; b <= 3 && i - b >= 0; b++) {
            const double u = band[4 * (size_t)(i - b) + b], *y = rhs + (size_t)(i - b) * m;
            for (int c = 0; c < m; c++) x[c] -= u * y[c];
        }
        const double inverse = 1 / band[4 * (size_t)i];
        for (int c = 0; c < m; c++) x[c] *= inverse;
    }
    for (int i = n - 1; i >= 0; i--) {
        double *x = rhs + (size_t)i * m;
        for (int b = 1; b <= 3 && i + b < n; b++) {
            const double u = band[4 * (size_t)i + b], *y = rhs + (size_t)(i + b) * m;
            for (int c = 0; c < m; c++) x[c] -= u * y[c];
        }
        const double inverse = 1 / band[4 * (size_t)i];
        for (int c = 0; c < m; c++) x[c] *= inverse;
    }
}

enum frx_status frx_tile_fit(const struct frx_fine_filters *fine, const struct frx_map *map,
                             double *coefficient) {
    const int n = map->n_interval + 3, m = channels(fine);
    double *value = calloc(2 * (size_t)m + 4 * (size_t)n, sizeof(double));
    if (!value) return FRX_FAIL(FRX_ERR_MEMORY, "no memory to fit %d filters", m);
    double *slope = value + m, *band = slope + m;
    memset(coefficient, 0, sizeof(double) * (size_t)n * m);
    double w[4], dw[4], ds, r = map->r_lo;
    for (int i = 0; i < map->n_interval * samples_per_interval; i++) {
        const double s = (i + 0.5) / samples_per_interval;
        r = map_distance(map, s, r);
        eval_fine(fine, 0, m, r, value, NULL);
        add_sample(band, coefficient, m, spline_weights(s, map->n_interval, w, dw), w, 1, value);
    }
    /* Value and slope at the cutoff weigh heavily: a jump there would be a jump of the energy. */
    const int last = spline_weights(map->n_interval, map->n_interval, w, dw);
    eval_fine(fine, 0, m, map->r_hi, value, slope);
    add_sample(band, coefficient, m, last, w, 1e6, value);
    (void)frx_map_coordinate(map, map->r_hi, &ds);
    for (int c = 0; c < m; c++) slope[c] /= ds;
    add_sample(band, coefficient, m, last, dw, 1e6, slope);
    band_solve(band, coefficient, n, m);
    free(value);
    return FRX_OK;
}

/* n channels from number `first` on */
static void eval_tile(const struct frx_map *map, const double *coefficient, int m, int first, int n, double r,
                      double *value, double *slope) {
    double w[4], dw[4], ds;
    const double s = frx_map_coordinate(map, fmax(r, map->r_lo), &ds);
    const double *x = coefficient + (size_t)spline_weights(s, map->n_interval, w, dw) * m + first;
    if (r < map->r_lo) ds = 0;
    for (int k = 0; k < 4; k++) dw[k] *= ds;
    for (int c = 0; c < n; c++)
        value[c] = w[0] * x[c] + w[1] * x[m + c] + w[2] * x[2 * m + c] + w[3] * x[3 * m + c];
    for (int c = 0; slope && c < n; c++)
        slope[c] = dw[0] * x[c] + dw[1] * x[m + c] + dw[2] * x[2 * m + c] + dw[3] * x[3 * m + c];
}

void frx_tile_eval(const struct frx_fine_filters *fine, const struct frx_map *map, const double *coefficient,
                   int l, double r, double *value, double *slope) {
    eval_tile(map, coefficient, channels(fine), l * fine->n_filter, fine->n_filter, r, value, slope);
}

enum frx_status frx_tile_deviation(const struct frx_fine_filters *fine, const struct frx_map *map,
                                   const double *coefficient, double *error_value, double *error_slope) {
    const int m = channels(fine);
    double *sum = calloc((size_t)fine->n_interaction * 4 + 4 * (size_t)m, sizeof(double));
    if (!sum) return FRX_FAIL(FRX_ERR_MEMORY, "no memory to measure %d filters", m);
    double *value = sum + 4 * (size_t)fine->n_interaction, *slope = value + m, *v = slope + m, *d = v + m;
    for (int p = 0; p < n_point; p++) { /* between the samples of the fit */
        const double r = map->r_lo + (p + 0.37) / n_point * (map->r_hi - map->r_lo);
        const double weight = pow(fmin(r, 10), 2);
        eval_fine(fine, 0, m, r, value, slope);
        eval_tile(map, coefficient, m, 0, m, r, v, d);
        for (int c = 0; c < m; c++) {
            double *acc = sum + 4 * (c / fine->n_filter);
            acc[0] += weight * (v[c] - value[c]) * (v[c] - value[c]);
            acc[1] += weight * value[c] * value[c];
            acc[2] += weight * (d[c] - slope[c]) * (d[c] - slope[c]);
            acc[3] += weight * slope[c] * slope[c];
        }
    }
    *error_value = *error_slope = 0;
    for (int l = 0; l < fine->n_interaction; l++) {
        const double *acc = sum + 4 * l; /* a filter that is zero everywhere has no error */
        if (acc[1] > 0) *error_value = fmax(*error_value, sqrt(acc[0] / acc[1]));
        if (acc[3] > 0) *error_slope = fmax(*error_slope, sqrt(acc[2] / acc[3]));
    }
    free(sum);
    return FRX_OK;
}
