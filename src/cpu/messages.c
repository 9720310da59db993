#include "messages.h"

#include "simd.h"

#include <stdlib.h>
#include <string.h>

enum { NV = FRX_SLICE_VECTORS };

static size_t pair_bytes(void) {
    return sizeof(struct frx_message_pair) + sizeof(int32_t) + sizeof(float);
}

size_t frx_message_pairs_bytes(int n_bead, int capacity) {
    return ((size_t)n_bead + 1) * sizeof(int32_t) + (size_t)capacity * pair_bytes();
}

static enum frx_status reserve(struct frx_message_pairs *pairs, int capacity) {
    const size_t n = (size_t)capacity;
    free(pairs->pair);
    free(pairs->origin);
    free(pairs->slope);
    pairs->pair = malloc(n * sizeof *pairs->pair);
    pairs->origin = malloc(n * sizeof *pairs->origin);
    pairs->slope = malloc(n * sizeof *pairs->slope);
    pairs->capacity = pairs->pair && pairs->origin && pairs->slope ? capacity : 0;
    if (!pairs->capacity) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for the messages of %d pairs", capacity);
    return FRX_OK;
}

enum frx_status frx_message_pairs_create(int n_bead, int capacity, struct frx_message_pairs *pairs) {
    *pairs = (struct frx_message_pairs){.n_bead = n_bead};
    pairs->first = calloc((size_t)n_bead + 1, sizeof *pairs->first);
    if (!pairs->first) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for the messages of %d beads", n_bead);
    return reserve(pairs, capacity);
}

void frx_message_pairs_clear(struct frx_message_pairs *pairs) {
    free(pairs->first);
    free(pairs->pair);
    free(pairs->origin);
    free(pairs->slope);
    memset(pairs, 0, sizeof *pairs);
}

enum frx_status frx_message_pairs_find(const struct frx_filter_grid *grid, const struct frx_neighbours *list,
                                       struct frx_message_pairs *pairs) {
    if (list->n_pair > pairs->capacity) FRX_TRY(reserve(pairs, list->capacity));
    int n = 0;
    for (int i = 0; i < list->n_bead; i++) {
        pairs->first[i] = n;
        for (int p = list->first[i]; p < list->first[i + 1]; p++) {
            const float r = (float)list->r[p];
            if (r < grid->r_lo || r >= grid->r_hi) continue;
            struct frx_message_pair *pair = &pairs->pair[n];
            pair->j = list->j[p];
            pair->row = frx_filter_locate(grid, r, pair->w, pair->dw);
            pairs->origin[n] = p;
            pairs->slope[n] = 0;
            n++;
        }
    }
    pairs->first[list->n_bead] = n;
    pairs->n_pair = n;
    return FRX_OK;
}

static inline frx_vector combine(const frx_vector *rows, int v, const float weight[4]) {
    return weight[0] * rows[v] + weight[1] * rows[NV + v] + weight[2] * rows[2 * NV + v] +
           weight[3] * rows[3 * NV + v];
}

void frx_messages_forward(const struct frx_message_pairs *pairs, const float *table, int n_row, int n_filter,
                          const float *h, float *m) {
    memset(m, 0, (size_t)pairs->n_bead * n_filter * sizeof *m);
    for (int s = 0; s < n_filter; s += FRX_SLICE) {
        const float *slice = table + (size_t)s * n_row;
        for (int i = 0; i < pairs->n_bead; i++) {
            const frx_vector *hi = (const frx_vector *)(h + (size_t)i * n_filter + s);
            frx_vector *mi = (frx_vector *)(m + (size_t)i * n_filter + s), sum[NV], own[NV];
            for (int v = 0; v < NV; v++) {
                own[v] = hi[v];
                sum[v] = (frx_vector){0};
            }
            for (int p = pairs->first[i]; p < pairs->first[i + 1]; p++) {
                const struct frx_message_pair *pair = &pairs->pair[p];
                const frx_vector *rows = (const frx_vector *)(slice + (size_t)pair->row * FRX_SLICE);
                const frx_vector *hj = (const frx_vector *)(h + (size_t)pair->j * n_filter + s);
                frx_vector *mj = (frx_vector *)(m + (size_t)pair->j * n_filter + s);
                for (int v = 0; v < NV; v++) {
                    const frx_vector w = combine(rows, v, pair->w);
                    sum[v] += w * hj[v];
                    mj[v] += w * own[v];
                }
            }
            for (int v = 0; v < NV; v++) mi[v] += sum[v];
        }
    }
}

/* The vector is folded twice and then added up, instead of lane by lane. */
static inline float horizontal_sum(frx_vector x) {
    typedef float half_vector __attribute__((vector_size(FRX_VECTOR_BYTES / 2)));
    typedef float quarter_vector __attribute__((vector_size(FRX_VECTOR_BYTES / 4)));
    half_vector half[2];
    memcpy(half, &x, sizeof half);
    half[0] += half[1];
    quarter_vector quarter[2];
    memcpy(quarter, &half[0], sizeof quarter);
    quarter[0] += quarter[1];
    float sum = 0;
    for (int k = 0; k < FRX_LANES / 4; k++) sum += quarter[0][k];
    return sum;
}

/* `with_gh` is a constant after inlining. */
static inline __attribute__((always_inline)) void backward(struct frx_message_pairs *pairs,
                                                           const float *table, int n_row, int n_filter,
                                                           const float *h, const float *g, float *gh,
                                                           const int with_gh) {
    if (with_gh) memset(gh, 0, (size_t)pairs->n_bead * n_filter * sizeof *gh);
    for (int s = 0; s < n_filter; s += FRX_SLICE) {
        const float *slice = table + (size_t)s * n_row;
        for (int i = 0; i < pairs->n_bead; i++) {
            const size_t at_i = (size_t)i * n_filter + s;
            frx_vector own_h[NV], own_g[NV], sum[NV];
            for (int v = 0; v < NV; v++) {
                own_h[v] = ((const frx_vector *)(h + at_i))[v];
                own_g[v] = ((const frx_vector *)(g + at_i))[v];
                sum[v] = (frx_vector){0};
            }
            for (int p = pairs->first[i]; p < pairs->first[i + 1]; p++) {
                const struct frx_message_pair *pair = &pairs->pair[p];
                const size_t at_j = (size_t)pair->j * n_filter + s;
                const frx_vector *rows = (const frx_vector *)(slice + (size_t)pair->row * FRX_SLICE);
                const frx_vector *hj = (const frx_vector *)(h + at_j), *gj = (const frx_vector *)(g + at_j);
                frx_vector slope = {0};
                for (int v = 0; v < NV; v++) {
                    slope += combine(rows, v, pair->dw) * (own_g[v] * hj[v] + gj[v] * own_h[v]);
                    if (with_gh) {
                        const frx_vector w = combine(rows, v, pair->w);
                        sum[v] += w * gj[v];
                        ((frx_vector *)(gh + at_j))[v] += w * own_g[v];
                    }
                }
                pairs->slope[p] += horizontal_sum(slope);
            }
            for (int v = 0; with_gh && v < NV; v++) ((frx_vector *)(gh + at_i))[v] += sum[v];
        }
    }
}

void frx_messages_backward(struct frx_message_pairs *pairs, const float *table, int n_row, int n_filter,
                           const float *h, const float *g, float *gh) {
    if (gh)
        backward(pairs, table, n_row, n_filter, h, g, gh, 1);
    else
        backward(pairs, table, n_row, n_filter, h, g, NULL, 0);
}

void frx_messages_forces(const struct frx_message_pairs *pairs, const struct frx_neighbours *list,
                         double *forces) {
    for (int p = 0; p < pairs->n_pair; p++) {
        const int q = pairs->origin[p];
        const size_t i = 3 * (size_t)list->i[q], j = 3 * (size_t)list->j[q];
        for (int k = 0; k < 3; k++) {
            const double push = (double)pairs->slope[p] * list->unit[3 * (size_t)q + k];
            forces[i + k] -= push;
            forces[j + k] += push;
        }
    }
}
