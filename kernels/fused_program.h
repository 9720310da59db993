/* What a small molecule's network is to the kernel that makes whole steps (fused.h): its programs, and where
 * their arrays are. Shared by fused_program.cu, which makes it, and network_fused.cu, which adds the numbers.
 */
#ifndef FRX_KERNELS_FUSED_PROGRAM_H
#define FRX_KERNELS_FUSED_PROGRAM_H

#include "fused.h"
#include "network.h"

/* Which weights a dense layer of a program multiplies with (fused.h). */
enum frx_fused_product_kind {
    PRODUCT_LIN2,      /* B_l */
    PRODUCT_MIX,       /* C_l0 .. C_l,l-1 side by side; l = n_interaction: what the output network reads */
    PRODUCT_OUTPUT,    /* a hidden layer of the output network, not the first */
    PRODUCT_LIN2_BACK, /* B_l^T */
    PRODUCT_MIX_BACK,  /* C_Ll^T, C_L-1,l^T .. C_l+1,l^T side by side */
    PRODUCT_OUTPUT_BACK
};

struct frx_fused_product {
    enum frx_fused_product_kind kind;
    int k, phase;
    int n_out, n_in; /* padded */
};

/* A matrix of operands: of each bead a row of `width` halves. */
struct frx_fused_array {
    int begin, width; /* begin: 16-byte units */
};

struct frx_fused {
    struct frx_gpu_network base;
    const struct frx_system *system;
    struct frx_filter_table table;
    int exact_forces, n_product, n_place, operand_units, widest;
    int hidden, filter, n_hidden_layer, output_width[FRX_FUSED_MAX_OUTPUT]; /* padded */
    struct frx_fused_product product[FRX_FUSED_MAX_PHASE];
    struct frx_fused_array message, t, back, to_lin2, y[FRX_FUSED_MAX_OUTPUT], u[FRX_FUSED_MAX_OUTPUT];
    /* powers of two: how much larger h_l and m_l are than in the network */
    double h_scale[FRX_FUSED_MAX_LAYER], message_scale[FRX_FUSED_MAX_LAYER];
    int bias_lin2[FRX_FUSED_MAX_LAYER], base_of[FRX_FUSED_MAX_LAYER + 1], bias_output[FRX_FUSED_MAX_OUTPUT];
    struct frx_fused_args args;
    /* the same arrays as in args, to be filled */
    float *d_table, *d_constant, *d_h_first, *d_scratch;
    uint4 *d_weight;
    size_t n_weight; /* 16-byte words */
};

/* Programs, arrays and constants of a system, everything about it that does not depend on its numbers; f is
 * zero before, the system must outlive it. exact_forces: single precision. Returns 0 if the system is too
 * large. Local. */
int frx_fused_describe(struct frx_fused *f, const struct frx_system *system, int exact_forces);

/* frx_fused_plan of what was described. Local. */
size_t frx_fused_lay_out(struct frx_fused *f, size_t limit);

/* Wide exact layers are multiplied in two passes, half of the tiles each. Local. */
int frx_fused_n_pass(const struct frx_fused_program *program, const struct frx_fused_phase *phase);

#endif
