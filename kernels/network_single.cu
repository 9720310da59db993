/* The network in float: frx_network_single. Rows are the beads of all replicas, [n_rep n_bead][width]; widths
 * are padded with channels that stay zero. This file allocates and orders; the kernels are in neighbours.cu,
 * messages.cu and dense.cu. The first h depends on the bead's type only and is computed when the network is
 * uploaded; nothing is propagated back to it. */
#include "filter_table.h"
#include "layers.h"
#include "messages.h"
#include "network.h"
#include "system.h"

#include <stdlib.h>

struct single {
    struct frx_gpu_network base;
    struct frx_filter_table table;
    struct frx_messages messages;
    struct frx_layers layers;
    float *h[FRX_MAX_INTERACTION];     /* [rows][n_filter]; of the first interaction [n_bead][n_filter] */
    float *slope[FRX_MAX_INTERACTION]; /* [rows][n_hidden] */
    float *g;                          /* [rows][n_filter] */
};

static void destroy(struct frx_gpu_network *network) {
    struct single *single = (struct single *)network;
    if (!single) return;
    frx_filter_table_clear(&single->table);
    free(single);
}

static enum frx_status create(const struct frx_system *system, const struct frx_engine_options *options,
                              struct frx_gpu_network **network) {
    if (system->n_bead > FRX_MAX_BEAD)
        return FRX_FAIL(FRX_ERR_UNSUPPORTED, "%d beads: the CUDA engine takes at most %d", system->n_bead,
                        FRX_MAX_BEAD);
    struct single *single = (struct single *)calloc(1, sizeof *single);
    if (!single) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for the network");
    enum frx_status status =
        frx_layers_init(system, frx_padded_width(system->network->n_filter), &single->layers);
    if (status == FRX_OK)
        status = frx_filter_table_create(system->network,
                                         options->table_tolerance > 0 ? options->table_tolerance
                                                                      : FRX_FILTER_TOLERANCE_SINGLE,
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
    *network = &single->base;
    return FRX_OK;
}

static void layout(struct frx_gpu_network *network, struct frx_arena *arena) {
    struct single *single = (struct single *)network;
    const size_t n_bead = (size_t)network->n_bead, n_row = network->n_rep * n_bead;
    frx_messages_init(&single->messages, &single->table, network->n_rep, network->n_bead);
    frx_messages_layout(&single->messages, arena);
    frx_layers_layout(&single->layers, network->n_rep, arena);
    for (int l = 0; l < single->layers.n_interaction; l++) {
        FRX_TAKE(arena, single->h[l], (l == 0 ? n_bead : n_row) * single->layers.n_filter);
        FRX_TAKE(arena, single->slope[l], n_row * single->layers.n_hidden);
    }
    FRX_TAKE(arena, single->g, n_row * single->layers.n_filter);
}

static enum frx_status upload(struct frx_gpu_network *network, cudaStream_t stream) {
    struct single *single = (struct single *)network;
    FRX_TRY(frx_messages_upload(&single->messages, &single->table, stream));
    FRX_TRY(frx_layers_upload(&single->layers));
    const size_t n = (size_t)network->n_bead * single->layers.n_filter;
    float *h = (float *)malloc(n * sizeof *h);
    if (!h) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for the first features");
    frx_layers_first_features(&single->layers, h);
    cudaError_t code = cudaMemcpy(single->h[0], h, n * sizeof *h, cudaMemcpyHostToDevice);
    if (code == cudaSuccess) code = cudaStreamSynchronize(NULL); /* a copy may return before it arrives */
    free(h);
    return frx_cuda_status(code, "first features", __FILE__, __LINE__);
}

static enum frx_status forces(struct frx_gpu_network *network, const float *positions, float *result,
                              float *bead_energy, struct frx_timer *timer, cudaStream_t stream) {
    const struct single *single = (const struct single *)network;
    const struct frx_layers *layers = &single->layers;
    const int n_bead = network->n_bead, n_rep = network->n_rep, n_interaction = layers->n_interaction;
    FRX_TRY(frx_neighbours_build(&single->messages.neighbours, positions, stream));
    FRX_TRY(frx_timer_mark(timer, FRX_STAGE_NEIGHBOURS, stream));
    for (int l = 0; l < n_interaction; l++) {
        FRX_TRY(frx_messages_forward(&single->messages, l, positions, single->h[l], l == 0 ? 0 : n_bead,
                                     layers->m, stream));
        FRX_TRY(frx_timer_mark(timer, FRX_STAGE_MESSAGES, stream));
        float *h_next = l + 1 < n_interaction ? single->h[l + 1] : NULL;
        FRX_TRY(frx_layers_forward(layers, l, n_rep, single->slope[l], h_next, stream));
        FRX_TRY(frx_timer_mark(timer, FRX_STAGE_DENSE, stream));
    }
    FRX_TRY(frx_layers_output(layers, n_rep, bead_energy, 1, stream));
    for (int l = n_interaction - 1; l >= 0; l--) {
        FRX_TRY(frx_layers_backward(layers, l, n_rep, (const float *)single->slope[l], single->g, stream));
        FRX_TRY(frx_timer_mark(timer, FRX_STAGE_DENSE, stream));
        FRX_TRY(frx_messages_backward(&single->messages, l, positions, single->h[l], l == 0 ? 0 : n_bead,
                                      single->g, l > 0 ? layers->m : NULL, stream));
        FRX_TRY(frx_timer_mark(timer, FRX_STAGE_MESSAGES, stream));
    }
    FRX_TRY(frx_messages_forces(&single->messages, result, stream));
    return frx_timer_mark(timer, FRX_STAGE_MESSAGES, stream);
}

static size_t host_bytes(const struct frx_gpu_network *network) {
    const struct frx_filter_table *table = &((const struct single *)network)->table;
    return sizeof(struct single) +
           (size_t)table->n_interaction * table->grid.n_row * table->n_filter * sizeof *table->coefficient;
}

const struct frx_network_ops frx_network_single = {"single precision", create, layout, upload, forces, NULL,
                                                   host_bytes,         destroy};
