#include "network_table.h"

#include "dense.h"
#include "messages.h"
#include "simd.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* A dense layer, padded with zeros, laid out for both directions. */
struct layer {
    int n_in, n_out; /* padded */
    float *forward;  /* [n_in][n_out] */
    float *backward; /* [n_out][n_in] */
    float *bias;     /* [n_out] */
};

struct interaction {
    float *table;                 /* [n_filter/FRX_SLICE][n_row][FRX_SLICE] */
    struct layer lin1, lin2, lin; /* W1; W3, b3; W4, b4 */
};

struct frx_table_network {
    int n_type, n_hidden, n_filter, n_interaction, n_output, widest_output; /* widths are padded */
    struct frx_filter_grid grid;
    float *embedding; /* [n_type][n_hidden] */
    float *first;     /* [n_type][n_filter] W1 x of the first interaction: it depends on the type alone */
    struct interaction *interaction;
    struct layer *output;        /* [n_output], all layers but the last */
    float *last;                 /* [its n_in] scale times the weights of the last layer */
    double bias_per_bead, shift; /* scale times the bias of the last layer; the network's shift */
    size_t n_float;              /* in memory, which everything above points into */
    float *memory;
};

struct frx_table_work {
    int n_bead;
    float *x, *gy; /* [n_bead][n_hidden]; x becomes dE/dx */
    float *h;      /* [n_interaction][n_bead][n_filter] */
    float *y;      /* [n_interaction][n_bead][n_hidden] */
    float *m, *gh; /* [n_bead][n_filter]; m becomes dE/dm */
    float *a;      /* [n_output][n_bead][widest_output], rows as long as their layer is wide */
    float *ga[2];  /* [n_bead][widest_output] */
    float *memory; /* what all of the above point into */
    struct frx_message_pairs pairs;
};

/* Memory handed out piece by piece: a first walk without memory counts, a second one points. */
struct arena {
    float *memory;
    size_t used;
};

static float *take(struct arena *arena, size_t n) {
    float *piece = arena->memory ? arena->memory + arena->used : NULL;
    arena->used += (n + 15) / 16 * 16; /* keeps every piece aligned */
    return piece;
}

static float *aligned_floats(size_t n) {
    float *memory = aligned_alloc(FRX_ALIGNMENT, n * sizeof *memory);
    if (memory) memset(memory, 0, n * sizeof *memory);
    return memory;
}

/* ---- building ---- */

static void take_layer(struct arena *arena, const struct frx_dense *dense, struct layer *layer) {
    layer->n_in = frx_padded(dense->n_in);
    layer->n_out = frx_padded(dense->n_out);
    layer->forward = take(arena, (size_t)layer->n_in * layer->n_out);
    layer->backward = take(arena, (size_t)layer->n_in * layer->n_out);
    layer->bias = take(arena, (size_t)layer->n_out);
}

static void copy_layer(const struct frx_dense *dense, struct layer *layer) {
    for (int o = 0; o < dense->n_out; o++) {
        for (int i = 0; i < dense->n_in; i++) {
            const float weight = (float)dense->weight[(size_t)o * dense->n_in + i];
            layer->forward[(size_t)i * layer->n_out + o] = weight;
            layer->backward[(size_t)o * layer->n_in + i] = weight;
        }
        if (dense->bias) layer->bias[o] = (float)dense->bias[o];
    }
}

static size_t lay_out_network(const struct frx_network *net, int n_row, struct frx_table_network *to,
                              float *memory) {
    struct arena arena = {memory, 0};
    to->embedding = take(&arena, (size_t)net->n_type * to->n_hidden);
    to->first = take(&arena, (size_t)net->n_type * to->n_filter);
    for (int l = 0; l < net->n_interaction; l++) {
        to->interaction[l].table = take(&arena, (size_t)n_row * to->n_filter);
        take_layer(&arena, &net->interaction[l].lin1, &to->interaction[l].lin1);
        take_layer(&arena, &net->interaction[l].lin2, &to->interaction[l].lin2);
        take_layer(&arena, &net->interaction[l].lin, &to->interaction[l].lin);
    }
    for (int k = 0; k < to->n_output; k++) take_layer(&arena, &net->output.layer[k], &to->output[k]);
    to->last = take(&arena, (size_t)frx_padded(net->output.layer[to->n_output].n_in));
    return arena.used;
}

static void copy_table(const struct frx_filter_table *table, int l, float *to) {
    const int n_row = table->grid.n_row;
    for (int row = 0; row < n_row; row++)
        for (int c = 0; c < table->n_filter; c++)
            to[((size_t)(c / FRX_SLICE) * n_row + row) * FRX_SLICE + c % FRX_SLICE] =
                (float)table->coefficient[((size_t)l * n_row + row) * table->n_filter + c];
}

static void copy_network(const struct frx_network *net, const struct frx_filter_table *table,
                         struct frx_table_network *to) {
    for (int t = 0; t < net->n_type; t++) {
        const double *x = net->embedding + (size_t)t * net->n_hidden;
        const struct frx_dense *lin1 = &net->interaction[0].lin1;
        for (int k = 0; k < net->n_hidden; k++) to->embedding[(size_t)t * to->n_hidden + k] = (float)x[k];
        for (int c = 0; c < net->n_filter; c++) {
            double sum = 0;
            for (int k = 0; k < net->n_hidden; k++) sum += lin1->weight[(size_t)c * net->n_hidden + k] * x[k];
            to->first[(size_t)t * to->n_filter + c] = (float)sum;
        }
    }
    for (int l = 0; l < net->n_interaction; l++) {
        copy_table(table, l, to->interaction[l].table);
        copy_layer(&net->interaction[l].lin1, &to->interaction[l].lin1);
        copy_layer(&net->interaction[l].lin2, &to->interaction[l].lin2);
        copy_layer(&net->interaction[l].lin, &to->interaction[l].lin);
    }
    for (int k = 0; k < to->n_output; k++) copy_layer(&net->output.layer[k], &to->output[k]);
    const struct frx_dense *last = &net->output.layer[to->n_output];
    for (int k = 0; k < last->n_in; k++) to->last[k] = (float)(net->scale * last->weight[k]);
    to->bias_per_bead = last->bias ? net->scale * last->bias[0] : 0;
    to->shift = net->shift;
}

static struct frx_table_network *create_empty(const struct frx_network *net) {
    struct frx_table_network *to = calloc(1, sizeof *to);
    if (!to) return NULL;
    to->n_type = net->n_type;
    to->n_hidden = frx_padded(net->n_hidden);
    to->n_filter = frx_padded(net->n_filter);
    to->n_interaction = net->n_interaction;
    to->n_output = net->output.n_layer - 1;
    for (int k = 0; k < to->n_output; k++) {
        const int width = frx_padded(net->output.layer[k].n_out);
        if (width > to->widest_output) to->widest_output = width;
    }
    to->interaction = calloc((size_t)to->n_interaction, sizeof *to->interaction);
    to->output = calloc((size_t)to->n_output + 1, sizeof *to->output);
    if (to->interaction && to->output) return to;
    frx_table_network_destroy(to);
    return NULL;
}

size_t frx_table_network_bytes(const struct frx_table_network *net) {
    return net->n_float * sizeof(float);
}

struct frx_table_network *frx_table_network_create(const struct frx_network *net,
                                                   const struct frx_filter_table *table) {
    struct frx_table_network *to = create_empty(net);
    if (!to) return NULL;
    to->grid = table->grid;
    to->n_float = lay_out_network(net, table->grid.n_row, to, NULL);
    to->memory = aligned_floats(to->n_float);
    if (!to->memory) {
        frx_table_network_destroy(to);
        return NULL;
    }
    lay_out_network(net, table->grid.n_row, to, to->memory);
    copy_network(net, table, to);
    return to;
}

void frx_table_network_destroy(struct frx_table_network *net) {
    if (!net) return;
    free(net->interaction);
    free(net->output);
    free(net->memory);
    free(net);
}

/* ---- work ---- */

static size_t lay_out_work(const struct frx_table_network *net, int n_bead, struct frx_table_work *work,
                           float *memory) {
    const size_t n = (size_t)n_bead, n_h = n * net->n_hidden, n_f = n * net->n_filter;
    const size_t n_interaction = (size_t)net->n_interaction;
    struct arena arena = {memory, 0};
    work->x = take(&arena, n_h);
    work->gy = take(&arena, n_h);
    work->h = take(&arena, n_interaction * n_f);
    work->y = take(&arena, n_interaction * n_h);
    work->m = take(&arena, n_f);
    work->gh = take(&arena, n_f);
    work->a = take(&arena, (size_t)net->n_output * n * net->widest_output);
    for (int k = 0; k < 2; k++) work->ga[k] = take(&arena, n * net->widest_output);
    return arena.used;
}

size_t frx_table_work_bytes(const struct frx_table_network *net, int n_bead) {
    struct frx_table_work work;
    return lay_out_work(net, n_bead, &work, NULL) * sizeof(float) +
           frx_message_pairs_bytes(n_bead, frx_neighbours_capacity(n_bead));
}

struct frx_table_work *frx_table_work_create(const struct frx_table_network *net, int n_bead) {
    struct frx_table_work *work = calloc(1, sizeof *work);
    if (!work) return NULL;
    work->n_bead = n_bead;
    work->memory = aligned_floats(lay_out_work(net, n_bead, work, NULL));
    if (!work->memory ||
        frx_message_pairs_create(n_bead, frx_neighbours_capacity(n_bead), &work->pairs) != FRX_OK) {
        frx_table_work_destroy(work);
        return NULL;
    }
    lay_out_work(net, n_bead, work, work->memory);
    return work;
}

void frx_table_work_destroy(struct frx_table_work *work) {
    if (!work) return;
    frx_message_pairs_clear(&work->pairs);
    free(work->memory);
    free(work);
}

/* ---- evaluation ---- */

static void layer_forward(const struct layer *layer, int n, const float *x, int add, float *y) {
    frx_gemm(n, layer->n_in, layer->n_out, x, layer->forward, layer->bias, add, y);
}

static void layer_backward(const struct layer *layer, int n, const float *gy, int add, float *gx) {
    frx_gemm(n, layer->n_out, layer->n_in, gy, layer->backward, NULL, add, gx);
}

/* Energy from x; leaves dE/dx in x. */
static double eval_output(const struct frx_table_network *net, struct frx_table_work *work) {
    const int n = work->n_bead, k_last = net->n_output;
    const size_t stride = (size_t)n * net->widest_output;
    for (int k = 0; k < k_last; k++) {
        float *a = work->a + k * stride;
        layer_forward(&net->output[k], n, k ? a - stride : work->x, 0, a);
        frx_tanh((size_t)n * net->output[k].n_out, a);
    }
    const int width = k_last ? net->output[k_last - 1].n_out : net->n_hidden;
    const float *in = k_last ? work->a + (k_last - 1) * stride : work->x;
    float *g = k_last ? work->ga[0] : work->gy; /* gy is free here and as wide as x */
    double energy = net->shift + n * net->bias_per_bead;
    for (int i = 0; i < n; i++) {
        const float *row = in + (size_t)i * width;
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int c = 0; c < width; c++) sum += row[c] * net->last[c];
        energy += (double)sum;
        memcpy(g + (size_t)i * width, net->last, (size_t)width * sizeof *g);
    }
    for (int k = k_last - 1; k >= 0; k--) {
        frx_tanh_backward((size_t)n * net->output[k].n_out, work->a + k * stride, g);
        float *g_next = k == 0 ? work->x : g == work->ga[0] ? work->ga[1] : work->ga[0];
        layer_backward(&net->output[k], n, g, 0, g_next);
        g = g_next;
    }
    if (!k_last) memcpy(work->x, g, (size_t)n * width * sizeof *g);
    return energy;
}

enum frx_status frx_table_eval(const struct frx_table_network *net, struct frx_table_work *work,
                               const int32_t *type, const struct frx_neighbours *list, double *forces,
                               struct frx_stages *stages, double *energy) {
    const int n = work->n_bead, n_row = net->grid.n_row, n_hidden = net->n_hidden, n_filter = net->n_filter;
    const size_t size_h = (size_t)n * n_filter, size_y = (size_t)n * n_hidden;
    FRX_TRY(frx_message_pairs_find(&net->grid, list, &work->pairs));
    frx_stages_book(stages, FRX_STAGE_NEIGHBOURS);
    for (int i = 0; i < n; i++) {
        memcpy(work->x + (size_t)i * n_hidden, net->embedding + (size_t)type[i] * n_hidden,
               (size_t)n_hidden * sizeof *work->x);
        memcpy(work->h + (size_t)i * n_filter, net->first + (size_t)type[i] * n_filter,
               (size_t)n_filter * sizeof *work->h);
    }
    for (int l = 0; l < net->n_interaction; l++) {
        const struct interaction *interaction = &net->interaction[l];
        float *h = work->h + l * size_h, *y = work->y + l * size_y;
        if (l > 0) layer_forward(&interaction->lin1, n, work->x, 0, h);
        frx_stages_book(stages, FRX_STAGE_DENSE);
        frx_messages_forward(&work->pairs, interaction->table, n_row, n_filter, h, work->m);
        frx_stages_book(stages, FRX_STAGE_FORWARD);
        layer_forward(&interaction->lin2, n, work->m, 0, y);
        frx_tanh(size_y, y);
        layer_forward(&interaction->lin, n, y, 1, work->x);
    }
    *energy = eval_output(net, work);
    for (int l = net->n_interaction - 1; l >= 0; l--) {
        const struct interaction *interaction = &net->interaction[l];
        layer_backward(&interaction->lin, n, work->x, 0, work->gy);
        frx_tanh_backward(size_y, work->y + l * size_y, work->gy);
        layer_backward(&interaction->lin2, n, work->gy, 0, work->m);
        frx_stages_book(stages, FRX_STAGE_DENSE);
        frx_messages_backward(&work->pairs, interaction->table, n_row, n_filter, work->h + l * size_h,
                              work->m, l > 0 ? work->gh : NULL);
        frx_stages_book(stages, FRX_STAGE_BACKWARD);
        if (l > 0) layer_backward(&interaction->lin1, n, work->gh, 1, work->x);
    }
    frx_messages_forces(&work->pairs, list, forces);
    frx_stages_book(stages, FRX_STAGE_BACKWARD);
    return FRX_OK;
}
