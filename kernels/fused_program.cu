/* The programs of a small molecule: phases, their operands, and whether all of it fits. */
#include "fused_program.h"

/* Shared memory that every supported card has for a block. */
#define LEAST_SHARED (99 * (size_t)1024)

/* 64, 128 or 256 channels */
static int padded(int width) {
    int n = FRX_FUSED_WIDTH;
    while (n < width) n *= 2;
    return n;
}

/* ---- the programs ---- */

static struct frx_fused_operand part_of(const struct frx_fused_array *array, int column) {
    return {16 * array->begin + 2 * column, 2 * array->width + 16};
}

/* The one that phases are being added to. */
static struct frx_fused_program *present_program(struct frx_fused *f) {
    return &f->args.program[f->args.n_program - 1];
}

static struct frx_fused_phase *add_phase(struct frx_fused *f, enum frx_fused_task task, int layer,
                                         int width) {
    struct frx_fused_program *program = present_program(f);
    struct frx_fused_phase *phase = &f->args.phase[program->first + program->n_phase++];
    *phase = {};
    phase->task = task;
    phase->layer = layer;
    phase->tiles = width / (8 * FRX_FUSED_DENSE);
    phase->unscale = 1;
    return phase;
}

static struct frx_fused_phase *add_product(struct frx_fused *f, enum frx_fused_task task, int layer,
                                           enum frx_fused_product_kind kind, int k, int n_out, int n_in) {
    struct frx_fused_phase *phase = add_phase(f, task, layer, n_out);
    phase->n_piece = n_in / 16 * phase->tiles / 2 * (1 + present_program(f)->exact);
    f->product[f->n_product++] = {kind, k, (int)(phase - f->args.phase), n_out, n_in};
    return phase;
}

static void add_forward(struct frx_fused *f) {
    const int n_interaction = f->args.n_interaction, last = f->n_hidden_layer - 1;
    add_phase(f, FRX_FUSED_MESSAGES, 0, f->filter)->out = part_of(&f->message, 0);
    for (int l = 0; l < n_interaction; l++) {
        struct frx_fused_phase *phase =
            add_product(f, FRX_FUSED_TANH, l, PRODUCT_LIN2, l, f->hidden, f->filter);
        phase->in = part_of(&f->message, 0);
        phase->out = part_of(&f->t, l * f->hidden);
        phase->bias = f->bias_lin2[l];
        if (l + 1 == n_interaction) break;
        phase = add_product(f, FRX_FUSED_FEATURES, l + 1, PRODUCT_MIX, l + 1, f->filter, (l + 1) * f->hidden);
        phase->in = part_of(&f->t, 0);
        phase->out = part_of(&f->message, 0);
        phase->bias = f->base_of[l + 1];
        phase->bias_stride = f->filter;
    }
    for (int k = 0; k <= last; k++) {
        const enum frx_fused_task task = k < last                                  ? FRX_FUSED_TANH
                                         : f->system->network->output.n_layer == 1 ? FRX_FUSED_LINEAR
                                                                                   : FRX_FUSED_LAST;
        struct frx_fused_phase *phase =
            k == 0 ? add_product(f, task, 0, PRODUCT_MIX, n_interaction, f->output_width[0],
                                 n_interaction * f->hidden)
                   : add_product(f, task, 0, PRODUCT_OUTPUT, k, f->output_width[k], f->output_width[k - 1]);
        phase->in = k == 0 ? part_of(&f->t, 0) : part_of(&f->y[k - 1], 0);
        phase->out = k < last    ? part_of(&f->y[k], 0)
                     : last == 0 ? part_of(&f->back, 0)
                                 : part_of(&f->u[k], 0);
        phase->other = part_of(&f->y[k], 0);
        phase->bias = k == 0 ? f->base_of[n_interaction] : f->bias_output[k];
        phase->bias_stride = k == 0 ? f->output_width[0] : 0;
    }
}

static void add_backward(struct frx_fused *f) {
    const int n_interaction = f->args.n_interaction;
    for (int k = f->n_hidden_layer - 1; k > 0; k--) {
        struct frx_fused_phase *phase = add_product(f, FRX_FUSED_SLOPE, 0, PRODUCT_OUTPUT_BACK, k,
                                                    f->output_width[k - 1], f->output_width[k]);
        phase->in = part_of(&f->u[k], 0);
        phase->out = k > 1 ? part_of(&f->u[k - 1], 0) : part_of(&f->back, 0);
        phase->other = part_of(&f->y[k - 1], 0);
    }
    for (int l = n_interaction - 1; l >= 0; l--) {
        const int n_in =
            f->output_width[0] + (n_interaction - 1 - l) * f->filter; /* so much of `back` is there */
        struct frx_fused_phase *phase =
            add_product(f, FRX_FUSED_SLOPE, l, PRODUCT_MIX_BACK, l, f->hidden, n_in);
        phase->in = part_of(&f->back, 0);
        phase->out = part_of(&f->to_lin2, 0);
        phase->other = part_of(&f->t, l * f->hidden);
        phase = add_product(f, FRX_FUSED_GRADIENT, l, PRODUCT_LIN2_BACK, l, f->filter, f->hidden);
        phase->in = part_of(&f->to_lin2, 0);
        if (l > 0) phase->out = part_of(&f->back, n_in);
    }
}

int frx_fused_n_pass(const struct frx_fused_program *program, const struct frx_fused_phase *phase) {
    return program->exact && phase->tiles == 4 ? 2 : 1;
}

static int first_batch(const struct frx_fused_program *program, const struct frx_fused_phase *phase) {
    return frx_fused_batch(phase->n_piece / frx_fused_n_pass(program, phase));
}

/* How a program's weights follow one another. */
static void link(struct frx_fused *f, struct frx_fused_program *program) {
    struct frx_fused_phase *before = NULL;
    program->n_piece = program->n_first = 0;
    for (int k = program->first; k < program->first + program->n_phase; k++) {
        struct frx_fused_phase *phase = &f->args.phase[k];
        if (phase->n_piece == 0) continue;
        program->n_piece += phase->n_piece;
        if (before)
            before->n_next = first_batch(program, phase);
        else
            program->n_first = first_batch(program, phase);
        before = phase;
    }
    if (before) before->n_next = program->n_first;
    program->weight = (uint32_t)f->n_weight;
    f->n_weight += (size_t)FRX_FUSED_DENSE * 32 * (program->n_piece + program->n_first);
}

static void add_program(struct frx_fused *f, int exact, int forces) {
    struct frx_fused_program *program = &f->args.program[f->args.n_program++];
    program->first = f->args.n_program > 1 ? f->args.program[0].n_phase : 0;
    program->exact = exact;
    add_forward(f);
    if (forces) add_backward(f);
    link(f, program);
}

/* ---- arrays ---- */

static struct frx_fused_array take(struct frx_fused *f, int width) {
    const struct frx_fused_array array = {f->operand_units, width};
    f->operand_units += f->args.n_bead * (width / 8 + 1);
    if (width > f->widest) f->widest = width;
    return array;
}

static int take_constants(struct frx_fused *f, int n) {
    const int begin = f->args.n_constant;
    f->args.n_constant += n;
    return begin;
}

static void lay_out_operands(struct frx_fused *f) {
    const int n_interaction = f->args.n_interaction;
    f->message = take(f, f->filter);
    f->t = take(f, n_interaction * f->hidden);
    f->back = take(f, f->output_width[0] + (n_interaction - 1) * f->filter);
    f->to_lin2 = take(f, f->hidden);
    for (int k = 0; k < f->n_hidden_layer; k++) {
        f->y[k] = take(f, f->output_width[k]);
        if (k > 0) f->u[k] = take(f, f->output_width[k]);
    }
    f->args.layout.zero = 16 * f->operand_units;
    f->operand_units += f->widest / 8 + 1;
    f->args.last = part_of(&f->y[f->n_hidden_layer - 1], 0);
}

static void lay_out_constants(struct frx_fused *f) {
    for (int l = 0; l < f->args.n_interaction; l++) f->bias_lin2[l] = take_constants(f, f->hidden);
    for (int l = 1; l <= f->args.n_interaction; l++)
        f->base_of[l] =
            take_constants(f, f->args.n_bead * (l < f->args.n_interaction ? f->filter : f->output_width[0]));
    for (int k = 1; k < f->n_hidden_layer; k++) f->bias_output[k] = take_constants(f, f->output_width[k]);
    f->args.last_weight = take_constants(f, f->args.last_width);
}

static int count_places(const struct frx_system *system) {
    int n = 0;
    for (int p = 0; p < system->n_prior; p++)
        if (system->prior[p].form != FRX_FORM_REPULSION)
            n += system->prior[p].n_term * system->prior[p].order;
    return n;
}

int frx_fused_describe(struct frx_fused *f, const struct frx_system *system, int exact_forces) {
    const struct frx_network *net = system->network;
    struct frx_fused_args *args = &f->args;
    const int n_hidden_layer = net->output.n_layer > 1 ? net->output.n_layer - 1 : 1;
    if (system->n_bead > FRX_FUSED_MAX_BEAD || net->n_interaction > FRX_FUSED_MAX_LAYER ||
        n_hidden_layer > FRX_FUSED_MAX_OUTPUT || net->n_hidden > FRX_FUSED_MAX_WIDTH ||
        net->n_filter > FRX_FUSED_MAX_WIDTH)
        return 0;
    f->system = system;
    f->exact_forces = exact_forces;
    f->n_place = count_places(system);
    f->n_hidden_layer = n_hidden_layer;
    f->hidden = padded(net->n_hidden);
    f->filter = padded(net->n_filter);
    for (int k = 0; k < n_hidden_layer; k++) {
        if (net->output.layer[k].n_out > FRX_FUSED_MAX_WIDTH) return 0;
        f->output_width[k] = padded(net->output.layer[k].n_out);
    }
    args->n_bead = system->n_bead;
    args->n_pair = FRX_FUSED_PAIR(system->n_bead);
    args->n_interaction = net->n_interaction;
    args->n_filter = f->filter;
    args->last_width = f->output_width[n_hidden_layer - 1];
    lay_out_operands(f);
    lay_out_constants(f);
    add_program(f, exact_forces, 1);
    if (!exact_forces) add_program(f, 1, 0);
    return 1;
}

size_t frx_fused_lay_out(struct frx_fused *f, size_t limit) {
    return frx_fused_plan(&f->args, f->operand_units, f->n_place, f->exact_forces, limit, &f->args.layout);
}

int frx_fused_takes(const struct frx_system *system) {
    struct frx_fused f = {};
    return system->network && frx_fused_describe(&f, system, 1) &&
           frx_fused_lay_out(&f, LEAST_SHARED) <= LEAST_SHARED;
}
