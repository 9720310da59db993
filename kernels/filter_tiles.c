#include "filter_tiles.h"

#include "filter_net.h"
#include "rng.h"
#include "tile_error.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { n_fine = 2048, samples_per_interval = 8 };

/* The network's filters on a fine uniform grid in r; between grid points by cubic Hermite interpolation. */
struct fine_filters {
    double r_lo, r_hi, spacing;
    int n_channel;         /* of all interactions together */
    double *value, *slope; /* [n_fine + 1][n_channel] */
};

struct map {
    double r_lo, r_hi, length, weight; /* weight of the exponential part; 0: uniform in r */
    int n_interval;
};

static double map_coordinate(const struct map *map, double r, double *slope) {
    const double linear = (r - map->r_lo) / (map->r_hi - map->r_lo);
    const double lo = exp(-map->r_lo / map->length), hi = exp(-map->r_hi / map->length),
                 e = exp(-r / map->length);
    *slope = map->n_interval *
             (map->weight * e / map->length / (lo - hi) + (1 - map->weight) / (map->r_hi - map->r_lo));
    return map->n_interval * (map->weight * (lo - e) / (lo - hi) + (1 - map->weight) * linear);
}

/* The distance at which s(r) = s, by bisection: s is monotone. */
static double map_distance(const struct map *map, double s) {
    double lo = map->r_lo, hi = map->r_hi, unused;
    for (int i = 0; i < 60; i++) {
        const double mid = 0.5 * (lo + hi);
        if (map_coordinate(map, mid, &unused) < s)
            lo = mid;
        else
            hi = mid;
    }
    return 0.5 * (lo + hi);
}

static void fine_eval(const struct fine_filters *fine, double r, double *value, double *slope) {
    double u = (r - fine->r_lo) / fine->spacing;
    int k = (int)u;
    k = k < 0 ? 0 : k > n_fine - 1 ? n_fine - 1 : k;
    const double t = u - k, h = fine->spacing;
    const double a0 = (1 + 2 * t) * (1 - t) * (1 - t), a1 = t * t * (3 - 2 * t);
    const double b0 = t * (1 - t) * (1 - t) * h, b1 = t * t * (t - 1) * h;
    const double da = 6 * t * (t - 1) / h, db0 = (1 - t) * (1 - 3 * t), db1 = t * (3 * t - 2);
    const double *v0 = fine->value + (size_t)k * fine->n_channel, *v1 = v0 + fine->n_channel;
    const double *d0 = fine->slope + (size_t)k * fine->n_channel, *d1 = d0 + fine->n_channel;
    for (int c = 0; c < fine->n_channel; c++) {
        value[c] = a0 * v0[c] + a1 * v1[c] + b0 * d0[c] + b1 * d1[c];
        slope[c] = da * (v0[c] - v1[c]) + db0 * d0[c] + db1 * d1[c];
    }
}

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

/* Least-squares coefficients [n_interval + 3][n_channel] for a map. scratch: 2 n_channel + 4 (n_interval + 3)
 * doubles. */
static void fit(const struct fine_filters *fine, const struct map *map, double *scratch,
                double *coefficient) {
    const int n = map->n_interval + 3, m = fine->n_channel;
    double *value = scratch, *slope = scratch + m, *band = scratch + 2 * (size_t)m;
    memset(band, 0, sizeof(double) * 4 * (size_t)n);
    memset(coefficient, 0, sizeof(double) * (size_t)n * m);
    double w[4], dw[4], ds;
    for (int i = 0; i < map->n_interval * samples_per_interval; i++) {
        const double s = (i + 0.5) / samples_per_interval;
        fine_eval(fine, map_distance(map, s), value, slope);
        add_sample(band, coefficient, m, spline_weights(s, map->n_interval, w, dw), w, 1, value);
    }
    /* Value and slope at the cutoff weigh heavily: a jump there would be a jump of the energy. */
    const int last = spline_weights(map->n_interval, map->n_interval, w, dw);
    fine_eval(fine, map->r_hi, value, slope);
    add_sample(band, coefficient, m, last, w, 1e6, value);
    map_coordinate(map, map->r_hi, &ds);
    for (int c = 0; c < m; c++) slope[c] /= ds;
    add_sample(band, coefficient, m, last, dw, 1e6, slope);
    band_solve(band, coefficient, n, m);
}

/* Relative deviations as struct frx_filter_tiles defines them, at points between the samples of fit(). */
static void measure(const struct fine_filters *fine, const struct map *map, const double *coefficient,
                    int n_interaction, double *scratch, double *error_value, double *error_slope) {
    const int m = fine->n_channel, n_filter = m / n_interaction, n_point = 1500;
    double *value = scratch, *slope = scratch + m;
    double *sum = calloc((size_t)n_interaction * 4, sizeof(double));
    *error_value = *error_slope = INFINITY;
    if (!sum) return;
    for (int p = 0; p < n_point; p++) {
        const double r = map->r_lo + (p + 0.37) / n_point * (map->r_hi - map->r_lo);
        const double weight = pow(fmin(r, 10), 2);
        double w[4], dw[4], ds;
        const double s = map_coordinate(map, r, &ds);
        const int row = spline_weights(s, map->n_interval, w, dw);
        fine_eval(fine, r, value, slope);
        for (int c = 0; c < m; c++) {
            double v = 0, d = 0;
            for (int k = 0; k < 4; k++) {
                const double x = coefficient[(size_t)(row + k) * m + c];
                v += w[k] * x;
                d += dw[k] * x;
            }
            double *acc = sum + 4 * (c / n_filter);
            acc[0] += weight * (v - value[c]) * (v - value[c]);
            acc[1] += weight * value[c] * value[c];
            acc[2] += weight * (d * ds - slope[c]) * (d * ds - slope[c]);
            acc[3] += weight * slope[c] * slope[c];
        }
    }
    *error_value = *error_slope = 0;
    for (int l = 0; l < n_interaction; l++) {
        const double *acc = sum + 4 * l; /* a filter that is zero everywhere has no error */
        if (acc[1] > 0) *error_value = fmax(*error_value, sqrt(acc[0] / acc[1]));
        if (acc[3] > 0) *error_slope = fmax(*error_slope, sqrt(acc[2] / acc[3]));
    }
    free(sum);
}

static enum frx_status sample_network(const struct frx_network *network, struct fine_filters *fine) {
    const int n_filter = network->n_filter, L = network->n_interaction;
    fine->n_channel = n_filter * L;
    fine->spacing = (fine->r_hi - fine->r_lo) / n_fine;
    const size_t n = (size_t)(n_fine + 1) * fine->n_channel;
    fine->value = malloc(n * sizeof(double));
    fine->slope = malloc(n * sizeof(double));
    double *scratch = malloc(frx_filter_net_scratch(network) * sizeof(double));
    if (!fine->value || !fine->slope || !scratch) {
        free(scratch);
        free(fine->value);
        free(fine->slope);
        return FRX_FAIL(FRX_ERR_MEMORY, "no memory for %zu filter samples", n);
    }
    for (int k = 0; k <= n_fine; k++) {
        /* At the cutoff itself the envelope is what it tends to from inside. */
        const double r = k < n_fine ? fine->r_lo + k * fine->spacing : fine->r_hi - 1e-9;
        for (int l = 0; l < L; l++)
            frx_filter_net_eval(network, l, 1, &r, scratch,
                                fine->value + (size_t)k * fine->n_channel + (size_t)l * n_filter,
                                fine->slope + (size_t)k * fine->n_channel + (size_t)l * n_filter);
    }
    free(scratch);
    return FRX_OK;
}

/* ---- what a table does to the forces ---- */

struct tabulated {
    const struct map *map;
    const double *coefficient; /* [n_interval + 3][n_channel] */
    int n_channel;
};

static void eval_fine(const void *filters, double r, double *value, double *slope) {
    const struct fine_filters *fine = filters;
    if (r < fine->r_lo) { /* the table is constant there, so a comparison has to be */
        fine_eval(fine, fine->r_lo, value, slope);
        memset(slope, 0, sizeof(double) * (size_t)fine->n_channel);
    } else {
        fine_eval(fine, r, value, slope);
    }
}

static void eval_tabulated(const void *filters, double r, double *value, double *slope) {
    const struct tabulated *table = filters;
    const int m = table->n_channel;
    double w[4], dw[4], ds;
    const double s = map_coordinate(table->map, fmax(r, table->map->r_lo), &ds);
    const int row = spline_weights(s, table->map->n_interval, w, dw);
    if (r < table->map->r_lo) ds = 0;
    for (int c = 0; c < m; c++) {
        const double *x = table->coefficient + (size_t)row * m + c;
        value[c] = w[0] * x[0] + w[1] * x[m] + w[2] * x[2 * m] + w[3] * x[3 * m];
        slope[c] = ds * (dw[0] * x[0] + dw[1] * x[m] + dw[2] * x[2 * m] + dw[3] * x[3 * m]);
    }
}

enum { max_probe = 4 };

#define PROBE_SHAKE 0.2 /* Angstrom */

/* Structures on which tables are judged: starting structures, evenly taken, shaken by about as much as heat
 * does - a native structure is a minimum, and an error is no small part of forces that vanish - and what the
 * network gives there. */
struct probes {
    int n;
    double *positions[max_probe], *forces[max_probe]; /* [n_bead][3] */
    double energy[max_probe];
    double *scratch; /* [n_bead][3] */
};

static void place_probes(const struct frx_system *system, double *memory, struct probes *probes) {
    const size_t n = 3 * (size_t)system->n_bead;
    probes->n = system->n_structure < max_probe ? system->n_structure : max_probe;
    probes->scratch = memory;
    for (int p = 0; p < probes->n; p++) {
        probes->positions[p] = memory + n * (size_t)(1 + p);
        probes->forces[p] = memory + n * (size_t)(1 + max_probe + p);
        const double *x = system->structures + n * (size_t)(p * system->n_structure / probes->n);
        for (int i = 0; i < system->n_bead; i++) {
            float normal[4];
            frx_rng_normal4(frx_rng_draw(0, FRX_RNG_PROBE, (uint32_t)p, 0, (uint32_t)i), normal);
            for (int d = 0; d < 3; d++)
                probes->positions[p][3 * i + d] = x[3 * i + d] + PROBE_SHAKE * normal[d];
        }
    }
}

/* Largest over the probes of |f_table - f| over the root mean square of |f| over all probes, and of |E_table
 * - E| per bead. No further probe is tried once the force error exceeds `tolerance`. */
static enum frx_status probe_errors(const struct frx_system *system, const struct tabulated *table,
                                    const struct probes *probes, double tolerance, double *force,
                                    double *energy) {
    double size = 0;
    for (int p = 0; p < probes->n; p++)
        for (int k = 0; k < 3 * system->n_bead; k++) size += pow(probes->forces[p][k], 2) / probes->n;
    *force = *energy = 0;
    for (int p = 0; p < probes->n && *force <= tolerance; p++) {
        double e, deviation = 0;
        FRX_TRY(frx_network_forces_with(system, probes->positions[p], table->map->r_hi, eval_tabulated, table,
                                        &e, probes->scratch));
        for (int k = 0; k < 3 * system->n_bead; k++)
            deviation += pow(probes->scratch[k] - probes->forces[p][k], 2);
        if (size > 0) *force = fmax(*force, sqrt(deviation / size));
        *energy = fmax(*energy, fabs(e - probes->energy[p]) / system->n_bead);
    }
    return FRX_OK;
}

/* ---- the search ---- */

struct workspace {
    double *scratch, *trial, *best; /* for fit and measure; coefficients of two maps [n_row_max][n_channel] */
    struct probes probes;
};

/* The map with the smallest slope error for this many tiles; its coefficients are in work->best. */
static struct map best_map(const struct fine_filters *fine, int n_tile, struct workspace *work,
                           struct frx_filter_tiles *tiles) {
    static const double lengths[] = {1, 1.5, 2, 3, 4, 6}, weights[] = {0, 0.5, 0.7, 0.8, 0.9, 0.95};
    struct map chosen = {0};
    tiles->error_slope = tiles->error_value = INFINITY;
    for (size_t a = 0; a < sizeof lengths / sizeof *lengths; a++)
        for (size_t b = a ? 1 : 0; b < sizeof weights / sizeof *weights; b++) { /* weight 0 has no length */
            const struct map map = {fine->r_lo, fine->r_hi, lengths[a], weights[b],
                                    FRX_TILE_INTERVAL * n_tile};
            double value, slope;
            fit(fine, &map, work->scratch, work->trial);
            measure(fine, &map, work->trial, tiles->n_interaction, work->scratch, &value, &slope);
            if (!(slope < tiles->error_slope)) continue;
            tiles->error_value = value;
            tiles->error_slope = slope;
            chosen = map;
            double *swap = work->best;
            work->best = work->trial;
            work->trial = swap;
        }
    return chosen;
}

static enum frx_status store(const struct map *map, const double *coefficient,
                             struct frx_filter_tiles *tiles) {
    const int n_row = map->n_interval + 3, n_filter = tiles->n_filter;
    const size_t m = (size_t)n_filter * tiles->n_interaction;
    tiles->coefficient = malloc(sizeof(double) * n_row * m);
    if (!tiles->coefficient)
        return FRX_FAIL(FRX_ERR_MEMORY, "no memory for a filter table of %zu channels", m);
    for (int k = 0; k < n_row; k++) /* [row][interaction][channel] -> [interaction][row][channel] */
        for (int l = 0; l < tiles->n_interaction; l++)
            memcpy(tiles->coefficient + ((size_t)l * n_row + k) * n_filter,
                   coefficient + (size_t)k * m + (size_t)l * n_filter, sizeof(double) * (size_t)n_filter);
    const double lo = exp(-map->r_lo / map->length), hi = exp(-map->r_hi / map->length);
    const double s1 = map->n_interval * (1 - map->weight) / (map->r_hi - map->r_lo);
    const double s2 = -map->n_interval * map->weight / (lo - hi);
    tiles->map.r_lo = (float)map->r_lo;
    tiles->map.r_hi = (float)map->r_hi;
    tiles->map.s1 = (float)s1;
    tiles->map.s2 = (float)s2;
    tiles->map.s0 = (float)(-s1 * map->r_lo - s2 * lo);
    tiles->map.rate = (float)(-1.4426950408889634 / map->length);
    return FRX_OK;
}

static enum frx_status search(const struct frx_system *system, const struct fine_filters *fine,
                              double tolerance, struct workspace *work, struct frx_filter_tiles *tiles) {
    const double hopeless = 0.05; /* slope errors above need no look at the forces */
    struct probes *probes = &work->probes;
    for (int p = 0; p < probes->n; p++)
        FRX_TRY(frx_network_forces_with(system, probes->positions[p], fine->r_hi, eval_fine, fine,
                                        &probes->energy[p], probes->forces[p]));
    for (tiles->n_tile = 1; tiles->n_tile <= FRX_TILE_MAX; tiles->n_tile++) {
        const struct map map = best_map(fine, tiles->n_tile, work, tiles);
        tiles->error_force = tiles->error_energy = INFINITY;
        if (tiles->error_slope > hopeless) continue;
        const struct tabulated table = {&map, work->best, fine->n_channel};
        FRX_TRY(probe_errors(system, &table, probes, tolerance, &tiles->error_force, &tiles->error_energy));
        if (tiles->error_force <= tolerance && tiles->error_energy <= FRX_TILE_ENERGY_TOLERANCE)
            return store(&map, work->best, tiles);
    }
    return FRX_FAIL(
        FRX_ERR_MODEL,
        "%d filter tiles reach errors of %.2g (forces) and %.2g kcal/mol per bead, not %.2g and %.2g: use "
        "single precision",
        FRX_TILE_MAX, tiles->error_force, tiles->error_energy, tolerance, FRX_TILE_ENERGY_TOLERANCE);
}

enum frx_status frx_filter_tiles_create(const struct frx_system *system, double r_contact, double tolerance,
                                        struct frx_filter_tiles *tiles) {
    const struct frx_network *network = system->network;
    memset(tiles, 0, sizeof *tiles);
    tiles->n_interaction = network->n_interaction;
    tiles->n_filter = network->n_filter;
    struct fine_filters fine = {.r_lo = r_contact, .r_hi = fmin(network->r_cut, network->envelope.r_hi)};
    if (network->envelope.kind == FRX_ENVELOPE_COSINE) fine.r_lo = fmax(fine.r_lo, network->envelope.r_lo);
    if (fine.r_lo >= fine.r_hi)
        return FRX_FAIL(FRX_ERR_MODEL, "no pair can be inside the cutoff of %g A: the closest are %g A apart",
                        fine.r_hi, fine.r_lo);
    FRX_TRY(sample_network(network, &fine));
    const size_t m = (size_t)fine.n_channel, n_row = FRX_TILE_INTERVAL * FRX_TILE_MAX + 3,
                 n = 3 * (size_t)system->n_bead;
    double *memory = malloc(sizeof(double) * n * (2 * max_probe + 1));
    struct workspace work = {.scratch = malloc(sizeof(double) * (2 * m + 4 * n_row)),
                             .trial = malloc(sizeof(double) * n_row * m),
                             .best = malloc(sizeof(double) * n_row * m)};
    if (memory) place_probes(system, memory, &work.probes);
    enum frx_status status =
        work.scratch && work.trial && work.best && memory
            ? search(system, &fine, tolerance, &work, tiles)
            : FRX_FAIL(FRX_ERR_MEMORY, "no memory for a filter table of %d channels", fine.n_channel);
    free(work.scratch), free(work.trial), free(work.best), free(memory);
    free(fine.value);
    free(fine.slope);
    if (status != FRX_OK) frx_filter_tiles_clear(tiles);
    return status;
}

void frx_filter_tiles_clear(struct frx_filter_tiles *tiles) {
    if (!tiles) return;
    free(tiles->coefficient);
    memset(tiles, 0, sizeof *tiles);
}
