#include "layers.h"

#include <stdlib.h>

static int round_up(int n, int step) {
    return (n + step - 1) / step * step;
}

enum frx_status frx_layers_init(const struct frx_system *system, int n_filter, struct frx_layers *layers) {
    const struct frx_network *net = system->network;
    *layers = {};
    if (net->n_interaction > FRX_MAX_INTERACTION || net->output.n_layer - 1 > FRX_MAX_OUTPUT)
        return FRX_FAIL(
            FRX_ERR_UNSUPPORTED,
            "the CUDA engine has room for %d interactions and %d output layers, the network has %d "
            "and %d",
            FRX_MAX_INTERACTION, FRX_MAX_OUTPUT + 1, net->n_interaction, net->output.n_layer);
    layers->system = system;
    layers->n_interaction = net->n_interaction;
    layers->n_filter = n_filter;
    layers->n_hidden = round_up(net->n_hidden, 16);
    layers->output.n_hidden = layers->n_hidden;
    layers->output.n_layer = net->output.n_layer - 1;
    layers->output.gradient_scale = 1;
    return FRX_OK;
}

void frx_layers_layout(struct frx_layers *layers, int n_rep, struct frx_arena *arena) {
    const struct frx_network *net = layers->system->network;
    const size_t n_bead = (size_t)layers->system->n_bead, n_row = n_bead * n_rep;
    const int F = layers->n_filter, H = layers->n_hidden;
    for (int l = 0; l < layers->n_interaction; l++) {
        frx_gpu_dense_layout(&layers->interaction[l].lin1, H, F, arena);
        frx_gpu_dense_layout(&layers->interaction[l].lin2, F, H, arena);
        frx_gpu_dense_layout(&layers->interaction[l].lin, H, H, arena);
    }
    int width = H;
    for (int k = 0; k < layers->output.n_layer; k++) {
        const int n_out = round_up(net->output.layer[k].n_out, 16);
        frx_gpu_dense_layout(&layers->output.layer[k], width, n_out, arena);
        width = n_out;
    }
    FRX_TAKE(arena, layers->last_weight, width);
    layers->output.last_weight = layers->last_weight;
    FRX_TAKE(arena, layers->m, n_row * F);
    FRX_TAKE(arena, layers->x, n_row * H);
    FRX_TAKE(arena, layers->gx, n_row * H);
    FRX_TAKE(arena, layers->embedding, (size_t)net->n_type * H);
    FRX_TAKE(arena, layers->type, n_bead);
}

/* What is not a matrix: the last layer's one channel, the embedding, the types. */
static enum frx_status upload_vectors(struct frx_layers *layers, int last_width) {
    const struct frx_network *net = layers->system->network;
    const struct frx_dense *last = &net->output.layer[net->output.n_layer - 1];
    const size_t H = (size_t)layers->n_hidden, n_embedding = (size_t)net->n_type * H;
    float *embedding = (float *)calloc(n_embedding + last_width, sizeof *embedding);
    if (!embedding) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for a copy of the embedding");
    float *weight = embedding + n_embedding;
    for (int c = 0; c < last->n_in; c++) weight[c] = (float)last->weight[c];
    for (size_t t = 0; t < (size_t)net->n_type; t++)
        for (int c = 0; c < net->n_hidden; c++)
            embedding[t * H + c] = (float)net->embedding[t * net->n_hidden + c];
    layers->output.last_bias = last->bias ? (float)last->bias[0] : 0.0f;
    layers->output.energy_scale = (float)net->scale;
    cudaError_t code =
        cudaMemcpy(layers->last_weight, weight, last_width * sizeof *weight, cudaMemcpyHostToDevice);
    if (code == cudaSuccess)
        code =
            cudaMemcpy(layers->embedding, embedding, n_embedding * sizeof *embedding, cudaMemcpyHostToDevice);
    if (code == cudaSuccess)
        code = cudaMemcpy(layers->type, layers->system->beads.type, layers->system->n_bead * sizeof(int32_t),
                          cudaMemcpyHostToDevice);
    free(embedding);
    return frx_cuda_status(code, "embedding", __FILE__, __LINE__);
}

enum frx_status frx_layers_upload(struct frx_layers *layers) {
    const struct frx_network *net = layers->system->network;
    FRX_TRY(frx_dense_prepare(layers->n_filter, layers->n_hidden, &layers->output, &layers->device));
    for (int l = 0; l < layers->n_interaction; l++) {
        FRX_TRY(frx_gpu_dense_upload(&layers->interaction[l].lin1, &net->interaction[l].lin1));
        FRX_TRY(frx_gpu_dense_upload(&layers->interaction[l].lin2, &net->interaction[l].lin2));
        FRX_TRY(frx_gpu_dense_upload(&layers->interaction[l].lin, &net->interaction[l].lin));
    }
    int width = layers->n_hidden;
    for (int k = 0; k < layers->output.n_layer; k++) {
        FRX_TRY(frx_gpu_dense_upload(&layers->output.layer[k], &net->output.layer[k]));
        width = layers->output.layer[k].n_out;
    }
    return upload_vectors(layers, width);
}

void frx_layers_first_features(const struct frx_layers *layers, float *h) {
    const struct frx_network *net = layers->system->network;
    const struct frx_dense *lin1 = &net->interaction[0].lin1;
    for (int i = 0; i < layers->system->n_bead; i++)
        for (int c = 0; c < layers->n_filter; c++) {
            const double *x = net->embedding + (size_t)layers->system->beads.type[i] * net->n_hidden;
            double sum = 0;
            for (int k = 0; c < lin1->n_out && k < lin1->n_in; k++)
                sum += lin1->weight[(size_t)c * lin1->n_in + k] * x[k];
            h[(size_t)i * layers->n_filter + c] = (float)sum;
        }
}

template <typename real>
enum frx_status frx_layers_forward(const struct frx_layers *layers, int l, int n_rep, real *slope,
                                   real *h_next, cudaStream_t stream) {
    const int n_bead = layers->system->n_bead;
    struct frx_dense_forward<real> forward = {
        n_rep *n_bead, n_bead, layers->n_filter, layers->n_hidden, layers->m, layers->interaction[l].lin2,
            layers->interaction[l].lin, {}, l == 0 ? layers->embedding : NULL, layers->type, layers->x, slope,
            h_next
    };
    if (h_next) forward.next_lin1 = layers->interaction[l + 1].lin1;
    return frx_dense_forward_launch(&layers->device, &forward, stream);
}

enum frx_status frx_layers_output(const struct frx_layers *layers, int n_rep, float *bead_energy, int exact,
                                  cudaStream_t stream) {
    struct frx_output_network output = layers->output;
    output.n_row = n_rep * layers->system->n_bead;
    output.x = layers->x;
    output.gx = layers->gx;
    output.bead_energy = bead_energy;
    return frx_output_launch(&layers->device, &output, exact, stream);
}

template <typename real>
enum frx_status frx_layers_backward(const struct frx_layers *layers, int l, int n_rep, const real *slope,
                                    real *g, cudaStream_t stream) {
    const int last = l == layers->n_interaction - 1;
    struct frx_dense_backward<real> backward = {
        n_rep * layers->system->n_bead, layers->n_filter, layers->n_hidden, last ? NULL : layers->m, slope,
            layers->interaction[l].lin2, layers->interaction[l].lin, {}, layers->gx, g
    };
    if (!last) backward.next_lin1 = layers->interaction[l + 1].lin1;
    return frx_dense_backward_launch(&layers->device, &backward, stream);
}

template enum frx_status frx_layers_forward(const struct frx_layers *, int, int, half *, half *,
                                            cudaStream_t);
template enum frx_status frx_layers_forward(const struct frx_layers *, int, int, float *, float *,
                                            cudaStream_t);
template enum frx_status frx_layers_backward(const struct frx_layers *, int, int, const half *, half *,
                                             cudaStream_t);
template enum frx_status frx_layers_backward(const struct frx_layers *, int, int, const float *, float *,
                                             cudaStream_t);
