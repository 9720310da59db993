/* Small molecules: whole steps in one kernel (private to kernels/fused_*).
 *
 * A molecule of ten beads leaves a kernel per layer nothing to do: some thirty launches of 4 us each. Here
 * one thread block makes all steps of a replica, and what a step costs is the number of times that all its
 * warps must wait for each other, and the weights, which flow from L2.
 *
 * Both are fewest when x, the features of beads, is never made. Only linear layers read it and only linear
 * layers add to it, so that their products are multiplied with each other beforehand (C = W1_l A_k, O_0 A_k):
 *
 *   m_l = sum_j W_l(r_ij) h_lj,   t_l = tanh(B_l m_l + b_l)                             (B_l: lin2)
 *   x_l = x_0 + sum_{k<l} (A_k t_k + a_k)                                               (A_k: lin)
 *   h_l = W1_l x_l = base_l + sum_{k<l} C_lk t_k,    y = O_0 x_L + o_0 = base_L + sum_{k<L} C_Lk t_k
 *
 * base is a constant of each bead. The way back is the same program transposed:
 *
 *   dE/dt_l = C_Ll^T u + sum_{k>l} C_kl^T q_k,   u = dE/dy
 *   g_l = B_l^T ((1 - t_l^2) dE/dt_l),           q_li = dE/dh_li = sum_j W_l(r_ij) g_lj
 *   dE/dr_ij = sum_l W_l'(r_ij) . (g_li h_lj + g_lj h_li)
 *
 * A program is a list of phases: a dense layer on tensor cores by FRX_FUSED_DENSE warps, each of which owns a
 * range of channels, what becomes of its sums, and messages of these channels by the same warp. A barrier of
 * the dense warps ends a phase. The other FRX_FUSED_HELPER warps evaluate filters ahead of time, the priors
 * and the noise of the next step, and add up slopes of pairs while the way back goes on.
 *
 * Numbers: exact layers multiply sums of two halves (22 bits) in three products; others multiply halves, the
 * 16 bits of mixed precision. Mixed precision makes forces by a program that is not exact, and energies,
 * where they are wanted, by a second, exact one that goes forward only, in a launch of its own. Sums are
 * float. Gradients carry a factor, weights of a layer a power of two that `unscale` takes back, and h, m and
 * filters powers of two with which they are near 1 (network_fused.cu). */
#ifndef FRX_KERNELS_FUSED_H
#define FRX_KERNELS_FUSED_H

#include "filter_table.h"
#include "prior.h"
#include "state.h"

#include <stdint.h>

#define FRX_FUSED_DENSE      8  /* warps */
#define FRX_FUSED_HELPER     4  /* warps */
#define FRX_FUSED_MAX_BEAD   16 /* of a molecule */
#define FRX_FUSED_WIDTH      64 /* layers are padded to 1, 2 or 4 times this: 8 channels for each dense warp */
#define FRX_FUSED_MAX_WIDTH  256
#define FRX_FUSED_MAX_LAYER  8 /* interactions */
#define FRX_FUSED_MAX_OUTPUT 4 /* hidden layers of the output network */
/* of two programs: forward twice, backward once */
#define FRX_FUSED_MAX_PHASE (6 * FRX_FUSED_MAX_LAYER + 3 * FRX_FUSED_MAX_OUTPUT)
#define FRX_FUSED_PAIR(n)   ((n) * ((n)-1) / 2) /* pairs i < j of n beads, row by row */
#define FRX_FUSED_BATCH     16                  /* pieces of weights that a warp has on their way */

/* What becomes of the sums v of a dense layer. */
enum frx_fused_task {
    FRX_FUSED_MESSAGES, /* (no dense layer) m = sum_j W h_j to `out` */
    FRX_FUSED_FEATURES, /* h = v + base; m = sum_j W h_j to `out` */
    FRX_FUSED_TANH,     /* tanh(v + bias) to `out` */
    FRX_FUSED_LAST,     /* y = tanh(v + bias) to `other`, gradient of the energy by v to `out` */
    FRX_FUSED_LINEAR,   /* y = v + bias to `other`, the same: an output network without hidden layers */
    FRX_FUSED_SLOPE,    /* v (1 - y^2) to `out`, y from `other` */
    FRX_FUSED_GRADIENT  /* g = v; sum_j W g_j to `out`, in the first interaction slopes of pairs instead */
};

/* Where rows of halves are, one for each bead: bytes from the start of shared memory, where the operands are,
 * and from one bead to the next, an odd number of 16-byte units. */
struct frx_fused_operand {
    int32_t begin, stride;
};

/* Read from shared memory at one go. */
struct __align__(16) frx_fused_phase {
    int32_t task, layer;
    int32_t tiles;   /* of 8 channels, that each dense warp has: 1, 2 or 4 */
    int32_t n_piece; /* of a warp's weights; 0: no dense layer */
    int32_t n_next;  /* of the first batch of the next dense layer's */
    struct frx_fused_operand in, out, other;
    int32_t bias;        /* words from the start of the constants */
    int32_t bias_stride; /* from one bead to the next: 0, or the width */
    float unscale;
    float value_unscale; /* of the filters of `layer` */
};

struct frx_fused_program {
    int32_t first, n_phase;
    int32_t n_piece; /* of a warp, in all */
    int32_t n_first; /* of the first batch */
    uint32_t weight; /* where its streams begin, in 16 bytes */
    int32_t exact;
};

/* Where an array is: words from the start of shared memory, or of the block's piece of the scratch memory. */
struct frx_fused_place {
    int32_t word;
    int32_t is_shared;
};

/* One layout for host and device; words from the start of shared memory. */
struct frx_fused_layout {
    int32_t low;  /* bytes from the high halves of operands, where shared memory begins, to the low ones */
    int32_t zero; /* bytes to an operand of one row of zeros */
    int32_t position, velocity, force, noise, prior_force; /* [n_bead][3] */
    int32_t place_force;                                   /* [n_place][3] */
    int32_t pair_t, pair_density, pair_row;                /* [n_pair], of those within reach */
    int32_t pair_direction;                                /* [n_pair][3] from j to i */
    int32_t near;                                          /* [n_bead] neighbours, a bit for each bead */
    int32_t
        neighbour; /* [n_bead][FRX_FUSED_MAX_BEAD] pair | bead << 16, up to fours filled with pair n_pair */
    int32_t n_active, active;                    /* pairs within reach, in any order */
    int32_t slope_part;                          /* [FRX_FUSED_HELPER + FRX_FUSED_DENSE][n_pair] */
    int32_t barrier;                             /* 8 bytes each */
    int32_t mass, thermal;                       /* [n_bead] 1/m; 1/sqrt(beta) */
    int32_t phase;                               /* the programs */
    struct frx_fused_place filter, filter_slope; /* [n_interaction][n_pair + 1][F + 4]; the last is zero */
    struct frx_fused_place h, g;                 /* [n_interaction][n_bead][F + 4] */
    struct frx_fused_place constant;             /* biases, bases, last weights */
    int32_t all_shared;                          /* but filter_slope, perhaps */
    int32_t shared_words, scratch_words;
};

struct frx_fused_args {
    int n_bead, n_pair, n_interaction, n_filter; /* width padded */
    int n_constant, last_weight;                 /* last_weight: words into the constants */
    int last_width;                              /* of the last hidden layer, padded */
    int n_program;                               /* the second one is for energies only */
    struct frx_fused_operand last;               /* the last hidden layer */
    struct frx_fused_program program[2];
    struct frx_fused_phase phase[FRX_FUSED_MAX_PHASE];
    struct frx_fused_layout layout;
    struct frx_filter_grid grid;
    float value_scale[FRX_FUSED_MAX_LAYER], slope_scale[FRX_FUSED_MAX_LAYER]; /* of filters as halves */
    float slope_unscale[FRX_FUSED_MAX_LAYER];
    float last_bias, energy_scale;
    float seed;         /* gradient of the energy by the last layer's sum, times the factor of gradients, */
    float force_scale;  /* which this takes back */
    const float *table; /* [n_interaction][n_row][n_filter] */
    const float *constant; /* [n_constant] */
    const float *h_first;  /* [n_bead][n_filter] */
    /* For each program and dense warp a stream in the order of use: pieces of [32 lanes] 16 bytes with the
     * weights of two tiles of 8 channels by 16 inputs as operand B (mma.cuh), high and, if the layer is
     * exact, low; in the end the first batch once more. */
    const uint4 *weight;
    float *scratch; /* [n_rep][layout.scratch_words] */
};

/* Pieces of the next batch, of `left` (even): a power of two, so that the code of batches can be written out.
 */
static inline __host__ __device__ int frx_fused_batch(int left) {
    return left >= 16 ? 16 : left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 0;
}

/* Fill the layout for a limit of shared memory, bytes; operand_units: 16-byte units of the operands. Returns
 * the bytes that have to be in shared memory, which may be more than the limit. Local. */
size_t frx_fused_plan(const struct frx_fused_args *args, int operand_units, int n_place, int with_slopes,
                      size_t limit, struct frx_fused_layout *layout);

/* Allow the kernels all shared memory that a block can have, for engines of any size. Local. */
FRX_CHECKED enum frx_status frx_fused_prepare(const struct frx_fused_args *args);

/* n_step steps from *state->step on; the last one leaves item energies if with_energy. n_step = 0: the
 * present positions' forces, to state->network_force and prior_force, and item energies. Launches on stream.
 * Local. */
FRX_CHECKED enum frx_status frx_fused_launch(const struct frx_fused_args *args,
                                             const struct frx_gpu_state *state,
                                             const struct frx_gpu_prior *prior,
                                             const struct frx_integrator *integrator, int n_step,
                                             int with_energy, cudaStream_t stream);

#endif
