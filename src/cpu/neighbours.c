#include "neighbours.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Cells are made larger than r_cut where there would be more of them than beads: a stretched chain. */
static int most_cells(int n_bead) {
    return n_bead;
}

int frx_neighbours_capacity(int n_bead) {
    const int64_t all = (int64_t)n_bead * (n_bead - 1) / 2,
                  enough = (int64_t)n_bead * FRX_BRUTE_FORCE_LIMIT / 2;
    const int64_t capacity = all < enough ? all : enough;
    return capacity > 1 ? (int)capacity : 1;
}

static size_t pair_bytes(void) {
    return 2 * sizeof(int32_t) + 4 * sizeof(double);
}

size_t frx_neighbours_bytes(int n_bead) {
    const size_t n = (size_t)n_bead;
    return (size_t)frx_neighbours_capacity(n_bead) * pair_bytes() + (n + 1) * sizeof(int32_t) +
           4 * n * sizeof(double) + (n + 63) / 64 * sizeof(uint64_t) +
           (2 * n + (size_t)most_cells(n_bead) + 1) * sizeof(int32_t);
}

static enum frx_status reserve(struct frx_neighbours *list, int capacity) {
    int32_t *i = realloc(list->i, (size_t)capacity * sizeof *i);
    if (i) list->i = i;
    int32_t *j = realloc(list->j, (size_t)capacity * sizeof *j);
    if (j) list->j = j;
    double *r = realloc(list->r, (size_t)capacity * sizeof *r);
    if (r) list->r = r;
    double *unit = realloc(list->unit, (size_t)capacity * 3 * sizeof *unit);
    if (unit) list->unit = unit;
    if (!i || !j || !r || !unit)
        return FRX_FAIL(FRX_ERR_MEMORY, "no memory for %d pairs of neighbours", capacity);
    list->capacity = capacity;
    return FRX_OK;
}

enum frx_status frx_neighbours_create(int n_bead, double r_cut, struct frx_neighbours *list) {
    const size_t n = (size_t)n_bead;
    *list = (struct frx_neighbours){.n_bead = n_bead, .r_cut = r_cut};
    list->first = calloc(n + 1, sizeof *list->first);
    list->position = calloc(3 * n, sizeof *list->position);
    list->r_squared = calloc(n, sizeof *list->r_squared);
    list->found = calloc((n + 63) / 64, sizeof *list->found);
    list->cell = calloc(n, sizeof *list->cell);
    list->cell_first = calloc((size_t)most_cells(n_bead) + 1, sizeof *list->cell_first);
    list->cell_bead = calloc(n, sizeof *list->cell_bead);
    enum frx_status status = FRX_OK;
    if (!list->first || !list->position || !list->r_squared || !list->found || !list->cell ||
        !list->cell_first || !list->cell_bead)
        status = FRX_FAIL(FRX_ERR_MEMORY, "no memory for the neighbours of %d beads", n_bead);
    if (status == FRX_OK) status = reserve(list, frx_neighbours_capacity(n_bead));
    if (status != FRX_OK) frx_neighbours_clear(list);
    return status;
}

void frx_neighbours_clear(struct frx_neighbours *list) {
    free(list->first);
    free(list->i);
    free(list->j);
    free(list->r);
    free(list->unit);
    free(list->position);
    free(list->r_squared);
    free(list->found);
    free(list->cell);
    free(list->cell_first);
    free(list->cell_bead);
    memset(list, 0, sizeof *list);
}

/* Squared distances from bead i to beads from .. to - 1. */
static void square_distances(const struct frx_neighbours *list, int i, int from, int to, double *r_squared) {
    const double *x = list->position, *y = x + list->n_bead, *z = y + list->n_bead;
    const double xi = x[i], yi = y[i], zi = z[i];
#pragma omp simd
    for (int j = from; j < to; j++) {
        const double dx = xi - x[j], dy = yi - y[j], dz = zi - z[j];
        r_squared[j] = dx * dx + dy * dy + dz * dz;
    }
}

/* Distance and direction of the pairs that were just listed for bead i. */
static void finish_pairs(struct frx_neighbours *list, int i) {
    const int n = list->n_bead;
    for (int p = list->first[i]; p < list->n_pair; p++) {
        const int j = list->j[p];
        const double r = sqrt(list->r_squared[j]);
        list->i[p] = i;
        list->r[p] = r;
        for (int k = 0; k < 3; k++)
            list->unit[3 * (size_t)p + k] = (list->position[k * n + i] - list->position[k * n + j]) / r;
    }
}

static void find_by_brute_force(struct frx_neighbours *list, int i) {
    const double limit = list->r_cut * list->r_cut;
    square_distances(list, i, i + 1, list->n_bead, list->r_squared);
    for (int j = i + 1; j < list->n_bead; j++)
        if (list->r_squared[j] < limit) list->j[list->n_pair++] = j;
}

/* ---- cells ---- */

struct grid {
    double origin[3], per_angstrom[3];
    int n[3];
};

static struct grid choose_grid(const struct frx_neighbours *list) {
    struct grid grid;
    double extent[3], edge = list->r_cut;
    for (int k = 0; k < 3; k++) {
        const double *x = list->position + (size_t)k * list->n_bead;
        double lo = x[0], hi = x[0];
        for (int i = 1; i < list->n_bead; i++) {
            lo = fmin(lo, x[i]);
            hi = fmax(hi, x[i]);
        }
        grid.origin[k] = lo;
        extent[k] = hi - lo;
    }
    for (;; edge *= 1.25) {
        double n_cell = 1, n[3];
        for (int k = 0; k < 3; k++) n_cell *= n[k] = fmax(1, floor(extent[k] / edge));
        if (n_cell > most_cells(list->n_bead)) continue;
        for (int k = 0; k < 3; k++) {
            grid.n[k] = (int)n[k];
            grid.per_angstrom[k] = extent[k] > 0 ? n[k] / extent[k] : 0;
        }
        return grid;
    }
}

static int cell_along(const struct grid *grid, int k, double x) {
    const int c = (int)((x - grid->origin[k]) * grid->per_angstrom[k]);
    return c < grid->n[k] ? c : grid->n[k] - 1;
}

static void fill_cells(struct frx_neighbours *list, const struct grid *grid) {
    const int n = list->n_bead, n_cell = grid->n[0] * grid->n[1] * grid->n[2];
    memset(list->cell_first, 0, ((size_t)n_cell + 1) * sizeof *list->cell_first);
    for (int i = 0; i < n; i++) {
        int cell = 0;
        for (int k = 0; k < 3; k++)
            cell = cell * grid->n[k] + cell_along(grid, k, list->position[(size_t)k * n + i]);
        list->cell[i] = cell;
        list->cell_first[cell + 1]++;
    }
    for (int c = 0; c < n_cell; c++) list->cell_first[c + 1] += list->cell_first[c];
    for (int i = n - 1; i >= 0; i--) /* backwards: after it cell_first[c + 1] is where cell c starts */
        list->cell_bead[--list->cell_first[list->cell[i] + 1]] = i;
    for (int c = 0; c < n_cell; c++) list->cell_first[c] = list->cell_first[c + 1];
    list->cell_first[n_cell] = n;
}

/* Marks what it finds in a bit field, which puts the pairs in order. */
static void find_by_cells(struct frx_neighbours *list, const struct grid *grid, int i) {
    const int n = list->n_bead;
    const double *x = list->position, limit = list->r_cut * list->r_cut;
    int lo[3], hi[3];
    for (int k = 0; k < 3; k++) {
        const int c = cell_along(grid, k, x[(size_t)k * n + i]);
        lo[k] = c > 0 ? c - 1 : 0;
        hi[k] = c + 1 < grid->n[k] ? c + 1 : c;
    }
    for (int a = lo[0]; a <= hi[0]; a++)
        for (int b = lo[1]; b <= hi[1]; b++) {
            const int row = (a * grid->n[1] + b) * grid->n[2];
            for (int q = list->cell_first[row + lo[2]]; q < list->cell_first[row + hi[2] + 1]; q++) {
                const int j = list->cell_bead[q];
                if (j <= i) continue;
                square_distances(list, i, j, j + 1, list->r_squared);
                if (list->r_squared[j] < limit) list->found[j / 64] |= UINT64_C(1) << (j % 64);
            }
        }
    for (int word = i / 64; word < (n + 63) / 64; word++) {
        for (uint64_t bits = list->found[word]; bits; bits &= bits - 1)
            list->j[list->n_pair++] = 64 * word + __builtin_ctzll(bits);
        list->found[word] = 0;
    }
}

enum frx_status frx_neighbours_find(struct frx_neighbours *list, const double *positions) {
    const int n = list->n_bead, use_cells = n > FRX_BRUTE_FORCE_LIMIT;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < 3; k++) list->position[(size_t)k * n + i] = positions[3 * (size_t)i + k];
    struct grid grid = {{0}, {0}, {0}};
    if (use_cells) {
        grid = choose_grid(list);
        fill_cells(list, &grid);
    }
    list->n_pair = 0;
    for (int i = 0; i < n; i++) {
        if (list->capacity - list->n_pair < n - 1 - i)
            FRX_TRY(reserve(list, list->capacity + list->capacity / 2 + n));
        list->first[i] = list->n_pair;
        if (use_cells)
            find_by_cells(list, &grid, i);
        else
            find_by_brute_force(list, i);
        finish_pairs(list, i);
    }
    list->first[n] = list->n_pair;
    return FRX_OK;
}
