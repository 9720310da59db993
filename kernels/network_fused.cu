/* The network of a small molecule inside the kernel that makes whole steps (fused.h): the products of its
 * layers, and its weights in the order of use. */
#include "fused_program.h"

#include <cuda_fp16.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct frx_fused *fused_of(struct frx_gpu_network *network) {
    return (struct frx_fused *)network;
}

/* ---- the layers ---- */

/* The layer of the output network that the k-th hidden one is; if there is none, the last layer takes its
 * place, without tanh. */
static const struct frx_dense *output_layer(const struct frx_fused *f, int k) {
    return &f->system->network->output.layer[k];
}

/* The layer that reads x for h of interaction l, or for the output network. */
static const struct frx_dense *reader(const struct frx_fused *f, int l) {
    const struct frx_network *net = f->system->network;
    return l < net->n_interaction ? &net->interaction[l].lin1 : output_layer(f, 0);
}

/* The root mean square length of a row, to the nearest power of two. */
static double row_length(const struct frx_dense *dense) {
    double sum = 0;
    for (size_t k = 0; k < (size_t)dense->n_out * dense->n_in; k++)
        sum += dense->weight[k] * dense->weight[k];
    return sum > 0 ? exp2(round(log2(sqrt(sum / dense->n_out)))) : 1;
}

/* Operands are halves, which messages and gradients must not outgrow, nor become too small for. A network may
 * have them anywhere, because s h_l, B_l / s are the same as h_l, B_l: here rows of W1_l and B_l are brought
 * to lengths near 1, and filters make up for both. */
static void balance(struct frx_fused *f) {
    for (int l = 0; l < f->args.n_interaction; l++) {
        const struct frx_interaction *interaction = &f->system->network->interaction[l];
        f->h_scale[l] = 1 / row_length(&interaction->lin1);
        f->message_scale[l] = row_length(&interaction->lin2);
    }
}

static double filter_scale(const struct frx_fused *f, int l) {
    return f->message_scale[l] / f->h_scale[l];
}

/* How much larger what reader(l) makes is than in the network. */
static double reader_scale(const struct frx_fused *f, int l) {
    return l < f->args.n_interaction ? f->h_scale[l] : 1;
}

/* to [rows][n_in], from (row, column) on: C_lk = reader(l) A_k, or its transpose. */
static void add_composite(const struct frx_fused *f, int l, int k, int transpose, int row, int column,
                          int n_in, double *to) {
    const struct frx_dense *read = reader(f, l), *lin = &f->system->network->interaction[k].lin;
    for (int r = 0; r < read->n_out; r++) {
        double line[FRX_FUSED_MAX_WIDTH] = {};
        for (int h = 0; h < lin->n_out; h++) {
            const double w = reader_scale(f, l) * read->weight[(size_t)r * read->n_in + h];
            for (int c = 0; c < lin->n_in; c++) line[c] += w * lin->weight[(size_t)h * lin->n_in + c];
        }
        for (int c = 0; c < lin->n_in; c++)
            to[(size_t)(row + (transpose ? c : r)) * n_in + column + (transpose ? r : c)] = line[c];
    }
}

static void copy_dense(const struct frx_dense *dense, double scale, int transpose, int n_in, double *to) {
    for (int r = 0; r < dense->n_out; r++)
        for (int c = 0; c < dense->n_in; c++)
            to[(size_t)(transpose ? c : r) * n_in + (transpose ? r : c)] =
                scale * dense->weight[(size_t)r * dense->n_in + c];
}

/* [n_out][n_in], zero before */
static void matrix_of(const struct frx_fused *f, const struct frx_fused_product *p, double *to) {
    const struct frx_network *net = f->system->network;
    const int n_interaction = net->n_interaction;
    switch (p->kind) {
    case PRODUCT_LIN2:
    case PRODUCT_LIN2_BACK:
        copy_dense(&net->interaction[p->k].lin2, 1 / f->message_scale[p->k], p->kind == PRODUCT_LIN2_BACK,
                   p->n_in, to);
        break;
    case PRODUCT_OUTPUT:
    case PRODUCT_OUTPUT_BACK:
        copy_dense(output_layer(f, p->k), 1, p->kind == PRODUCT_OUTPUT_BACK, p->n_in, to);
        break;
    case PRODUCT_MIX:
        for (int k = 0; k < p->k; k++) add_composite(f, p->k, k, 0, 0, k * f->hidden, p->n_in, to);
        break;
    default:
        for (int l = n_interaction; l > p->k; l--)
            add_composite(f, l, p->k, 1, 0,
                          l == n_interaction ? 0 : f->output_width[0] + (n_interaction - 1 - l) * f->filter,
                          p->n_in, to);
    }
}

/* ---- life ---- */

static void fused_destroy(struct frx_gpu_network *network) {
    if (!network) return;
    frx_filter_table_clear(&fused_of(network)->table);
    free(network);
}

/* The power of two that brings a number to [64, 128): far from where halves end, on both sides. */
static double power_of_two_for(double largest) {
    return largest > 0 ? exp2(6 - floor(log2(largest))) : 1;
}

/* The last layer's gradient by its input is brought near 4, from where it can grow 10,000 times. */
static float gradient_scale(const struct frx_network *net) {
    const struct frx_dense *last = &net->output.layer[net->output.n_layer - 1];
    double largest = net->output.n_layer > 1 ? 0 : fabs(net->scale);
    for (int k = 0; k < last->n_in && net->output.n_layer > 1; k++)
        largest = fmax(largest, fabs(net->scale * last->weight[k]));
    return largest > 0 ? (float)exp2(2 - floor(log2(largest))) : 1.0f;
}

/* Values of a spline lie between its coefficients, slopes between their differences times the density. */
static void scale_filters(struct frx_fused *f) {
    const struct frx_filter_table *table = &f->table;
    struct frx_fused_args *args = &f->args;
    double density = 0;
    for (int s = 0; s < table->grid.n_segment; s++) density = fmax(density, table->grid.segment[s].density);
    for (int l = 0; l < table->n_interaction; l++) {
        const size_t n = (size_t)table->grid.n_row * table->n_filter;
        const double *c = table->coefficient + l * n;
        double value = 0, slope = 0;
        for (size_t k = 0; k < n; k++) {
            value = fmax(value, fabs(c[k]));
            if (k >= (size_t)table->n_filter)
                slope = fmax(slope, density * fabs(c[k] - c[k - table->n_filter]));
        }
        args->value_scale[l] = (float)power_of_two_for(filter_scale(f, l) * value);
        args->slope_scale[l] = (float)power_of_two_for(filter_scale(f, l) * slope);
        args->slope_unscale[l] = 1 / args->slope_scale[l];
    }
    for (struct frx_fused_phase *phase = args->phase; phase < args->phase + FRX_FUSED_MAX_PHASE; phase++)
        phase->value_unscale = 1 / args->value_scale[phase->layer];
}

static enum frx_status fused_create(const struct frx_system *system, const struct frx_engine_options *options,
                                    struct frx_gpu_network **network) {
    const struct frx_network *net = system->network;
    struct frx_fused *f = (struct frx_fused *)calloc(1, sizeof *f);
    if (!f) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for the network");
    const int exact = options->precision == FRX_PRECISION_SINGLE;
    f->base.ops = exact ? &frx_network_fused_single : &frx_network_fused_mixed;
    f->base.n_rep = options->n_rep;
    f->base.n_bead = system->n_bead;
    const enum frx_status status =
        frx_fused_describe(f, system, exact)
            ? frx_filter_table_create(
                  net, options->table_tolerance > 0 ? options->table_tolerance : FRX_FILTER_TOLERANCE_SINGLE,
                  &f->table)
            : FRX_FAIL(FRX_ERR_UNSUPPORTED, "a network too large for steps in one kernel");
    if (status != FRX_OK) {
        fused_destroy(&f->base);
        return status;
    }
    f->base.n_knot = f->table.grid.n_row;
    f->base.table_error_value = f->table.error_value;
    f->base.table_error_slope = f->table.error_slope;
    struct frx_fused_args *args = &f->args;
    const struct frx_dense *last = &net->output.layer[net->output.n_layer - 1];
    const float factor = gradient_scale(net);
    args->grid = f->table.grid;
    args->last_bias = last->bias && net->output.n_layer > 1 ? (float)last->bias[0] : 0.0f;
    args->energy_scale = (float)net->scale;
    args->seed = args->energy_scale * factor;
    args->force_scale = 1 / factor;
    balance(f);
    scale_filters(f);
    *network = &f->base;
    return FRX_OK;
}

static size_t fused_host_bytes(const struct frx_gpu_network *network) {
    const struct frx_filter_table *t = &((const struct frx_fused *)network)->table;
    return sizeof(struct frx_fused) + sizeof(double) * t->n_interaction * (size_t)t->grid.n_row * t->n_filter;
}

/* Scratch memory is that of the worst case, because the device is not known yet. */
static void fused_layout(struct frx_gpu_network *network, struct frx_arena *arena) {
    struct frx_fused *f = fused_of(network);
    const struct frx_fused_args *args = &f->args;
    (void)frx_fused_lay_out(f, 0);
    FRX_TAKE(arena, f->d_weight, f->n_weight);
    FRX_TAKE(arena, f->d_constant, args->n_constant);
    FRX_TAKE(arena, f->d_table, (size_t)args->n_interaction * args->grid.n_row * args->n_filter);
    FRX_TAKE(arena, f->d_h_first, (size_t)args->n_bead * args->n_filter);
    FRX_TAKE(arena, f->d_scratch, (size_t)f->base.n_rep * args->layout.scratch_words);
}

/* ---- upload ---- */

/* Piece by piece, as multiply_batch takes them (fused_dense.cuh). */
static void pack_product(const struct frx_fused_program *program, const struct frx_fused_phase *phase,
                         int n_in, const double *matrix, double scale, int warp, half *to) {
    const int passes = frx_fused_n_pass(program, phase), tiles = phase->tiles / passes;
    const int n_unit = n_in / 16 * tiles / 2;
    for (int u = 0; u < passes * n_unit; u++)
        for (int part = 0; part < 1 + program->exact; part++)
            for (int lane = 0; lane < 32; lane++)
                for (int k = 0; k < 8; k++) {
                    const int pair = 2 * (u % n_unit) + k / 4, step = pair / tiles;
                    const int tile = u / n_unit * tiles + pair % tiles;
                    const int out = 8 * (phase->tiles * warp + tile) + lane / 4,
                              in = 16 * step + 2 * (lane % 4) + 8 * (k / 2 % 2) + k % 2;
                    const double value = scale * matrix[(size_t)out * n_in + in];
                    const half high = __float2half_rn((float)value);
                    *to++ = part == 0 ? high : __float2half_rn((float)(value - (double)__half2float(high)));
                }
}

static enum frx_status pack_weights(struct frx_fused *f, half *to) {
    enum { n_half = 32 * 8 }; /* in a piece */
    for (int p = 0; p < f->args.n_program; p++) {
        const struct frx_fused_program *program = &f->args.program[p];
        const size_t stream = (size_t)n_half * (program->n_piece + program->n_first);
        half *start = to + 8 * (size_t)program->weight;
        size_t done = 0;
        for (int k = 0; k < f->n_product; k++) {
            const struct frx_fused_product *product = &f->product[k];
            struct frx_fused_phase *phase = &f->args.phase[product->phase];
            if (product->phase < program->first || product->phase >= program->first + program->n_phase)
                continue;
            const size_t n = (size_t)product->n_out * product->n_in;
            double *matrix = (double *)calloc(n, sizeof *matrix), largest = 0;
            if (!matrix) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for a layer");
            matrix_of(f, product, matrix);
            for (size_t i = 0; i < n; i++) largest = fmax(largest, fabs(matrix[i]));
            const double scale = power_of_two_for(largest);
            phase->unscale = (float)(1 / scale);
            for (int w = 0; w < FRX_FUSED_DENSE; w++)
                pack_product(program, phase, product->n_in, matrix, scale, w, start + w * stream + done);
            done += (size_t)n_half * phase->n_piece;
            free(matrix);
        }
        for (int w = 0; w < FRX_FUSED_DENSE; w++)
            memcpy(start + w * stream + done, start + w * stream,
                   (size_t)n_half * program->n_first * sizeof *to);
    }
    return FRX_OK;
}

static void copy_bias(const struct frx_dense *dense, float *to) {
    for (int c = 0; c < dense->n_out && dense->bias; c++) to[c] = (float)dense->bias[c];
}

/* reader(l) (x_0 + sum_{k<l} a_k) and the reader's own bias, of a bead. */
static void base_features(const struct frx_fused *f, int l, int bead, float *to) {
    const struct frx_network *net = f->system->network;
    const struct frx_dense *read = reader(f, l);
    for (int r = 0; r < read->n_out; r++) {
        double sum = read->bias ? read->bias[r] : 0;
        for (int h = 0; h < net->n_hidden; h++) {
            double x = net->embedding[(size_t)f->system->beads.type[bead] * net->n_hidden + h];
            for (int k = 0; k < l; k++)
                x += net->interaction[k].lin.bias ? net->interaction[k].lin.bias[h] : 0;
            sum += read->weight[(size_t)r * read->n_in + h] * x;
        }
        to[r] = (float)(reader_scale(f, l) * sum);
    }
}

static void pack_constants(const struct frx_fused *f, float *constant, float *h_first) {
    const struct frx_network *net = f->system->network;
    const int n_interaction = net->n_interaction;
    for (int l = 0; l < n_interaction; l++) copy_bias(&net->interaction[l].lin2, constant + f->bias_lin2[l]);
    for (int i = 0; i < f->args.n_bead; i++) {
        base_features(f, 0, i, h_first + (size_t)i * f->filter);
        for (int l = 1; l <= n_interaction; l++)
            base_features(f, l, i,
                          constant + f->base_of[l] +
                              (size_t)i * (l < n_interaction ? f->filter : f->output_width[0]));
    }
    for (int k = 1; k < f->n_hidden_layer; k++) copy_bias(output_layer(f, k), constant + f->bias_output[k]);
    const struct frx_dense *last = output_layer(f, net->output.n_layer - 1);
    float *weight = constant + f->args.last_weight;
    if (net->output.n_layer == 1)
        weight[0] = 1;
    else
        for (int c = 0; c < last->n_in; c++) weight[c] = (float)last->weight[c];
}

static void pack_table(const struct frx_fused *f, float *to) {
    const struct frx_filter_table *table = &f->table;
    for (size_t row = 0; row < (size_t)table->n_interaction * table->grid.n_row; row++) {
        const double scale = filter_scale(f, (int)(row / table->grid.n_row));
        for (int c = 0; c < table->n_filter; c++)
            to[row * f->args.n_filter + c] = (float)(scale * table->coefficient[row * table->n_filter + c]);
    }
}

static enum frx_status copy_all(struct frx_fused *f, float *host) {
    const struct frx_fused_args *args = &f->args;
    const size_t n_table = (size_t)args->n_interaction * args->grid.n_row * args->n_filter,
                 n_h = (size_t)args->n_bead * args->n_filter;
    float *table = host + 4 * f->n_weight, *constant = table + n_table, *h = constant + args->n_constant;
    FRX_TRY(pack_weights(f, (half *)host));
    pack_table(f, table);
    pack_constants(f, constant, h);
    FRX_CUDA(cudaMemcpy(f->d_weight, host, f->n_weight * sizeof *f->d_weight, cudaMemcpyHostToDevice));
    FRX_CUDA(cudaMemcpy(f->d_table, table, n_table * sizeof *table, cudaMemcpyHostToDevice));
    FRX_CUDA(
        cudaMemcpy(f->d_constant, constant, args->n_constant * sizeof *constant, cudaMemcpyHostToDevice));
    FRX_CUDA(cudaMemcpy(f->d_h_first, h, n_h * sizeof *h, cudaMemcpyHostToDevice));
    return FRX_OK;
}

static enum frx_status fused_upload(struct frx_gpu_network *network, cudaStream_t stream) {
    struct frx_fused *f = fused_of(network);
    struct frx_fused_args *args = &f->args;
    size_t limit, all;
    (void)stream;
    FRX_TRY(frx_device_shared_memory(&limit, &all));
    const size_t needed = frx_fused_lay_out(f, limit);
    if (needed > limit)
        return FRX_FAIL(FRX_ERR_UNSUPPORTED, "a step in one kernel needs %zu bytes of shared memory, not %zu",
                        needed, limit);
    FRX_TRY(frx_fused_prepare(args));
    float *host =
        (float *)calloc(4 * f->n_weight + (size_t)args->n_interaction * args->grid.n_row * args->n_filter +
                            args->n_constant + (size_t)args->n_bead * args->n_filter,
                        sizeof *host);
    if (!host) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for a copy of the network");
    const enum frx_status status = copy_all(f, host);
    free(host);
    args->weight = f->d_weight;
    args->table = f->d_table;
    args->constant = f->d_constant;
    args->h_first = f->d_h_first;
    args->scratch = f->d_scratch;
    return status;
}

static enum frx_status fused_steps(struct frx_gpu_network *network, const struct frx_gpu_state *state,
                                   const struct frx_gpu_prior *prior, const struct frx_integrator *integrator,
                                   int n_step, int with_energy, cudaStream_t stream) {
    return frx_fused_launch(&fused_of(network)->args, state, prior, integrator, n_step, with_energy, stream);
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
