/* Small molecules: whole steps in one kernel (private to kernels/fused_*).
 *
 * A molecule of ten beads leaves a kernel per layer nothing to do: some thirty launches of 4 us each. Here
 * one kernel makes all steps of a block. `replicas` replicas share a cluster of `cluster` thread blocks;
 * their beads are the columns of one matrix, at most FRX_FUSED_MAX_COLUMN. Every block of a cluster computes
 * its share of the channels of every layer, hands it to the others through distributed shared memory, and
 * keeps the molecule's state for itself: integration and priors are done by all blocks alike. On devices
 * without clusters, cluster = 1.
 *
 * A step is a list of phases with a barrier after each: dense layers on tensor cores by FRX_FUSED_DENSE
 * warps, beside them side tasks by FRX_FUSED_HELPER warps, or messages by all. Weights flow from L2 through a
 * ring in shared memory that each lane fills for itself ahead of time, across phases and steps.
 *
 * Numbers: activations and weights are sums of two halves (22 bits, as in mixed_dense.cu), filters are the
 * float splines of single precision, sums are float. The backward pass uses the high halves alone in mixed
 * precision. Gradients carry the factor gradient_scale, weights of a layer a power of two that `unscale`
 * takes back. */
#ifndef FRX_KERNELS_FUSED_H
#define FRX_KERNELS_FUSED_H

#include "filter_table.h"
#include "prior.h"
#include "state.h"

#include <stdint.h>

#define FRX_FUSED_DENSE      8  /* warps */
#define FRX_FUSED_HELPER     4  /* warps */
#define FRX_FUSED_MAX_BEAD   16 /* of a molecule */
#define FRX_FUSED_MAX_COLUMN 40
#define FRX_FUSED_WIDTH      64  /* layers are padded to multiples of this: 16 rows for each of 4 blocks */
#define FRX_FUSED_MAX_WIDTH  256 /* of a layer: two tiles of 16 rows for each dense warp */
#define FRX_FUSED_MAX_LAYER  8   /* interactions */
#define FRX_FUSED_MAX_OUTPUT 4   /* hidden layers of the output network */
#define FRX_FUSED_MAX_PHASE  (8 * FRX_FUSED_MAX_LAYER + 2 * FRX_FUSED_MAX_OUTPUT)
#define FRX_FUSED_PAIR(n)    ((n) * ((n)-1) / 2) /* pairs i < j of n beads, row by row */

/* What a phase does with the sums v of a dense layer (first group), or instead of one. `kept`, `x`: arrays
 * [own channels][columns]; "next" is the operand of the next dense layer. */
enum frx_fused_task {
    FRX_FUSED_TANH,         /* t = tanh(v + bias) to next, 1 - t^2 kept */
    FRX_FUSED_LAST,         /* the same t kept, gradient of the energy by v + bias to next */
    FRX_FUSED_FIRST_X,      /* x = embedding + v + bias, to next */
    FRX_FUSED_ADD_X,        /* x += v + bias, to next */
    FRX_FUSED_FEATURES,     /* h of interaction `layer` */
    FRX_FUSED_SLOPE,        /* v times what was kept, to next */
    FRX_FUSED_SET_GRADIENT, /* x = v, from here on the gradient by x, to next */
    FRX_FUSED_ADD_GRADIENT, /* x += v, to next */
    FRX_FUSED_G,            /* g = gradient by the messages */
    FRX_FUSED_MESSAGES,     /* sum_j W h_j, to next */
    FRX_FUSED_BACKWARD,     /* sum_j W g_j, to next; for the first interaction the slopes of pairs instead */
    FRX_FUSED_ENERGY_OF_X,  /* nothing beside the side task */
    FRX_FUSED_GRADIENT      /* x = gradient of the energy that is linear in x, to next */
};

/* Side tasks, a set; `side_layer` belongs to FILL and SLOPES. */
#define FRX_FUSED_FILL_BEGIN 1  /* filters and their slopes of the first half of all pairs */
#define FRX_FUSED_FILL_END   2  /* of the second half */
#define FRX_FUSED_TERMS      4  /* priors: terms */
#define FRX_FUSED_BEADS      8  /* priors: forces on beads */
#define FRX_FUSED_SLOPES     16 /* dE/dr of pairs, one interaction's share */
#define FRX_FUSED_NOISE      32 /* of the next step */
#define FRX_FUSED_ENERGY     64 /* of beads, from what the last layer kept */

struct frx_fused_phase {
    uint8_t task, layer, side, side_layer;
    uint8_t n_tile, n_step; /* of a dense layer: rows / 16 of one block, n_in / 16 */
    uint8_t n_part;         /* warps that share a tile, when tiles are few: each sums n_step / n_part steps */
    uint8_t exact;          /* three products of halves, not one */
    uint8_t local;          /* what it makes is read in the same block only */
    int32_t kept;           /* words from the start of `kept` */
    int32_t bias;           /* words from the start of a block's constants */
    float unscale;
};

/* Where an array is: words from the start of shared memory, or of the block's piece of the scratch memory. */
struct frx_fused_place {
    int32_t word;
    int32_t is_shared;
};

/* One layout for host and device. n_col columns, n_even rounded up to even; F, H: own channels. */
struct frx_fused_layout {
    int32_t ring, partial;     /* weights on their way; sums of warps that share a tile */
    int32_t next[2], next_low; /* operands of dense layers: [channel][column] halves; low parts behind */
    int32_t position, velocity, force, noise, prior_force;  /* [n_col][3] */
    int32_t place_force;                                    /* [replicas][n_place][3] */
    int32_t pair_t, pair_density, pair_direction, pair_row; /* [replicas][n_pair]; direction [..][3] */
    int32_t active, n_active;       /* pairs within reach, in order: pair | column of i << 16 | of j << 24 */
    int32_t neighbour, n_neighbour; /* [n_col][FRX_FUSED_MAX_BEAD] pair of the replica | bead << 16 */
    int32_t slope, slope_part;      /* [replicas][n_pair], [cluster][replicas][n_pair] */
    int32_t energy_part;            /* [cluster][n_col] */
    struct frx_fused_place filter, filter_slope; /* [replicas][n_pair][F] */
    struct frx_fused_place h, g;                 /* [n_interaction][n_col][F + 4], [n_col][F + 4] */
    struct frx_fused_place x, x_first;           /* [H][n_even] */
    struct frx_fused_place kept;                 /* [H][n_even] per interaction, then those of the output */
    struct frx_fused_place constant;             /* biases, last weights */
    int32_t shared_words, scratch_words;
};

struct frx_fused_args {
    int n_bead, n_pair, n_interaction, n_hidden, n_filter; /* widths padded */
    int replicas, n_constant, last_weight;                 /* last_weight: words into the constants */
    int n_phase;
    struct frx_fused_phase phase[FRX_FUSED_MAX_PHASE];
    struct frx_fused_layout layout;
    struct frx_filter_grid grid;
    float last_bias, energy_scale, gradient_scale;
    const float *table;     /* [n_interaction][n_row][n_filter] */
    const uint8_t *pair;    /* [n_pair][2] beads i < j */
    const float *constant;  /* [cluster][n_constant] */
    const float *embedding; /* [n_bead][n_hidden], rows of the beads */
    const float *h_first;   /* [n_bead][n_filter] */
    /* One stream for each block of a cluster and dense warp, in the order of use: pieces of [32 lanes] 16
     * bytes, for 16 x 16 weights high and, if the layer is exact, low; in the end the first `depth` pieces
     * once more. */
    const uint4 *weight;
    uint32_t stream_begin[FRX_FUSED_DENSE]; /* in 16 bytes, within a block's streams */
    uint32_t stream_size;                   /* of one block's streams */
    int32_t n_piece[FRX_FUSED_DENSE];       /* of a step */
    float *scratch;                         /* [blocks][layout.scratch_words] */
};

struct frx_fused_shape {
    int cluster, replicas;
    int n_tile; /* of 8 columns */
    int depth;  /* pieces of a ring */
};

/* Fill the layout for a shape and a limit of shared memory, bytes. n_kept, n_constant: words of one block,
 * the former per column. Returns 0 if not even the arrays that have to be in shared memory fit. Local. */
int frx_fused_plan(const struct frx_fused_shape *shape, const struct frx_fused_args *args, int n_kept,
                   int n_place, size_t limit, struct frx_fused_layout *layout);

/* Allow the kernel of a shape its shared memory; how many clusters run at once. Local. */
FRX_CHECKED enum frx_status frx_fused_prepare(const struct frx_fused_shape *shape, size_t shared_bytes,
                                              int *n_cluster);

/* n_step steps from *state->step on; the last one leaves item energies if with_energy. n_step = 0: the
 * present positions' forces, to state->network_force and prior_force, and item energies. Launches on stream.
 * Local. */
FRX_CHECKED enum frx_status
frx_fused_launch(const struct frx_fused_shape *shape, const struct frx_fused_args *args,
                 const struct frx_gpu_state *state, const struct frx_gpu_prior *prior,
                 const struct frx_integrator *integrator, int n_step, int with_energy, cudaStream_t stream);

#endif
