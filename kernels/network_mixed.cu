/* The network in mixed precision: 16-bit tables, features and weights, float accumulation, on tensor cores.
 *
 * This file owns the arrays and the order of the launches; the kernels and the whole scheme are described in
 * mixed.h and mixed_messages.cu. Nothing that depends on a pair of beads and a channel is ever stored; per
 * pair there is its coordinate in the list and one float, the slope dE/ds.
 *
 * 16-bit numbers: features as they are; coefficients of a channel over a power of two (exact to undo);
 * gradients times one power of two, chosen at upload so that the largest gradient at the first starting
 * structure is about 16: four decades of room above, five below before halves lose digits. */
#include "mixed.h"
#include "mixed_pack.h"
#include "network.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { max_interaction = 16 };

struct layer_arrays { /* of one interaction, device */
    struct frx_mixed_dense lin1, lin2, lin;
    half *h;         /* [R][N][F]; first interaction: [N][F], the same for all replicas */
    half *slope;     /* [R][N][H] */
    half *table[2];  /* of W and of dW/ds (mixed_pack.h) */
    float *scale[2]; /* [F] */
};

struct frx_mixed_network {
    struct frx_gpu_network base;
    const struct frx_system *system;
    struct frx_filter_tiles tiles;
    int n_filter, n_hidden, n_interaction; /* padded widths */
    int slope_stride;
    struct frx_output_network output;
    struct layer_arrays layer[max_interaction];
    struct frx_edge_pass pass;
    int n_block_slopes;
    float *m;         /* [R][N][F] */
    half *g;          /* [R][N][F] */
    float *x, *gx;    /* [R][N][H] */
    float *slopes;    /* [R][N][slope_stride] */
    float *embedding; /* [n_type][H] */
    int32_t *type;    /* [N] */
    float *last_weight;
    float *calibration; /* [2][N][3]: positions and forces of one replica */
};

static struct frx_mixed_network *mixed_of(struct frx_gpu_network *network) {
    return (struct frx_mixed_network *)network;
}

static int padded_filter(int n) {
    return n <= 32 ? 32 : n <= 64 ? 64 : frx_round_up(n, 128);
}

/* ---- host side ---- */

static double closest_pair(const struct frx_system *system) {
    double closest = INFINITY;
    for (int s = 0; s < system->n_structure; s++) {
        const double *x = system->structures + (size_t)s * system->n_bead * 3;
        for (int i = 0; i < system->n_bead; i++)
            for (int j = 0; j < i; j++) {
                double r2 = 0;
                for (int d = 0; d < 3; d++) r2 += pow(x[3 * i + d] - x[3 * j + d], 2);
                closest = fmin(closest, r2);
            }
    }
    return sqrt(closest);
}

static void mixed_destroy(struct frx_gpu_network *network) {
    if (!network) return;
    frx_filter_tiles_clear(&mixed_of(network)->tiles);
    free(network);
}

static enum frx_status mixed_create(const struct frx_system *system, const struct frx_engine_options *options,
                                    struct frx_gpu_network **network) {
    const struct frx_network *net = system->network;
    const int n_hidden_output = net->output.n_layer - 1;
    if (net->n_interaction > max_interaction || n_hidden_output > FRX_MIXED_MAX_OUTPUT)
        return FRX_FAIL(FRX_ERR_UNSUPPORTED,
                        "mixed precision has room for %d interactions and %d output layers, the network "
                        "has %d and %d: use single precision",
                        max_interaction, FRX_MIXED_MAX_OUTPUT + 1, net->n_interaction, net->output.n_layer);
    if (system->n_bead > 4000)
        return FRX_FAIL(FRX_ERR_UNSUPPORTED,
                        "mixed precision is limited to 4000 beads, the system has %d: use single "
                        "precision",
                        system->n_bead);
    struct frx_mixed_network *n = (struct frx_mixed_network *)calloc(1, sizeof *n);
    if (!n) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for the network");
    n->base.ops = &frx_network_mixed;
    n->base.n_rep = options->n_rep;
    n->base.n_bead = system->n_bead;
    n->system = system;
    n->n_interaction = net->n_interaction;
    n->n_filter = padded_filter(net->n_filter);
    n->n_hidden = frx_round_up(net->n_hidden, 16);
    n->slope_stride = frx_round_up(system->n_bead + 1, 32); /* column N takes what padding gives */
    const double tolerance = options->table_tolerance > 0 ? options->table_tolerance : FRX_TILE_TOLERANCE;
    const double contact = system->n_bead > 1 ? 0.5 * closest_pair(system) : 0.5 * net->r_cut;
    const enum frx_status status =
        frx_filter_tiles_create(system, fmin(contact, 0.5 * net->r_cut), tolerance, &n->tiles);
    if (status != FRX_OK) {
        mixed_destroy(&n->base);
        return status;
    }
    n->base.n_knot = FRX_TILE_INTERVAL * n->tiles.n_tile + 1;
    n->base.table_error_value = n->tiles.error_value;
    n->base.table_error_slope = n->tiles.error_slope;
    *network = &n->base;
    return FRX_OK;
}

static size_t mixed_host_bytes(const struct frx_gpu_network *network) {
    const struct frx_filter_tiles *t = &((const struct frx_mixed_network *)network)->tiles;
    return sizeof(struct frx_mixed_network) +
           sizeof(double) * t->n_interaction * (size_t)(FRX_TILE_INTERVAL * t->n_tile + 3) * t->n_filter;
}

/* ---- device arrays ---- */

static void layout_dense(struct frx_mixed_dense *dense, struct frx_arena *arena, int n_in, int n_out) {
    dense->n_in = n_in;
    dense->n_out = n_out;
    FRX_TAKE(arena, dense->weight, (size_t)n_in * n_out / 4);
    FRX_TAKE(arena, dense->transposed, (size_t)n_in * n_out / 4);
    FRX_TAKE(arena, dense->bias, n_out);
}

static void mixed_layout(struct frx_gpu_network *network, struct frx_arena *arena) {
    struct frx_mixed_network *n = mixed_of(network);
    const struct frx_network *net = n->system->network;
    const size_t n_bead = network->n_bead, n_row = n_bead * network->n_rep;
    const int F = n->n_filter, H = n->n_hidden;
    struct frx_pair_list *list = &n->pass.list;
    const size_t padding = 15 * (n->tiles.n_tile < (int)n_bead ? n->tiles.n_tile : n_bead);
    list->capacity = frx_round_up((int)(n_bead - 1 + padding), 16);
    FRX_TAKE(arena, list->coordinate, n_row * list->capacity);
    FRX_TAKE(arena, list->neighbour, n_row * list->capacity);
    FRX_TAKE(arena, list->tile_end, n_row * FRX_TILE_MAX);
    for (int l = 0; l < n->n_interaction; l++) {
        struct layer_arrays *layer = &n->layer[l];
        layout_dense(&layer->lin1, arena, H, F);
        layout_dense(&layer->lin2, arena, F, H);
        layout_dense(&layer->lin, arena, H, H);
        FRX_TAKE(arena, layer->h, (l ? n_row : n_bead) * F);
        FRX_TAKE(arena, layer->slope, n_row * H);
        for (int order = 0; order < 2; order++) {
            FRX_TAKE(arena, layer->table[order], (size_t)n->tiles.n_tile * FRX_TILE_KNOT * F);
            FRX_TAKE(arena, layer->scale[order], F);
        }
    }
    n->output.n_layer = net->output.n_layer - 1;
    int width = H;
    for (int k = 0; k < n->output.n_layer; k++) {
        const int n_out = frx_round_up(net->output.layer[k].n_out, 16);
        layout_dense(&n->output.layer[k], arena, width, n_out);
        width = n_out;
    }
    FRX_TAKE(arena, n->last_weight, width);
    n->output.last_weight = n->last_weight;
    FRX_TAKE(arena, n->m, n_row * F);
    FRX_TAKE(arena, n->g, n_row * F);
    FRX_TAKE(arena, n->x, n_row * H);
    FRX_TAKE(arena, n->gx, n_row * H);
    FRX_TAKE(arena, n->slopes, n_row * n->slope_stride);
    FRX_TAKE(arena, n->embedding, (size_t)net->n_type * H);
    FRX_TAKE(arena, n->type, n_bead);
    FRX_TAKE(arena, n->calibration, 6 * n_bead);
}

/* ---- upload ---- */

static enum frx_status copy_in(void *device, const void *host, size_t bytes) {
    FRX_CUDA(cudaMemcpy(device, host, bytes, cudaMemcpyHostToDevice));
    return FRX_OK;
}

/* scratch: room for the widest array of halves or floats */
static enum frx_status upload_dense(const struct frx_mixed_dense *dense, const struct frx_dense *source,
                                    void *scratch) {
    const size_t bytes = 2 * sizeof(half) * dense->n_in * dense->n_out; /* high and low */
    frx_pack_dense(source, 0, dense->n_in, dense->n_out, (half *)scratch);
    FRX_TRY(copy_in((void *)dense->weight, scratch, bytes));
    frx_pack_dense(source, 1, dense->n_out, dense->n_in, (half *)scratch);
    FRX_TRY(copy_in((void *)dense->transposed, scratch, bytes));
    frx_pack_bias(source, dense->n_out, (float *)scratch);
    return copy_in((void *)dense->bias, scratch, sizeof(float) * dense->n_out);
}

/* h of the first interaction: W1 embedding[type], constant. */
static enum frx_status upload_first_features(struct frx_mixed_network *n, half *scratch) {
    const struct frx_network *net = n->system->network;
    const struct frx_dense *lin1 = &net->interaction[0].lin1;
    for (int i = 0; i < n->base.n_bead; i++)
        for (int c = 0; c < n->n_filter; c++) {
            const double *x = net->embedding + (size_t)n->system->beads.type[i] * net->n_hidden;
            double sum = 0;
            for (int k = 0; c < lin1->n_out && k < lin1->n_in; k++)
                sum += lin1->weight[(size_t)c * lin1->n_in + k] * x[k];
            scratch[(size_t)i * n->n_filter + c] = __float2half((float)sum);
        }
    return copy_in(n->layer[0].h, scratch, sizeof(half) * n->base.n_bead * n->n_filter);
}

static enum frx_status upload_weights(struct frx_mixed_network *n, void *scratch) {
    const struct frx_network *net = n->system->network;
    const int F = n->n_filter, H = n->n_hidden;
    for (int l = 0; l < n->n_interaction; l++) {
        struct layer_arrays *layer = &n->layer[l];
        FRX_TRY(upload_dense(&layer->lin1, &net->interaction[l].lin1, scratch));
        FRX_TRY(upload_dense(&layer->lin2, &net->interaction[l].lin2, scratch));
        FRX_TRY(upload_dense(&layer->lin, &net->interaction[l].lin, scratch));
        for (int order = 0; order < 2; order++) {
            float *scale = (float *)scratch;
            half *table = (half *)(scale + F);
            frx_pack_scales(&n->tiles, l, order, F, scale);
            frx_pack_tiles(&n->tiles, l, order, F, n->pass.slice, scale, table);
            FRX_TRY(copy_in(layer->scale[order], scale, sizeof(float) * F));
            FRX_TRY(copy_in(layer->table[order], table, sizeof(half) * n->tiles.n_tile * FRX_TILE_KNOT * F));
        }
    }
    for (int k = 0; k < n->output.n_layer; k++)
        FRX_TRY(upload_dense(&n->output.layer[k], &net->output.layer[k], scratch));
    const struct frx_dense *last = &net->output.layer[net->output.n_layer - 1];
    const int width = n->output.n_layer ? n->output.layer[n->output.n_layer - 1].n_out : H;
    float *floats = (float *)scratch;
    for (int c = 0; c < width; c++) floats[c] = c < last->n_in ? (float)last->weight[c] : 0.0f;
    FRX_TRY(copy_in(n->last_weight, floats, sizeof(float) * width));
    n->output.last_bias = last->bias ? (float)last->bias[0] : 0.0f;
    n->output.energy_scale = (float)net->scale;
    for (int t = 0; t < net->n_type; t++)
        for (int c = 0; c < H; c++)
            floats[(size_t)t * H + c] =
                c < net->n_hidden ? (float)net->embedding[(size_t)t * net->n_hidden + c] : 0.0f;
    FRX_TRY(copy_in(n->embedding, floats, sizeof(float) * net->n_type * H));
    FRX_TRY(copy_in(n->type, n->system->beads.type, sizeof(int32_t) * n->base.n_bead));
    return upload_first_features(n, (half *)scratch);
}

/* Slice width, block size and number of blocks from what this device's multiprocessors hold: two blocks of 8
 * warps if they fit, one of 16 otherwise, narrower slices for large molecules. None of it changes a result.
 */
static enum frx_status choose_shape(struct frx_mixed_network *n) {
    int device = 0, n_sm = 0, per_sm = 0, n_resident = 0;
    size_t limit = 0;
    FRX_CUDA(cudaGetDevice(&device));
    FRX_CUDA(cudaDeviceGetAttribute(&n_sm, cudaDevAttrMultiProcessorCount, device));
    FRX_CUDA(cudaDeviceGetAttribute(&per_sm, cudaDevAttrMaxSharedMemoryPerMultiprocessor, device));
    FRX_TRY(frx_device_shared_limit(&limit));
    struct frx_edge_pass *pass = &n->pass;
    pass->n_rep = n->base.n_rep;
    pass->n_bead = n->base.n_bead;
    pass->n_tile = n->tiles.n_tile;
    pass->n_filter = n->n_filter;
    for (pass->slice = n->n_filter < 128 ? n->n_filter : 128; pass->slice >= 32; pass->slice /= 2) {
        for (pass->n_thread = 256; pass->n_thread <= 512; pass->n_thread *= 2) {
            pass->shared_bytes =
                frx_edge_pass_shared(pass->n_bead, pass->slice, pass->n_tile, pass->n_thread);
            const int blocks = 512 / pass->n_thread;
            if (pass->shared_bytes <= limit && blocks * (pass->shared_bytes + 2048) <= (size_t)per_sm) {
                FRX_TRY(frx_edge_pass_prepare(pass->slice, pass->n_thread, pass->shared_bytes, &n_resident));
                const int wave = n_sm * n_resident, n_slice = pass->n_filter / pass->slice;
                const int useful = (int)(((size_t)pass->n_rep * pass->n_bead + pass->n_thread / 32 - 1) /
                                         (pass->n_thread / 32));
                const int messages = wave / n_slice > 0 ? wave / n_slice : 1;
                pass->n_block = messages < useful ? messages : useful;
                n->n_block_slopes = wave < useful ? wave : useful;
                return FRX_OK;
            }
        }
    }
    return FRX_FAIL(FRX_ERR_UNSUPPORTED,
                    "%d beads need more shared memory per block than the %zu bytes of this GPU in mixed "
                    "precision: use single precision",
                    pass->n_bead, limit);
}

static enum frx_status evaluate(struct frx_mixed_network *n, int n_rep, const float *positions, float *forces,
                                float *bead_energy, float *largest_gradient, struct frx_timer *timer,
                                cudaStream_t stream);

/* Choose the factor of the gradients: a power of two that brings the largest g at the first structure
 * near 16. */
static enum frx_status calibrate(struct frx_mixed_network *n, float *scratch, cudaStream_t stream) {
    for (int k = 0; k < 3 * n->base.n_bead; k++) scratch[k] = (float)n->system->structures[k];
    FRX_TRY(copy_in(n->calibration, scratch, sizeof(float) * 3 * n->base.n_bead));
    n->output.gradient_scale = 1;
    for (int round = 0; round < 3; round++) {
        float largest = 0;
        FRX_TRY(evaluate(n, 1, n->calibration, n->calibration + 3 * n->base.n_bead, NULL, &largest, NULL,
                         stream));
        if (largest > 0 && isfinite(largest))
            n->output.gradient_scale *= exp2f(rintf(log2f(16 / largest)));
        else
            n->output.gradient_scale *= largest > 0 ? exp2f(-10) : exp2f(10);
    }
    return FRX_OK;
}

static enum frx_status mixed_upload(struct frx_gpu_network *network, cudaStream_t stream) {
    struct frx_mixed_network *n = mixed_of(network);
    const struct frx_network *net = n->system->network;
    FRX_TRY(choose_shape(n));
    int widest = 16;
    for (int k = 0; k < n->output.n_layer; k++)
        widest = widest > n->output.layer[k].n_out ? widest : n->output.layer[k].n_out;
    n->output.n_hidden = n->n_hidden;
    FRX_TRY(frx_mixed_dense_prepare(n->n_filter, n->n_hidden, &n->output));
    const size_t wide = n->n_filter > n->n_hidden ? n->n_filter : n->n_hidden;
    size_t rows =
        wide > (size_t)widest ? wide : widest; /* of the tallest matrix that passes through scratch */
    rows = rows > (size_t)net->n_type ? rows : net->n_type;
    rows = rows > (size_t)network->n_bead ? rows : network->n_bead;
    const size_t tables = (size_t)n->n_filter * (FRX_TILE_KNOT * n->tiles.n_tile + 2);
    void *scratch = malloc(sizeof(float) * (rows * (wide > (size_t)widest ? wide : widest) + tables));
    if (!scratch) return FRX_FAIL(FRX_ERR_MEMORY, "no host memory to pack the network");
    enum frx_status status = upload_weights(n, scratch);
    if (status == FRX_OK) status = calibrate(n, (float *)scratch, stream);
    free(scratch);
    return status;
}

/* ---- evaluation ---- */

/* Largest |g| of one replica, on the host: only for calibration. */
static enum frx_status note_gradient(struct frx_mixed_network *n, float *largest, cudaStream_t stream) {
    const size_t count = (size_t)n->base.n_bead * n->n_filter;
    half *g = (half *)malloc(sizeof(half) * count);
    if (!g) return FRX_FAIL(FRX_ERR_MEMORY, "no host memory to calibrate gradients");
    cudaError_t code = cudaStreamSynchronize(stream);
    if (code == cudaSuccess) code = cudaMemcpy(g, n->g, sizeof(half) * count, cudaMemcpyDeviceToHost);
    for (size_t k = 0; code == cudaSuccess && k < count; k++) {
        const float size = fabsf(__half2float(g[k]));
        if (!(size <= *largest)) *largest = size;
    }
    free(g);
    return frx_cuda_status(code, "reading gradients", __FILE__, __LINE__);
}

static enum frx_status evaluate(struct frx_mixed_network *n, int n_rep, const float *positions, float *forces,
                                float *bead_energy, float *largest_gradient, struct frx_timer *timer,
                                cudaStream_t stream) {
    const int L = n->n_interaction, n_bead = n->base.n_bead, n_row = n_rep * n_bead;
    const int64_t stride = (int64_t)n_bead * n->n_filter;
    struct frx_edge_pass pass = n->pass, slopes = n->pass;
    pass.n_rep = slopes.n_rep = n_rep;
    slopes.n_block = n->n_block_slopes;
    FRX_TRY(frx_pair_list_launch(&pass.list, &n->tiles.map, pass.n_tile, n_rep, n_bead, positions, stream));
    FRX_TRY(frx_timer_mark(timer, FRX_STAGE_NEIGHBOURS, stream));
    for (int l = 0; l < L; l++) {
        struct layer_arrays *layer = &n->layer[l];
        pass.features = layer->h;
        pass.feature_stride = l ? stride : 0;
        FRX_TRY(frx_messages_launch(&pass, layer->table[0], layer->scale[0], n->m, stream));
        FRX_TRY(frx_timer_mark(timer, FRX_STAGE_MESSAGES, stream));
        struct frx_dense_forward forward = {n_row,       n_bead,       n->n_filter, n->n_hidden, n->m,
                                            layer->lin2, layer->lin,   {},          NULL,        n->type,
                                            n->x,        layer->slope, NULL};
        if (l == 0) forward.embedding = n->embedding;
        if (l + 1 < L) {
            forward.next_lin1 = n->layer[l + 1].lin1;
            forward.h = n->layer[l + 1].h;
        }
        FRX_TRY(frx_dense_forward_launch(&forward, stream));
        FRX_TRY(frx_timer_mark(timer, FRX_STAGE_DENSE, stream));
    }
    struct frx_output_network output = n->output;
    output.n_row = n_row;
    output.n_hidden = n->n_hidden;
    output.x = n->x;
    output.gx = n->gx;
    output.bead_energy = bead_energy;
    FRX_TRY(frx_output_launch(&output, stream));
    for (int l = L - 1; l >= 0; l--) {
        struct layer_arrays *layer = &n->layer[l];
        struct frx_dense_backward backward = {n_row,       n->n_filter, n->n_hidden, NULL,  layer->slope,
                                              layer->lin2, layer->lin,  {},          n->gx, n->g};
        if (l + 1 < L) { /* messages(g) of the interaction above left dE/dh in m */
            backward.dh = n->m;
            backward.next_lin1 = n->layer[l + 1].lin1;
        }
        FRX_TRY(frx_dense_backward_launch(&backward, stream));
        FRX_TRY(frx_timer_mark(timer, FRX_STAGE_DENSE, stream));
        if (largest_gradient) FRX_TRY(note_gradient(n, largest_gradient, stream));
        slopes.features = layer->h;
        slopes.feature_stride = l ? stride : 0;
        FRX_TRY(frx_pair_slopes_launch(&slopes, layer->table[1], layer->scale[1], n->g, l < L - 1, n->slopes,
                                       n->slope_stride, stream));
        if (l > 0) {
            pass.features = n->g;
            pass.feature_stride = stride;
            FRX_TRY(frx_messages_launch(&pass, layer->table[0], layer->scale[0], n->m, stream));
        }
        FRX_TRY(frx_timer_mark(timer, FRX_STAGE_MESSAGES, stream));
    }
    FRX_TRY(frx_pair_forces_launch(&n->tiles.map, n_rep, n_bead, positions, n->slopes, n->slope_stride,
                                   1 / n->output.gradient_scale, forces, stream));
    return frx_timer_mark(timer, FRX_STAGE_MESSAGES, stream);
}

static enum frx_status mixed_forces(struct frx_gpu_network *network, const float *positions, float *forces,
                                    float *bead_energy, struct frx_timer *timer, cudaStream_t stream) {
    return evaluate(mixed_of(network), network->n_rep, positions, forces, bead_energy, NULL, timer, stream);
}

const struct frx_network_ops frx_network_mixed = {"mixed precision", mixed_create, mixed_layout,
                                                  mixed_upload,      mixed_forces, mixed_host_bytes,
                                                  mixed_destroy};
