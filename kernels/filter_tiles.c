#include "filter_tiles.h"

#include "network_reference.h"
#include "rng.h"
#include "tile_fit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- what a table does to the forces ---- */

/* A molecule large enough for good statistics needs one structure. */
enum { max_probe = 4, enough_beads = 200 };

#define PROBE_SHAKE 0.2 /* Angstrom */

/* Structures on which tables are judged: starting structures, evenly taken, shaken by about as much as heat
 * does - a native structure is a minimum, and an error is no small part of forces that vanish - and what the
 * network gives there. */
struct probes {
    const struct frx_system *system;
    int n;
    struct frx_pairs pairs[max_probe];
    double energy[max_probe];
    double *memory, *forces; /* forces [n + 1][n_bead][3]: of each, and scratch */
    struct frx_reference_work *work;
};

static void place_bead(const struct probes *probes, int p, int i, double x[3]) {
    const struct frx_system *system = probes->system;
    const size_t structure = (size_t)(p * system->n_structure / probes->n);
    float normal[4];
    frx_rng_normal4(frx_rng_draw(0, FRX_RNG_PROBE, (uint32_t)p, 0, (uint32_t)i), normal);
    for (int d = 0; d < 3; d++)
        x[d] = system->structures[(structure * system->n_bead + i) * 3 + d] + PROBE_SHAKE * normal[d];
}

/* Pairs of one probe closer than r_hi, into these arrays. */
static int list_pairs(const struct probes *probes, int p, double r_hi, double *x, int32_t *i, int32_t *j,
                      double *r, double *unit) {
    const int n_bead = probes->system->n_bead;
    int n = 0;
    for (int a = 0; a < n_bead; a++) place_bead(probes, p, a, x + 3 * a);
    for (int a = 0; a < n_bead; a++)
        for (int b = a + 1; b < n_bead; b++) {
            double d[3], square = 0;
            for (int k = 0; k < 3; k++) {
                d[k] = x[3 * a + k] - x[3 * b + k];
                square += d[k] * d[k];
            }
            if (!(square < r_hi * r_hi)) continue;
            i[n] = a;
            j[n] = b;
            r[n] = sqrt(square);
            for (int k = 0; k < 3; k++) unit[3 * n + k] = d[k] / r[n];
            n++;
        }
    return n;
}

static void probes_clear(struct probes *probes) {
    frx_reference_work_destroy(probes->work);
    free(probes->memory);
}

static enum frx_status probes_create(const struct frx_system *system, double r_hi, struct probes *probes) {
    const size_t n_bead = (size_t)system->n_bead, n_pair = n_bead * (n_bead - 1) / 2;
    const int wanted = (enough_beads + system->n_bead - 1) / system->n_bead;
    *probes = (struct probes){.system = system, .work = frx_reference_work_create(system)};
    probes->n = wanted < max_probe ? wanted : max_probe;
    probes->n = probes->n < system->n_structure ? probes->n : system->n_structure;
    const size_t n = (size_t)probes->n;
    /* per probe: i and j (in the room of one double), r, unit; then forces and positions */
    probes->memory = calloc(n * n_pair * 5 + 3 * n_bead * (n + 2), sizeof(double));
    if (!probes->memory || !probes->work) {
        probes_clear(probes);
        return FRX_FAIL(FRX_ERR_MEMORY, "no memory to judge filter tables on %d beads", system->n_bead);
    }
    probes->forces = probes->memory + n * n_pair * 5;
    for (int p = 0; p < probes->n; p++) {
        double *r = probes->memory + (size_t)p * n_pair * 5, *unit = r + n_pair;
        int32_t *i = (int32_t *)(unit + 3 * n_pair), *j = i + n_pair;
        const int n_found = list_pairs(probes, p, r_hi, probes->forces + 3 * n_bead * (n + 1), i, j, r, unit);
        probes->pairs[p] = (struct frx_pairs){n_found, i, j, r, unit};
    }
    return FRX_OK;
}

static void probe(const struct probes *probes, int p, frx_filter_function *filter, const void *filters,
                  double *energy, double *forces) {
    memset(forces, 0, 3 * (size_t)probes->system->n_bead * sizeof *forces);
    *energy =
        frx_reference_eval(probes->system, probes->work, &probes->pairs[p], filter, filters, forces, NULL);
}

static void fine_filter(const void *filters, int l, int n, const double *r, double *value, double *slope) {
    const struct frx_fine_filters *fine = filters;
    for (int k = 0; k < n; k++) {
        const size_t at = (size_t)k * fine->n_filter;
        frx_fine_filters_eval(fine, l, r[k], value + at, slope ? slope + at : NULL);
    }
}

struct tabulated {
    const struct frx_fine_filters *fine;
    const struct frx_map *map;
    const double *coefficient; /* [n_interval + 3][n_channel] */
};

static void tabulated_filter(const void *filters, int l, int n, const double *r, double *value,
                             double *slope) {
    const struct tabulated *table = filters;
    for (int k = 0; k < n; k++) {
        const size_t at = (size_t)k * table->fine->n_filter;
        frx_tile_eval(table->fine, table->map, table->coefficient, l, r[k], value + at,
                      slope ? slope + at : NULL);
    }
}

/* Largest over the probes of |f_table - f| over the root mean square of |f| over all probes, and of |E_table
 * - E| per bead. No further probe is tried once the force error exceeds `tolerance`. */
static void probe_errors(struct probes *probes, const struct tabulated *table, double tolerance,
                         double *force, double *energy) {
    const size_t n = 3 * (size_t)probes->system->n_bead;
    double size = 0, *scratch = probes->forces + (size_t)probes->n * n;
    for (size_t k = 0; k < (size_t)probes->n * n; k++) size += pow(probes->forces[k], 2) / probes->n;
    *force = *energy = 0;
    for (int p = 0; p < probes->n && *force <= tolerance; p++) {
        double e, deviation = 0;
        probe(probes, p, tabulated_filter, table, &e, scratch);
        for (size_t k = 0; k < n; k++) deviation += pow(scratch[k] - probes->forces[(size_t)p * n + k], 2);
        if (size > 0) *force = fmax(*force, sqrt(deviation / size));
        *energy = fmax(*energy, fabs(e - probes->energy[p]) / probes->system->n_bead);
    }
}

/* ---- the search ---- */

struct search {
    struct frx_fine_filters fine, thin; /* all channels, and some of each interaction to choose maps by */
    double *coefficient;                /* [13 FRX_TILE_MAX + 3][n_channel] */
    struct probes probes;
};

/* The map with the smallest slope error for this many tiles. */
static enum frx_status best_map(const struct search *search, int n_tile, struct frx_map *best,
                                double *error) {
    static const double lengths[] = {1, 1.5, 2, 3, 4, 6}, weights[] = {0, 0.5, 0.7, 0.8, 0.9, 0.95};
    const struct frx_fine_filters *thin = &search->thin;
    *error = INFINITY;
    for (size_t a = 0; a < sizeof lengths / sizeof *lengths; a++)
        for (size_t b = a ? 1 : 0; b < sizeof weights / sizeof *weights; b++) { /* weight 0 has no length */
            const struct frx_map map = {thin->r_lo, thin->r_hi, lengths[a], weights[b],
                                        FRX_TILE_INTERVAL * n_tile};
            double value, slope;
            FRX_TRY(frx_tile_fit(thin, &map, search->coefficient));
            FRX_TRY(frx_tile_deviation(thin, &map, search->coefficient, &value, &slope));
            if (!(slope < *error)) continue;
            *error = slope;
            *best = map;
        }
    return FRX_OK;
}

static enum frx_status store(const struct frx_map *map, const double *coefficient,
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

/* Fewest tiles whose forces are right. Tables whose slopes are hopelessly off are not tried on forces: force
 * errors grow with slope errors, by a factor that the latest trial gives. */
static enum frx_status find(struct search *search, double tolerance, struct frx_filter_tiles *tiles) {
    double hopeless = 0.05;
    for (int p = 0; p < search->probes.n; p++)
        probe(&search->probes, p, fine_filter, &search->fine, &search->probes.energy[p],
              search->probes.forces + 3 * (size_t)p * search->probes.system->n_bead);
    for (tiles->n_tile = 1; tiles->n_tile <= FRX_TILE_MAX; tiles->n_tile++) {
        struct frx_map map;
        double error;
        FRX_TRY(best_map(search, tiles->n_tile, &map, &error));
        if (error > hopeless && tiles->n_tile < FRX_TILE_MAX) continue;
        const struct tabulated table = {&search->fine, &map, search->coefficient};
        FRX_TRY(frx_tile_fit(&search->fine, &map, search->coefficient));
        probe_errors(&search->probes, &table, tolerance, &tiles->error_force, &tiles->error_energy);
        if (tiles->error_force <= tolerance && tiles->error_energy <= FRX_TILE_ENERGY_TOLERANCE) {
            FRX_TRY(frx_tile_deviation(&search->fine, &map, search->coefficient, &tiles->error_value,
                                       &tiles->error_slope));
            return store(&map, search->coefficient, tiles);
        }
        if (tiles->error_force > tolerance)
            hopeless = fmin(hopeless, 1.2 * tolerance / tiles->error_force * error);
    }
    return FRX_FAIL(
        FRX_ERR_MODEL,
        "%d filter tiles reach errors of %.2g (forces) and %.2g kcal/mol per bead, not %.2g and %.2g: use "
        "single precision",
        FRX_TILE_MAX, tiles->error_force, tiles->error_energy, tolerance, FRX_TILE_ENERGY_TOLERANCE);
}

enum frx_status frx_filter_tiles_create(const struct frx_system *system, double r_contact, double tolerance,
                                        struct frx_filter_tiles *tiles) {
    enum { thin_filter = 16 };
    const struct frx_network *network = system->network;
    memset(tiles, 0, sizeof *tiles);
    tiles->n_interaction = network->n_interaction;
    tiles->n_filter = network->n_filter;
    double r_lo = r_contact;
    const double r_hi = fmin(network->r_cut, network->envelope.r_hi);
    if (network->envelope.kind == FRX_ENVELOPE_COSINE) r_lo = fmax(r_lo, network->envelope.r_lo);
    if (r_lo >= r_hi)
        return FRX_FAIL(FRX_ERR_MODEL, "no pair can be inside the cutoff of %g A: the closest are %g A apart",
                        r_hi, r_lo);
    struct search search = {0};
    const size_t n_row = FRX_TILE_INTERVAL * FRX_TILE_MAX + 3;
    const size_t n_channel = (size_t)network->n_interaction * (size_t)network->n_filter;
    FRX_TRY(probes_create(system, r_hi, &search.probes));
    enum frx_status status = frx_fine_filters_create(network, r_lo, r_hi, &search.fine);
    if (status == FRX_OK) status = frx_fine_filters_thin(&search.fine, thin_filter, &search.thin);
    search.coefficient = malloc(sizeof(double) * n_row * n_channel);
    if (status == FRX_OK && !search.coefficient)
        status = FRX_FAIL(FRX_ERR_MEMORY, "no memory for a filter table of %zu channels", n_channel);
    if (status == FRX_OK) status = find(&search, tolerance, tiles);
    free(search.coefficient);
    frx_fine_filters_clear(&search.fine);
    frx_fine_filters_clear(&search.thin);
    probes_clear(&search.probes);
    if (status != FRX_OK) frx_filter_tiles_clear(tiles);
    return status;
}

void frx_filter_tiles_clear(struct frx_filter_tiles *tiles) {
    if (!tiles) return;
    free(tiles->coefficient);
    memset(tiles, 0, sizeof *tiles);
}
