/* The network of a small molecule inside the kernel that makes whole steps (fused.h): its program of phases,
 * its weights in the order of use, and the choice of a shape for the device. */
#include "fused.h"
#include "network.h"

#include <cuda_fp16.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A dense layer of the program. */
struct product {
    const struct frx_dense *dense;
    int transpose, phase;
};

struct fused {
    struct frx_gpu_network base;
    const struct frx_system *system;
    struct frx_filter_table table;
    int exact_backward, n_product, n_kept, n_place;
    struct product product[FRX_FUSED_MAX_PHASE];
    struct frx_fused_shape shape;
    struct frx_fused_args args;
    /* the same arrays as in args, to be filled */
    float *d_table, *d_constant, *d_embedding, *d_h_first, *d_scratch;
    uint8_t *d_pair;
    uint4 *d_weight;
};

static struct fused *fused_of(struct frx_gpu_network *network) {
    return (struct fused *)network;
}

static int padded(int width) {
    return (width + FRX_FUSED_WIDTH - 1) / FRX_FUSED_WIDTH * FRX_FUSED_WIDTH;
}

int frx_fused_takes(const struct frx_system *system) {
    const struct frx_network *net = system->network;
    if (!net || system->n_bead > FRX_FUSED_MAX_BEAD || net->n_interaction > FRX_FUSED_MAX_LAYER ||
        net->output.n_layer - 1 > FRX_FUSED_MAX_OUTPUT || padded(net->n_hidden) > FRX_FUSED_MAX_WIDTH ||
        padded(net->n_filter) > FRX_FUSED_MAX_WIDTH)
        return 0;
    for (int k = 0; k < net->output.n_layer - 1; k++)
        if (padded(net->output.layer[k].n_out) > FRX_FUSED_MAX_WIDTH) return 0;
    return 1;
}

/* ---- the program ---- */

static struct frx_fused_phase *add_phase(struct fused *f, enum frx_fused_task task, int layer) {
    struct frx_fused_phase *phase = &f->args.phase[f->args.n_phase++];
    *phase = {};
    phase->task = (uint8_t)task;
    phase->layer = (uint8_t)layer;
    phase->unscale = 1;
    phase->n_part = 1;
    return phase;
}

/* The power of two that brings the largest weight to [64, 128): far from where halves end, on both sides. */
static double weight_scale(const struct frx_dense *dense) {
    double largest = 0;
    for (int k = 0; k < dense->n_in * dense->n_out; k++) largest = fmax(largest, fabs(dense->weight[k]));
    return largest > 0 ? exp2(6 - floor(log2(largest))) : 1;
}

/* Whether a tile (all steps or a piece of them) falls to warp w: steps begin .. begin + n. */
static int share_of(const struct frx_fused_phase *phase, int w, int tile, int *begin, int *n) {
    *n = phase->n_step / phase->n_part;
    *begin = phase->n_part > 1 ? w / phase->n_tile * *n : 0;
    return phase->n_part > 1 ? w % phase->n_tile == tile && w / phase->n_tile < phase->n_part
                             : tile % FRX_FUSED_DENSE == w;
}

static struct frx_fused_phase *add_product(struct fused *f, enum frx_fused_task task, int layer,
                                           const struct frx_dense *dense, int transpose) {
    struct frx_fused_phase *phase = add_phase(f, task, layer);
    const int n_in = padded(transpose ? dense->n_out : dense->n_in),
              n_out = padded(transpose ? dense->n_in : dense->n_out);
    f->product[f->n_product++] = {dense, transpose, f->args.n_phase - 1};
    phase->n_tile = (uint8_t)(n_out / 16 / f->shape.cluster);
    phase->n_step = (uint8_t)(n_in / 16);
    /* a piece has at least one step, because n_step is a multiple of 4 */
    phase->n_part = phase->n_tile > FRX_FUSED_DENSE / 2 ? 1 : phase->n_tile > FRX_FUSED_DENSE / 4 ? 2 : 4;
    phase->exact = !transpose || f->exact_backward;
    phase->local = task == FRX_FUSED_FEATURES || task == FRX_FUSED_G;
    phase->unscale = (float)(1 / weight_scale(dense));
    if (!transpose && task != FRX_FUSED_FEATURES) {
        phase->bias = f->args.n_constant;
        f->args.n_constant += n_out / f->shape.cluster;
    }
    return phase;
}

static void build_forward(struct fused *f) {
    const struct frx_network *net = f->system->network;
    const int n_interaction = net->n_interaction, own_hidden = f->args.n_hidden / f->shape.cluster;
    for (int l = 0; l < n_interaction; l++) {
        const struct frx_interaction *interaction = &net->interaction[l];
        const int last = l == n_interaction - 1;
        add_phase(f, FRX_FUSED_MESSAGES, l);
        struct frx_fused_phase *phase = add_product(f, FRX_FUSED_TANH, l, &interaction->lin2, 0);
        phase->kept = l * own_hidden;
        phase->side = last ? FRX_FUSED_TERMS : FRX_FUSED_FILL_BEGIN;
        phase->side_layer = (uint8_t)(l + 1);
        phase = add_product(f, l == 0 ? FRX_FUSED_FIRST_X : FRX_FUSED_ADD_X, l, &interaction->lin, 0);
        phase->side = last ? FRX_FUSED_BEADS : FRX_FUSED_FILL_END;
        phase->side_layer = (uint8_t)(l + 1);
        if (!last) add_product(f, FRX_FUSED_FEATURES, l + 1, &net->interaction[l + 1].lin1, 0);
    }
}

static void build_output(struct fused *f) {
    const struct frx_mlp *output = &f->system->network->output;
    const int last = output->n_layer - 2; /* hidden layer */
    int32_t kept[FRX_FUSED_MAX_OUTPUT];
    f->n_kept = f->args.n_interaction * f->args.n_hidden / f->shape.cluster;
    for (int k = 0; k <= last; k++) {
        add_product(f, k == last ? FRX_FUSED_LAST : FRX_FUSED_TANH, 0, &output->layer[k], 0)->kept = kept[k] =
            f->n_kept;
        f->n_kept += padded(output->layer[k].n_out) / f->shape.cluster;
    }
    if (last < 0) {
        struct frx_fused_phase *phase = add_phase(f, FRX_FUSED_ENERGY_OF_X, 0);
        phase->side = FRX_FUSED_ENERGY;
        phase->local = 1;
        add_phase(f, FRX_FUSED_GRADIENT, 0);
    }
    for (int k = last; k >= 0; k--) {
        struct frx_fused_phase *phase =
            add_product(f, k > 0 ? FRX_FUSED_SLOPE : FRX_FUSED_SET_GRADIENT, 0, &output->layer[k], 1);
        if (k > 0) phase->kept = kept[k - 1];
        if (k == last) phase->side = FRX_FUSED_ENERGY;
    }
    f->args.last_weight = f->args.n_constant;
    f->args.n_constant += padded(output->layer[output->n_layer - 1].n_in) / f->shape.cluster;
}

static void build_backward(struct fused *f) {
    const struct frx_network *net = f->system->network;
    const int n_interaction = net->n_interaction, own_hidden = f->args.n_hidden / f->shape.cluster;
    for (int l = n_interaction - 1; l >= 0; l--) {
        const struct frx_interaction *interaction = &net->interaction[l];
        const int last = l == n_interaction - 1; /* its filters are still there */
        struct frx_fused_phase *phase = add_product(f, FRX_FUSED_SLOPE, l, &interaction->lin, 1);
        phase->kept = l * own_hidden;
        phase->side = last ? FRX_FUSED_NOISE : FRX_FUSED_FILL_BEGIN;
        phase->side_layer = (uint8_t)l;
        phase = add_product(f, FRX_FUSED_G, l, &interaction->lin2, 1);
        phase->side = last ? 0 : FRX_FUSED_FILL_END;
        phase->side_layer = (uint8_t)l;
        add_phase(f, FRX_FUSED_BACKWARD, l);
        if (l == 0) continue;
        phase = add_product(f, FRX_FUSED_ADD_GRADIENT, l, &interaction->lin1, 1);
        phase->side = FRX_FUSED_SLOPES;
        phase->side_layer = (uint8_t)l;
    }
}

/* Phases, and how long every warp's stream of weights is, for the present shape. */
static void build(struct fused *f) {
    struct frx_fused_args *args = &f->args;
    args->n_phase = f->n_product = args->n_constant = 0;
    build_forward(f);
    build_output(f);
    build_backward(f);
    args->stream_size = 0;
    for (int w = 0; w < FRX_FUSED_DENSE; w++) {
        args->n_piece[w] = 0;
        for (int k = 0; k < f->n_product; k++) {
            const struct frx_fused_phase *phase = &args->phase[f->product[k].phase];
            int begin, n;
            for (int tile = 0; tile < phase->n_tile; tile++) {
                if (!share_of(phase, w, tile, &begin, &n)) continue;
                args->n_piece[w] += (1 + phase->exact) * n;
            }
        }
        args->stream_begin[w] = args->stream_size;
        args->stream_size += 32 * (uint32_t)(args->n_piece[w] + f->shape.depth);
    }
}

/* ---- life ---- */

static void fused_destroy(struct frx_gpu_network *network) {
    if (!network) return;
    frx_filter_table_clear(&fused_of(network)->table);
    free(network);
}

static int count_places(const struct frx_system *system) {
    int n = 0;
    for (int p = 0; p < system->n_prior; p++)
        if (system->prior[p].form != FRX_FORM_REPULSION)
            n += system->prior[p].n_term * system->prior[p].order;
    return n;
}

/* The last layer's gradient by its input is brought near 4, from where it can grow 10,000 times. */
static float gradient_scale(const struct frx_network *net) {
    const struct frx_dense *last = &net->output.layer[net->output.n_layer - 1];
    double largest = 0;
    for (int k = 0; k < last->n_in; k++) largest = fmax(largest, fabs(net->scale * last->weight[k]));
    return largest > 0 ? (float)exp2(2 - floor(log2(largest))) : 1.0f;
}

static enum frx_status fused_create(const struct frx_system *system, const struct frx_engine_options *options,
                                    struct frx_gpu_network **network) {
    const struct frx_network *net = system->network;
    struct fused *f = (struct fused *)calloc(1, sizeof *f);
    if (!f) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for the network");
    const int exact = options->precision == FRX_PRECISION_SINGLE;
    f->base.ops = exact ? &frx_network_fused_single : &frx_network_fused_mixed;
    f->base.n_rep = options->n_rep;
    f->base.n_bead = system->n_bead;
    f->system = system;
    f->exact_backward = exact;
    f->n_place = count_places(system);
    const enum frx_status status = frx_filter_table_create(
        net, options->table_tolerance > 0 ? options->table_tolerance : FRX_FILTER_TOLERANCE_SINGLE,
        &f->table);
    if (status != FRX_OK) {
        fused_destroy(&f->base);
        return status;
    }
    f->base.n_knot = f->table.grid.n_row;
    f->base.table_error_value = f->table.error_value;
    f->base.table_error_slope = f->table.error_slope;
    struct frx_fused_args *args = &f->args;
    args->n_bead = system->n_bead;
    args->n_pair = FRX_FUSED_PAIR(system->n_bead);
    args->n_interaction = net->n_interaction;
    args->n_hidden = padded(net->n_hidden);
    args->n_filter = padded(net->n_filter);
    args->grid = f->table.grid;
    const struct frx_dense *last = &net->output.layer[net->output.n_layer - 1];
    args->last_bias = last->bias ? (float)last->bias[0] : 0.0f;
    args->energy_scale = (float)net->scale;
    args->gradient_scale = gradient_scale(net);
    *network = &f->base;
    return FRX_OK;
}

static size_t fused_host_bytes(const struct frx_gpu_network *network) {
    const struct frx_filter_table *t = &((const struct fused *)network)->table;
    return sizeof(struct fused) + sizeof(double) * t->n_interaction * (size_t)t->grid.n_row * t->n_filter;
}

/* ---- shapes ---- */

static const struct frx_fused_shape shapes[] = {{1, 1, 2, 12}, {1, 1, 2, 4}};
enum { n_shape = sizeof shapes / sizeof shapes[0] };

/* Build and lay out for a shape. Returns 0 if it does not fit. */
static int try_shape(struct fused *f, const struct frx_fused_shape *shape, size_t limit) {
    f->shape = *shape;
    if (f->shape.replicas * f->args.n_bead > 8 * f->shape.n_tile)
        f->shape.replicas = 8 * f->shape.n_tile / f->args.n_bead;
    if (f->shape.replicas < 1) return 0;
    f->args.replicas = f->shape.replicas;
    build(f);
    return frx_fused_plan(&f->shape, &f->args, f->n_kept, f->n_place, limit, &f->args.layout);
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

static int n_block(const struct fused *f) {
    return (f->base.n_rep + f->shape.replicas - 1) / f->shape.replicas * f->shape.cluster;
}

/* Sizes are those of the worst case, because the device is not known yet: any shape, and in scratch memory
 * all that can be. */
static void fused_layout(struct frx_gpu_network *network, struct frx_arena *arena) {
    struct fused *f = fused_of(network);
    const struct frx_fused_args *args = &f->args;
    size_t scratch = 0, stream = 0, constant = 0;
    for (int k = 0; k < n_shape; k++) {
        if (!try_shape(f, &shapes[k], SIZE_MAX)) continue; /* everything movable lies from x on */
        const size_t cluster = (size_t)f->shape.cluster,
                     movable = (size_t)(args->layout.shared_words - args->layout.x.word);
        scratch = larger(scratch, (size_t)n_block(f) * (movable + 8 * 32));
        stream = larger(stream, cluster * args->stream_size);
        constant = larger(constant, cluster * args->n_constant);
    }
    FRX_TAKE(arena, f->d_weight, stream);
    FRX_TAKE(arena, f->d_constant, constant);
    FRX_TAKE(arena, f->d_table, (size_t)args->n_interaction * args->grid.n_row * args->n_filter);
    FRX_TAKE(arena, f->d_embedding, (size_t)args->n_bead * args->n_hidden);
    FRX_TAKE(arena, f->d_h_first, (size_t)args->n_bead * args->n_filter);
    FRX_TAKE(arena, f->d_pair, 2 * (size_t)args->n_pair);
    FRX_TAKE(arena, f->d_scratch, scratch);
}

static enum frx_status choose_shape(struct fused *f) {
    int device, major;
    size_t limit, all;
    FRX_CUDA(cudaGetDevice(&device));
    FRX_CUDA(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
    FRX_TRY(frx_device_shared_memory(&limit, &all));
    for (int k = 0; k < n_shape; k++) {
        if (shapes[k].cluster > 1 && major < 9) continue;
        if (!try_shape(f, &shapes[k], limit)) continue;
        int n_cluster = 0;
        FRX_TRY(frx_fused_prepare(&f->shape, 4 * (size_t)f->args.layout.shared_words, &n_cluster));
        if (n_cluster > 0) return FRX_OK;
    }
    return FRX_FAIL(FRX_ERR_INTERNAL, "no shape of the fused kernel fits into %zu bytes of shared memory",
                    limit);
}

/* ---- upload ---- */

static double weight_at(const struct frx_dense *dense, int transpose, int out, int in) {
    const int row = transpose ? in : out, column = transpose ? out : in;
    if (row >= dense->n_out || column >= dense->n_in) return 0;
    return dense->weight[(size_t)row * dense->n_in + column];
}

/* 16 x 16 weights from (out, in) on as operand A (mma.cuh); returns what follows. */
static half *pack_unit(const struct product *product, double scale, int exact, int out, int in, half *to) {
    for (int part = 0; part < 1 + exact; part++)
        for (int lane = 0; lane < 32; lane++)
            for (int k = 0; k < 8; k++) {
                const int row = out + lane / 4 + 8 * (k / 2 % 2),
                          column = in + 2 * (lane % 4) + k % 2 + 8 * (k / 4);
                const double value = scale * weight_at(product->dense, product->transpose, row, column);
                const half high = __float2half_rn((float)value);
                *to++ = part == 0 ? high : __float2half_rn((float)(value - (double)__half2float(high)));
            }
    return to;
}

/* All products of one warp, then the first pieces again. */
static half *pack_stream(const struct fused *f, int rank, int w, half *to) {
    enum { n_half = 16 * 16 }; /* in a piece */
    const half *start = to;
    for (int k = 0; k < f->n_product; k++) {
        const struct product *product = &f->product[k];
        const struct frx_fused_phase *phase = &f->args.phase[product->phase];
        const double scale = weight_scale(product->dense);
        int begin, n;
        for (int step = 0; step < phase->n_step; step++)
            for (int tile = 0; tile < phase->n_tile; tile++)
                if (share_of(phase, w, tile, &begin, &n) && step >= begin && step < begin + n)
                    to = pack_unit(product, scale, phase->exact, 16 * (rank * phase->n_tile + tile),
                                   16 * step, to);
    }
    if (to > start) /* otherwise there is nothing to repeat, and nobody looks at it */
        for (int k = 0; k < f->shape.depth * n_half; k++) to[k] = start[k];
    return to + f->shape.depth * n_half;
}

static void pack_streams(const struct fused *f, half *to) {
    for (int rank = 0; rank < f->shape.cluster; rank++)
        for (int w = 0; w < FRX_FUSED_DENSE; w++) to = pack_stream(f, rank, w, to);
}

/* Every block's share of the biases and last weights. */
static void pack_constants(const struct fused *f, float *to) {
    const struct frx_mlp *output = &f->system->network->output;
    const struct frx_dense *last = &output->layer[output->n_layer - 1];
    for (int rank = 0; rank < f->shape.cluster; rank++, to += f->args.n_constant) {
        for (int k = 0; k < f->n_product; k++) {
            const struct product *product = &f->product[k];
            const struct frx_fused_phase *phase = &f->args.phase[product->phase];
            const int n = 16 * phase->n_tile;
            if (product->transpose || phase->task == FRX_FUSED_FEATURES || !product->dense->bias) continue;
            for (int c = 0; c < n && rank * n + c < product->dense->n_out; c++)
                to[phase->bias + c] = (float)product->dense->bias[rank * n + c];
        }
        const int n = f->args.n_constant - f->args.last_weight;
        for (int c = 0; c < n && rank * n + c < last->n_in; c++)
            to[f->args.last_weight + c] = (float)last->weight[rank * n + c];
    }
}

/* x and h = W1 x of the first interaction, rows of the beads. */
static void pack_first(const struct fused *f, float *embedding, float *h) {
    const struct frx_network *net = f->system->network;
    const struct frx_dense *lin1 = &net->interaction[0].lin1;
    for (int i = 0; i < f->args.n_bead; i++) {
        const double *x = net->embedding + (size_t)f->system->beads.type[i] * net->n_hidden;
        for (int c = 0; c < net->n_hidden; c++) embedding[i * f->args.n_hidden + c] = (float)x[c];
        for (int c = 0; c < net->n_filter; c++) {
            double sum = 0;
            for (int k = 0; k < net->n_hidden; k++) sum += lin1->weight[(size_t)c * net->n_hidden + k] * x[k];
            h[i * f->args.n_filter + c] = (float)sum;
        }
    }
}

static void pack_table(const struct fused *f, float *to) {
    const struct frx_filter_table *table = &f->table;
    for (size_t row = 0; row < (size_t)table->n_interaction * table->grid.n_row; row++)
        for (int c = 0; c < table->n_filter; c++)
            to[row * f->args.n_filter + c] = (float)table->coefficient[row * table->n_filter + c];
}

static enum frx_status fused_upload(struct frx_gpu_network *network, cudaStream_t stream) {
    struct fused *f = fused_of(network);
    struct frx_fused_args *args = &f->args;
    (void)stream;
    FRX_TRY(choose_shape(f));
    const size_t n_weight = (size_t)f->shape.cluster * args->stream_size,
                 n_table = (size_t)args->n_interaction * args->grid.n_row * args->n_filter,
                 n_constant = (size_t)f->shape.cluster * args->n_constant,
                 n_embedding = (size_t)args->n_bead * args->n_hidden,
                 n_h = (size_t)args->n_bead * args->n_filter;
    float *host = (float *)calloc(4 * n_weight + n_table + n_constant + n_embedding + n_h, sizeof *host);
    if (!host) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for a copy of the network");
    float *table = host + 4 * n_weight, *constant = table + n_table, *embedding = constant + n_constant,
          *h = embedding + n_embedding;
    uint8_t pair[2 * FRX_FUSED_PAIR(FRX_FUSED_MAX_BEAD)], *next = pair;
    pack_streams(f, (half *)host);
    pack_table(f, table);
    pack_constants(f, constant);
    pack_first(f, embedding, h);
    for (int i = 0; i < args->n_bead; i++)
        for (int j = i + 1; j < args->n_bead; j++) {
            *next++ = (uint8_t)i;
            *next++ = (uint8_t)j;
        }
    const struct {
        void *to;
        const void *from;
        size_t bytes;
    } copy[] = {{f->d_weight, host, n_weight * sizeof *f->d_weight},
                {f->d_table, table, n_table * sizeof(float)},
                {f->d_constant, constant, n_constant * sizeof(float)},
                {f->d_embedding, embedding, n_embedding * sizeof(float)},
                {f->d_h_first, h, n_h * sizeof(float)},
                {f->d_pair, pair, 2 * (size_t)args->n_pair}};
    enum frx_status status = FRX_OK;
    for (size_t k = 0; k < sizeof copy / sizeof copy[0] && status == FRX_OK; k++)
        status = frx_cuda_status(cudaMemcpy(copy[k].to, copy[k].from, copy[k].bytes, cudaMemcpyHostToDevice),
                                 "the network", __FILE__, __LINE__);
    free(host);
    args->weight = f->d_weight;
    args->table = f->d_table;
    args->constant = f->d_constant;
    args->embedding = f->d_embedding;
    args->h_first = f->d_h_first;
    args->pair = f->d_pair;
    args->scratch = f->d_scratch;
    return status;
}

static enum frx_status fused_steps(struct frx_gpu_network *network, const struct frx_gpu_state *state,
                                   const struct frx_gpu_prior *prior, const struct frx_integrator *integrator,
                                   int n_step, int with_energy, cudaStream_t stream) {
    const struct fused *f = fused_of(network);
    return frx_fused_launch(&f->shape, &f->args, state, prior, integrator, n_step, with_energy, stream);
}

const struct frx_network_ops frx_network_fused_single = {"single precision, steps in one kernel",
                                                         fused_create,
                                                         fused_layout,
                                                         fused_upload,
                                                         NULL,
                                                         fused_steps,
                                                         fused_host_bytes,
                                                         fused_destroy};
const struct frx_network_ops frx_network_fused_mixed = {"mixed precision, steps in one kernel",
                                                        fused_create,
                                                        fused_layout,
                                                        fused_upload,
                                                        NULL,
                                                        fused_steps,
                                                        fused_host_bytes,
                                                        fused_destroy};
