/* The network in mixed precision: 16-bit tables, features and weights, float accumulation, on tensor cores.
 *
 * This file owns the arrays and the order of the launches; the kernels and the whole scheme are described in
 * mixed.h and mixed_messages.cu. Nothing that depends on a pair of beads and a channel is ever stored; per
 * pair there is its coordinate in the list and one float, the slope dE/ds.
 *
 * 16-bit numbers: features as they are; coefficients of a channel over a power of two (exact to undo);
 * gradients times one power of two, chosen at upload so that the largest gradient at the first starting
 * structure is about 16: four decades of room above, five below before halves lose digits. */
#include "layers.h"
#include "mixed.h"
#include "mixed_pack.h"
#include "network.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct layer_arrays { /* of one interaction, device */
    half *h;          /* [R][N][F]; first interaction: [N][F], the same for all replicas */
    half *slope;      /* [R][N][H] */
    half *table[2];   /* of W and of dW/ds (mixed_pack.h) */
    half *mean;       /* of tiles of the first */
    float *scale[2];  /* [F] */
};

struct frx_mixed_network {
    struct frx_gpu_network base;
    const struct frx_system *system;
    struct frx_filter_tiles tiles;
    int slope_stride;
    struct frx_layers layers;
    struct layer_arrays layer[FRX_MAX_INTERACTION];
    struct frx_edge_pass pass;
    int n_block_slopes;
    half *g;            /* [R][N][F] */
    float *slopes;      /* [R][N][slope_stride] */
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
    n->slope_stride = frx_round_up(system->n_bead + 1, 32); /* column N takes what padding gives */
    const double tolerance = options->table_tolerance > 0 ? options->table_tolerance : FRX_TILE_TOLERANCE;
    const double contact = system->n_bead > 1 ? 0.5 * closest_pair(system) : 0.5 * net->r_cut;
    enum frx_status status = frx_layers_init(system, padded_filter(net->n_filter), &n->layers);
    if (status == FRX_OK)
        status = frx_filter_tiles_create(system, fmin(contact, 0.5 * net->r_cut), tolerance, &n->tiles);
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

static void mixed_layout(struct frx_gpu_network *network, struct frx_arena *arena) {
    struct frx_mixed_network *n = mixed_of(network);
    const size_t n_bead = network->n_bead, n_row = n_bead * network->n_rep;
    const int F = n->layers.n_filter, H = n->layers.n_hidden;
    struct frx_pair_list *list = &n->pass.list;
    const size_t padding = 15 * (n->tiles.n_tile < (int)n_bead ? n->tiles.n_tile : n_bead);
    list->capacity = frx_round_up((int)(n_bead - 1 + padding), 16);
    FRX_TAKE(arena, list->coordinate, n_row * list->capacity);
    FRX_TAKE(arena, list->neighbour, n_row * list->capacity);
    FRX_TAKE(arena, list->tile_end, n_row * FRX_TILE_MAX);
    frx_layers_layout(&n->layers, network->n_rep, arena);
    for (int l = 0; l < n->layers.n_interaction; l++) {
        struct layer_arrays *layer = &n->layer[l];
        FRX_TAKE(arena, layer->h, (l ? n_row : n_bead) * F);
        FRX_TAKE(arena, layer->slope, n_row * H);
        FRX_TAKE(arena, layer->mean, (size_t)n->tiles.n_tile * F);
        for (int order = 0; order < 2; order++) {
            FRX_TAKE(arena, layer->table[order], (size_t)n->tiles.n_tile * FRX_TILE_KNOT * F);
            FRX_TAKE(arena, layer->scale[order], F);
        }
    }
    FRX_TAKE(arena, n->g, n_row * F);
    FRX_TAKE(arena, n->slopes, n_row * n->slope_stride);
    FRX_TAKE(arena, n->calibration, 6 * n_bead);
}

/* ---- upload ---- */

static enum frx_status copy_in(void *device, const void *host, size_t bytes) {
    FRX_CUDA(cudaMemcpy(device, host, bytes, cudaMemcpyHostToDevice));
    return FRX_OK;
}

static enum frx_status upload_tables(struct frx_mixed_network *n) {
    const int F = n->layers.n_filter;
    const size_t n_table = (size_t)n->tiles.n_tile * FRX_TILE_KNOT * F;
    float *scale = (float *)malloc(sizeof(float) * F + sizeof(half) * n_table);
    if (!scale) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for a copy of the filter tables");
    half *table = (half *)(scale + F);
    enum frx_status status = FRX_OK;
    for (int k = 0; k < 2 * n->layers.n_interaction && status == FRX_OK; k++) {
        const int l = k / 2, order = k % 2;
        frx_pack_scales(&n->tiles, l, order, F, scale);
        frx_pack_tiles(&n->tiles, l, order, F, n->pass.slice, scale, table);
        status = copy_in(n->layer[l].scale[order], scale, sizeof(float) * F);
        if (status == FRX_OK) status = copy_in(n->layer[l].table[order], table, sizeof(half) * n_table);
        if (status != FRX_OK || order > 0) continue;
        frx_pack_means(&n->tiles, l, F, n->pass.slice, scale, table);
        status = copy_in(n->layer[l].mean, table, sizeof(half) * n_table / FRX_TILE_KNOT);
    }
    free(scale);
    return status;
}

static enum frx_status upload_first_features(struct frx_mixed_network *n) {
    const size_t count = (size_t)n->base.n_bead * n->layers.n_filter;
    float *h = (float *)malloc(sizeof(float) * count + sizeof(half) * count);
    if (!h) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for the first features");
    half *rounded = (half *)(h + count);
    frx_layers_first_features(&n->layers, h);
    for (size_t k = 0; k < count; k++) rounded[k] = __float2half(h[k]);
    const enum frx_status status = copy_in(n->layer[0].h, rounded, sizeof(half) * count);
    free(h);
    return status;
}

/* Slice width, block size and number of blocks from what this device's multiprocessors hold: two blocks of 8
 * warps if they fit, one of 16 otherwise, narrower slices for large molecules. None of it changes a result.
 */
static enum frx_status choose_shape(struct frx_mixed_network *n) {
    int device = 0, n_sm = 0, n_resident = 0;
    size_t limit, per_sm;
    FRX_CUDA(cudaGetDevice(&device));
    FRX_CUDA(cudaDeviceGetAttribute(&n_sm, cudaDevAttrMultiProcessorCount, device));
    FRX_TRY(frx_device_shared_memory(&limit, &per_sm));
    struct frx_edge_pass *pass = &n->pass;
    pass->n_rep = n->base.n_rep;
    pass->n_bead = n->base.n_bead;
    pass->n_tile = n->tiles.n_tile;
    pass->n_filter = n->layers.n_filter;
    for (pass->slice = n->layers.n_filter < 128 ? n->layers.n_filter : 128; pass->slice >= 32;
         pass->slice /= 2) {
        for (pass->n_thread = 256; pass->n_thread <= 512; pass->n_thread *= 2) {
            pass->shared_bytes =
                frx_edge_pass_shared(pass->n_bead, pass->slice, pass->n_tile, pass->n_thread);
            const int blocks = 512 / pass->n_thread;
            if (pass->shared_bytes <= limit && blocks * (pass->shared_bytes + 2048) <= per_sm) {
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
static enum frx_status calibrate(struct frx_mixed_network *n, cudaStream_t stream) {
    const size_t n_coordinate = 3 * (size_t)n->base.n_bead;
    float *x = (float *)malloc(sizeof(float) * n_coordinate);
    if (!x) return FRX_FAIL(FRX_ERR_MEMORY, "no memory to calibrate gradients");
    for (size_t k = 0; k < n_coordinate; k++) x[k] = (float)n->system->structures[k];
    const enum frx_status status = copy_in(n->calibration, x, sizeof(float) * n_coordinate);
    free(x);
    FRX_TRY(status);
    n->layers.output.gradient_scale = 1;
    for (int round = 0; round < 3; round++) {
        float largest = 0;
        FRX_TRY(evaluate(n, 1, n->calibration, n->calibration + 3 * n->base.n_bead, NULL, &largest, NULL,
                         stream));
        if (largest > 0 && isfinite(largest))
            n->layers.output.gradient_scale *= exp2f(rintf(log2f(16 / largest)));
        else
            n->layers.output.gradient_scale *= largest > 0 ? exp2f(-10) : exp2f(10);
    }
    return FRX_OK;
}

static enum frx_status mixed_upload(struct frx_gpu_network *network, cudaStream_t stream) {
    struct frx_mixed_network *n = mixed_of(network);
    FRX_TRY(choose_shape(n));
    FRX_TRY(frx_layers_upload(&n->layers));
    FRX_TRY(upload_tables(n));
    FRX_TRY(upload_first_features(n));
    /* the assembly of forces fetches pairs beyond the cutoff too, before it drops them */
    FRX_CUDA(cudaMemset(n->slopes, 0, sizeof(float) * n->base.n_rep * n->base.n_bead * n->slope_stride));
    FRX_CUDA(cudaStreamSynchronize(NULL)); /* a copy may return before it arrives */
    return calibrate(n, stream);
}

/* ---- evaluation ---- */

/* Largest |g| of one replica, on the host: only for calibration. */
static enum frx_status note_gradient(struct frx_mixed_network *n, float *largest, cudaStream_t stream) {
    const size_t count = (size_t)n->base.n_bead * n->layers.n_filter;
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
    const int L = n->layers.n_interaction, n_bead = n->base.n_bead;
    float *m = n->layers.m;
    const int64_t stride = (int64_t)n_bead * n->layers.n_filter;
    struct frx_edge_pass pass = n->pass, slopes = n->pass;
    pass.n_rep = slopes.n_rep = n_rep;
    slopes.n_block = n->n_block_slopes;
    FRX_TRY(frx_pair_list_launch(&pass.list, &n->tiles.map, pass.n_tile, n_rep, n_bead, positions, stream));
    FRX_TRY(frx_timer_mark(timer, FRX_STAGE_NEIGHBOURS, stream));
    for (int l = 0; l < L; l++) {
        struct layer_arrays *layer = &n->layer[l];
        pass.features = layer->h;
        pass.feature_stride = l ? stride : 0;
        FRX_TRY(frx_messages_launch(&pass, layer->table[0], layer->mean, layer->scale[0], m, stream));
        FRX_TRY(frx_timer_mark(timer, FRX_STAGE_MESSAGES, stream));
        FRX_TRY(frx_layers_forward(&n->layers, l, n_rep, layer->slope, l + 1 < L ? n->layer[l + 1].h : NULL,
                                   stream));
        FRX_TRY(frx_timer_mark(timer, FRX_STAGE_DENSE, stream));
    }
    FRX_TRY(frx_layers_output(&n->layers, n_rep, bead_energy, 0, stream));
    for (int l = L - 1; l >= 0; l--) { /* messages(g) of the interaction above left dE/dh in m */
        struct layer_arrays *layer = &n->layer[l];
        FRX_TRY(frx_layers_backward(&n->layers, l, n_rep, (const half *)layer->slope, n->g, stream));
        FRX_TRY(frx_timer_mark(timer, FRX_STAGE_DENSE, stream));
        if (largest_gradient) FRX_TRY(note_gradient(n, largest_gradient, stream));
        slopes.features = layer->h;
        slopes.feature_stride = l ? stride : 0;
        FRX_TRY(frx_pair_slopes_launch(&slopes, layer->table[1], layer->scale[1], n->g, l < L - 1, n->slopes,
                                       n->slope_stride, stream));
        if (l > 0) {
            pass.features = n->g;
            pass.feature_stride = stride;
            FRX_TRY(frx_messages_launch(&pass, layer->table[0], layer->mean, layer->scale[0], m, stream));
        }
        FRX_TRY(frx_timer_mark(timer, FRX_STAGE_MESSAGES, stream));
    }
    FRX_TRY(frx_pair_forces_launch(&n->tiles.map, n_rep, n_bead, positions, n->slopes, n->slope_stride,
                                   1 / n->layers.output.gradient_scale, forces, stream));
    return frx_timer_mark(timer, FRX_STAGE_MESSAGES, stream);
}

static enum frx_status mixed_forces(struct frx_gpu_network *network, const float *positions, float *forces,
                                    float *bead_energy, struct frx_timer *timer, cudaStream_t stream) {
    return evaluate(mixed_of(network), network->n_rep, positions, forces, bead_energy, NULL, timer, stream);
}

const struct frx_network_ops frx_network_mixed = {"mixed precision", mixed_create, mixed_layout,
                                                  mixed_upload,      mixed_forces, NULL,
                                                  mixed_host_bytes,  mixed_destroy};
