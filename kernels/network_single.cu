/* The network in float: frx_network_single. Equations: design of the network in network.h and messages.h.
 *
 *   x_0 = embedding;  per interaction l:  h = x W1^T;  m = messages(h);  t = tanh(m W3^T + b3);  x += t W4^T
 * + b4 e = scale OUT(x);  backward:  g_t = (g_x W4) (1 - t^2);  g_m = g_t W3;  g_h, f = messages backward;
 * g_x += g_h W1
 *
 * Rows are the beads of all replicas, [n_rep n_bead][width]; widths are padded with channels that stay zero.
 * The first h depends on the bead's type only and is computed when the network is uploaded; nothing is
 * propagated back to it. This file allocates and orders; the kernels are in neighbours.cu, messages.cu and
 * dense.cu. */
#include "dense.h"
#include "filter_table.h"
#include "messages.h"
#include "network.h"
#include "system.h"

#include <stdlib.h>
#include <string.h>

/* One dense layer on the device, as it is applied forward and backward. */
struct layer {
    int n_in, n_out; /* padded */
    float *forward;  /* [n_in][n_out], packed */
    float *backward; /* [n_out][n_in], packed */
    float *bias;     /* [n_out], zero where the model has none */
};

struct interaction {
    struct layer lin1, lin2, lin;
    float *h; /* [n_row][n_filter]; of the first interaction [n_bead][n_filter] */
    float *t; /* [n_row][n_hidden] */
};

struct single {
    struct frx_gpu_network base;
    const struct frx_network *model;
    const int32_t *type; /* [n_bead], host */
    struct frx_filter_table table;
    struct frx_messages messages;
    int n_hidden, n_filter; /* padded */
    struct interaction *interaction;
    struct layer *output; /* [model->output.n_layer] but the last, of which only n_in is used */
    float *last_weight;   /* [n_in of the last] */
    float **y, **g_y;   /* what goes into each output layer but the first, and its gradient: [n_row][n_in] */
    float *x_first;     /* [n_bead][n_hidden] */
    float *x, *m, *g_t; /* x: from the output network on dE/dx; m: backward dE/dm */
    float *g_h;
};

static void destroy(struct frx_gpu_network *network) {
    struct single *single = (struct single *)network;
    if (!single) return;
    frx_filter_table_clear(&single->table);
    free(single->interaction);
    free(single->output);
    free(single->y);
    free(single->g_y);
    free(single);
}

static enum frx_status create(const struct frx_system *system, const struct frx_engine_options *options,
                              struct frx_gpu_network **network) {
    const struct frx_network *model = system->network;
    if (system->n_bead > FRX_MAX_BEAD)
        return FRX_FAIL(FRX_ERR_UNSUPPORTED, "%d beads: the CUDA engine takes at most %d", system->n_bead,
                        FRX_MAX_BEAD);
    struct single *single = (struct single *)calloc(1, sizeof *single);
    if (!single) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for the network");
    const size_t n_layer = (size_t)model->output.n_layer;
    single->interaction = (struct interaction *)calloc(model->n_interaction, sizeof *single->interaction);
    single->output = (struct layer *)calloc(n_layer, sizeof *single->output);
    single->y = (float **)calloc(n_layer, sizeof *single->y);
    single->g_y = (float **)calloc(n_layer, sizeof *single->g_y);
    enum frx_status status = FRX_OK;
    if (!single->interaction || !single->output || !single->y || !single->g_y)
        status = FRX_FAIL(FRX_ERR_MEMORY, "no memory for the network");
    if (status == FRX_OK)
        status = frx_filter_table_create(
            model, options->table_tolerance > 0 ? options->table_tolerance : FRX_FILTER_TOLERANCE_SINGLE,
            &single->table);
    if (status != FRX_OK) {
        destroy(&single->base);
        return status;
    }
    single->base.ops = &frx_network_single;
    single->base.n_rep = options->n_rep;
    single->base.n_bead = system->n_bead;
    single->base.n_knot = single->table.grid.n_row;
    single->base.table_error_value = single->table.error_value;
    single->base.table_error_slope = single->table.error_slope;
    single->model = model;
    single->type = system->beads.type;
    single->n_hidden = frx_padded_width(model->n_hidden);
    single->n_filter = frx_padded_width(model->n_filter);
    *network = &single->base;
    return FRX_OK;
}

/* ---- device arrays ---- */

static void take_layer(struct layer *layer, const struct frx_dense *dense, struct frx_arena *arena) {
    layer->n_in = frx_padded_width(dense->n_in);
    layer->n_out = frx_padded_width(dense->n_out);
    FRX_TAKE(arena, layer->forward, 2 * (size_t)layer->n_in * layer->n_out);
    FRX_TAKE(arena, layer->backward, 2 * (size_t)layer->n_in * layer->n_out);
    FRX_TAKE(arena, layer->bias, layer->n_out);
}

static void layout(struct frx_gpu_network *network, struct frx_arena *arena) {
    struct single *single = (struct single *)network;
    const struct frx_network *model = single->model;
    const size_t n_bead = (size_t)network->n_bead, n_row = network->n_rep * n_bead;
    const size_t n_hidden = (size_t)single->n_hidden, n_filter = (size_t)single->n_filter;
    frx_messages_init(&single->messages, &single->table, network->n_rep, network->n_bead);
    frx_messages_layout(&single->messages, arena);
    for (int l = 0; l < model->n_interaction; l++) {
        struct interaction *interaction = &single->interaction[l];
        take_layer(&interaction->lin1, &model->interaction[l].lin1, arena);
        take_layer(&interaction->lin2, &model->interaction[l].lin2, arena);
        take_layer(&interaction->lin, &model->interaction[l].lin, arena);
        FRX_TAKE(arena, interaction->h, (l == 0 ? n_bead : n_row) * n_filter);
        FRX_TAKE(arena, interaction->t, n_row * n_hidden);
    }
    for (int k = 0; k < model->output.n_layer; k++) {
        if (k < model->output.n_layer - 1) take_layer(&single->output[k], &model->output.layer[k], arena);
        single->output[k].n_in = frx_padded_width(model->output.layer[k].n_in);
        if (k > 0) FRX_TAKE(arena, single->y[k], n_row * single->output[k].n_in);
        if (k > 0) FRX_TAKE(arena, single->g_y[k], n_row * single->output[k].n_in);
    }
    FRX_TAKE(arena, single->last_weight, single->output[model->output.n_layer - 1].n_in);
    FRX_TAKE(arena, single->x_first, n_bead * n_hidden);
    FRX_TAKE(arena, single->x, n_row * n_hidden);
    FRX_TAKE(arena, single->m, n_row * n_filter);
    FRX_TAKE(arena, single->g_t, n_row * n_hidden);
    FRX_TAKE(arena, single->g_h, n_row * n_filter);
}

static enum frx_status send(float *destination, const float *source, size_t n, cudaStream_t stream) {
    FRX_CUDA(cudaMemcpyAsync(destination, source, n * sizeof *source, cudaMemcpyHostToDevice, stream));
    FRX_CUDA(cudaStreamSynchronize(stream));
    return FRX_OK;
}

static enum frx_status upload_layer(const struct layer *layer, const struct frx_dense *dense,
                                    cudaStream_t stream) {
    const size_t n_in = (size_t)layer->n_in, n_out = (size_t)layer->n_out, n = n_in * n_out;
    float *forward = (float *)calloc(4 * n + n_out, sizeof *forward);
    if (!forward) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for a copy of a layer");
    float *backward = forward + n, *packed = backward + n, *bias = packed + 2 * n;
    for (int o = 0; o < dense->n_out; o++) {
        for (int i = 0; i < dense->n_in; i++)
            forward[i * n_out + o] = backward[o * n_in + i] =
                (float)dense->weight[(size_t)o * dense->n_in + i];
        if (dense->bias) bias[o] = (float)dense->bias[o];
    }
    frx_dense_pack(layer->n_in, layer->n_out, forward, packed);
    enum frx_status status = send(layer->forward, packed, 2 * n, stream);
    frx_dense_pack(layer->n_out, layer->n_in, backward, packed);
    if (status == FRX_OK) status = send(layer->backward, packed, 2 * n, stream);
    if (status == FRX_OK) status = send(layer->bias, bias, n_out, stream);
    free(forward);
    return status;
}

/* The last layer's one channel, as it is. */
static enum frx_status upload_last(const struct single *single, cudaStream_t stream) {
    const struct frx_dense *dense = &single->model->output.layer[single->model->output.n_layer - 1];
    const size_t n_in = (size_t)frx_padded_width(dense->n_in);
    float *weight = (float *)calloc(n_in, sizeof *weight);
    if (!weight) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for a copy of a layer");
    for (int i = 0; i < dense->n_in; i++) weight[i] = (float)dense->weight[i];
    const enum frx_status status = send(single->last_weight, weight, n_in, stream);
    free(weight);
    return status;
}

static enum frx_status upload_embedding(const struct single *single, cudaStream_t stream) {
    const size_t n_bead = (size_t)single->base.n_bead, n_hidden = (size_t)single->n_hidden;
    float *x = (float *)calloc(n_bead * n_hidden, sizeof *x);
    if (!x) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for the embedding");
    for (size_t i = 0; i < n_bead; i++)
        for (int c = 0; c < single->model->n_hidden; c++)
            x[i * n_hidden + c] =
                (float)single->model->embedding[(size_t)single->type[i] * single->model->n_hidden + c];
    const enum frx_status status = send(single->x_first, x, n_bead * n_hidden, stream);
    free(x);
    return status;
}

/* C = f(A W) with the layer's forward or backward weights; shapes from the layer. */
static enum frx_status apply(const struct layer *layer, int backward, enum frx_dense_form form, int n_row,
                             const float *a, const float *other, int other_rows, float *c,
                             cudaStream_t stream) {
    const struct frx_dense_call call = {form,
                                        n_row,
                                        backward ? layer->n_out : layer->n_in,
                                        backward ? layer->n_in : layer->n_out,
                                        a,
                                        backward ? layer->backward : layer->forward,
                                        backward ? NULL : layer->bias,
                                        other,
                                        other_rows,
                                        c};
    return frx_dense_launch(&call, stream);
}

static enum frx_status upload(struct frx_gpu_network *network, cudaStream_t stream) {
    struct single *single = (struct single *)network;
    const struct frx_network *model = single->model;
    FRX_TRY(frx_messages_upload(&single->messages, &single->table, stream));
    for (int l = 0; l < model->n_interaction; l++) {
        FRX_TRY(upload_layer(&single->interaction[l].lin1, &model->interaction[l].lin1, stream));
        FRX_TRY(upload_layer(&single->interaction[l].lin2, &model->interaction[l].lin2, stream));
        FRX_TRY(upload_layer(&single->interaction[l].lin, &model->interaction[l].lin, stream));
    }
    for (int k = 0; k < model->output.n_layer - 1; k++)
        FRX_TRY(upload_layer(&single->output[k], &model->output.layer[k], stream));
    FRX_TRY(upload_last(single, stream));
    FRX_TRY(upload_embedding(single, stream));
    FRX_TRY(apply(&single->interaction[0].lin1, 0, FRX_DENSE_PLAIN, network->n_bead, single->x_first, NULL, 1,
                  single->interaction[0].h, stream));
    FRX_CUDA(cudaStreamSynchronize(stream));
    return FRX_OK;
}

/* ---- evaluation ---- */

static enum frx_status forward(const struct single *single, const float *positions, struct frx_timer *timer,
                               cudaStream_t stream) {
    const int n_bead = single->base.n_bead, n_row = single->base.n_rep * n_bead;
    for (int l = 0; l < single->model->n_interaction; l++) {
        const struct interaction *interaction = &single->interaction[l];
        if (l > 0)
            FRX_TRY(apply(&interaction->lin1, 0, FRX_DENSE_PLAIN, n_row, single->x, NULL, 1, interaction->h,
                          stream));
        FRX_TRY(frx_timer_mark(timer, FRX_STAGE_DENSE, stream));
        FRX_TRY(frx_messages_forward(&single->messages, l, positions, interaction->h, l == 0 ? 0 : n_bead,
                                     single->m, stream));
        FRX_TRY(frx_timer_mark(timer, FRX_STAGE_MESSAGES, stream));
        FRX_TRY(
            apply(&interaction->lin2, 0, FRX_DENSE_TANH, n_row, single->m, NULL, 1, interaction->t, stream));
        FRX_TRY(apply(&interaction->lin, 0, FRX_DENSE_ADD, n_row, interaction->t,
                      l == 0 ? single->x_first : single->x, l == 0 ? n_bead : n_row, single->x, stream));
    }
    return FRX_OK;
}

/* From x to the bead energies, and back to dE/dx, which replaces x. */
static enum frx_status output(const struct single *single, float *bead_energy, cudaStream_t stream) {
    const struct frx_mlp *mlp = &single->model->output;
    const int n_row = single->base.n_rep * single->base.n_bead, last = mlp->n_layer - 1;
    for (int k = 0; k < last; k++)
        FRX_TRY(apply(&single->output[k], 0, FRX_DENSE_TANH, n_row, k == 0 ? single->x : single->y[k], NULL,
                      1, single->y[k + 1], stream));
    const double *bias = mlp->layer[last].bias;
    FRX_TRY(frx_dense_energy(n_row, single->output[last].n_in, last > 0 ? single->y[last] : single->x,
                             single->last_weight, bias ? (float)bias[0] : 0.0f, (float)single->model->scale,
                             last > 0, bead_energy, last > 0 ? single->g_y[last] : single->x, stream));
    for (int k = last - 1; k >= 0; k--)
        FRX_TRY(apply(&single->output[k], 1, k > 0 ? FRX_DENSE_SLOPE : FRX_DENSE_PLAIN, n_row,
                      single->g_y[k + 1], k > 0 ? single->y[k] : NULL, n_row,
                      k > 0 ? single->g_y[k] : single->x, stream));
    return FRX_OK;
}

static enum frx_status backward(const struct single *single, const float *positions, struct frx_timer *timer,
                                cudaStream_t stream) {
    const int n_bead = single->base.n_bead, n_row = single->base.n_rep * n_bead;
    for (int l = single->model->n_interaction - 1; l >= 0; l--) {
        const struct interaction *interaction = &single->interaction[l];
        FRX_TRY(apply(&interaction->lin, 1, FRX_DENSE_SLOPE, n_row, single->x, interaction->t, n_row,
                      single->g_t, stream));
        FRX_TRY(
            apply(&interaction->lin2, 1, FRX_DENSE_PLAIN, n_row, single->g_t, NULL, 1, single->m, stream));
        FRX_TRY(frx_timer_mark(timer, FRX_STAGE_DENSE, stream));
        FRX_TRY(frx_messages_backward(&single->messages, l, positions, interaction->h, l == 0 ? 0 : n_bead,
                                      single->m, l > 0 ? single->g_h : NULL, stream));
        FRX_TRY(frx_timer_mark(timer, FRX_STAGE_MESSAGES, stream));
        if (l > 0)
            FRX_TRY(apply(&interaction->lin1, 1, FRX_DENSE_ADD, n_row, single->g_h, single->x, n_row,
                          single->x, stream));
    }
    return FRX_OK;
}

static enum frx_status forces(struct frx_gpu_network *network, const float *positions, float *result,
                              float *bead_energy, struct frx_timer *timer, cudaStream_t stream) {
    const struct single *single = (const struct single *)network;
    FRX_TRY(frx_neighbours_build(&single->messages.neighbours, positions, stream));
    FRX_TRY(frx_timer_mark(timer, FRX_STAGE_NEIGHBOURS, stream));
    FRX_TRY(forward(single, positions, timer, stream));
    FRX_TRY(output(single, bead_energy, stream));
    FRX_TRY(backward(single, positions, timer, stream));
    FRX_TRY(frx_messages_forces(&single->messages, result, stream));
    return frx_timer_mark(timer, FRX_STAGE_MESSAGES, stream);
}

static size_t host_bytes(const struct frx_gpu_network *network) {
    const struct frx_filter_table *table = &((const struct single *)network)->table;
    return sizeof(struct single) +
           (size_t)table->n_interaction * table->grid.n_row * table->n_filter * sizeof *table->coefficient;
}

const struct frx_network_ops frx_network_single = {"single precision", create, layout, upload, forces,
                                                   host_bytes,         destroy};
