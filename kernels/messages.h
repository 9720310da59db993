/* Messages in float: continuous-filter convolution of one interaction, forward and backward.
 *
 *   forward:   m_i = sum_j h_j * W(r_ij)                                    [n_rep][n_bead][n_filter]
 *   backward, with g = dE/dm:
 *              dE/dh_i = sum_j g_j * W(r_ij)                                the graph is symmetric
 *              f_i = -sum_j [sum_c W'_c(r_ij) (g_ic h_jc + g_jc h_ic)] (x_i - x_j)/r_ij
 *
 * j runs over the neighbours of i; * is channel by channel; W is tabulated (filter_table.h). n_filter is
 * padded to a multiple of FRX_CHANNEL_PAD with zero filters. */
#ifndef FRX_KERNELS_MESSAGES_H
#define FRX_KERNELS_MESSAGES_H

#include "device.h"
#include "filter_table.h"
#include "neighbours.h"

#define FRX_CHANNEL_PAD 32

/* Width padded to what kernels work on. */
static inline int frx_padded_width(int n) {
    return (n + FRX_CHANNEL_PAD - 1) / FRX_CHANNEL_PAD * FRX_CHANNEL_PAD;
}

struct frx_messages {
    int n_interaction, n_filter; /* n_filter: padded */
    struct frx_filter_grid grid;
    struct frx_neighbours neighbours;
    float
        *table; /* [n_interaction][n_filter / slice][n_row + 4][slice], device; the last four rows are zero */
    float *partial_force; /* [n_interaction][n_filter / slice][n_rep][n_bead][3], device */
    int slice;            /* channels that a block works on, chosen from the device's shared memory */
    int staged;           /* the block keeps its part of the table in shared memory */
    int n_block;          /* that the device runs at once */
};

/* Set everything that needs no device. Local. */
void frx_messages_init(struct frx_messages *messages, const struct frx_filter_table *table, int n_rep,
                       int n_bead);

/* Take the device arrays. Local. */
void frx_messages_layout(struct frx_messages *messages, struct frx_arena *arena);

/* Choose the slice for this thread's device and fill the table (waits). Errors: FRX_ERR_MEMORY. Local. */
FRX_CHECKED enum frx_status frx_messages_upload(struct frx_messages *messages,
                                                const struct frx_filter_table *table, cudaStream_t stream);

/* All arrays: float, device. positions [n_rep][n_bead][3]; h: row of bead i in replica r at h + (r h_stride +
 * i) n_filter, h_stride = n_bead, or 0 when it is the same for all replicas; m, g, dh
 * [n_rep][n_bead][n_filter]; dh NULL: not wanted. Neighbours are those of the latest frx_neighbours_build.
 * Launch on stream. Local. */
FRX_CHECKED enum frx_status frx_messages_forward(const struct frx_messages *messages, int l,
                                                 const float *positions, const float *h, int h_stride,
                                                 float *m, cudaStream_t stream);
FRX_CHECKED enum frx_status frx_messages_backward(const struct frx_messages *messages, int l,
                                                  const float *positions, const float *h, int h_stride,
                                                  const float *g, float *dh, cudaStream_t stream);

/* forces [n_rep][n_bead][3] = the parts that the backward passes of all interactions left behind. Local. */
FRX_CHECKED enum frx_status frx_messages_forces(const struct frx_messages *messages, float *forces,
                                                cudaStream_t stream);

#endif
