/* The mixed-precision network's device arrays and the launchers of its kernels (private to kernels/mixed_*.cu
 * and network_mixed.cu).
 *
 * Symbols: R replicas, N beads, rows = R N, F filter channels and H hidden channels padded with zeros (F to a
 * multiple of `slice`, H to 16), L interactions. A row is one bead of one replica. Gradients carry the factor
 * gradient_scale, a power of two that keeps them inside the range of halves; it is taken out when the force
 * is assembled.
 *
 * One evaluation:
 *   pair_list                       rows sorted into tiles of their knots
 *   per l:   messages(h_l) -> m     m_i = sum_j W_l(r_ij) h_j
 *            dense_forward          x += W4 tanh(W3 m + b3) + b4;  h_{l+1} = W1 x
 *   output                          bead energies, dE/dx
 *   per l, downwards: dense_backward  g = dE/dm;  pair_slopes: q_ij += sum_c dW_c/ds g_ic h_jc
 *            messages(g_l) -> dE/dh_l  (l > 0: the first layer's features are constant)
 *   pair_forces                     f_i = - sum_j (q_ij + q_ji) ds/dr (x_i - x_j) / r
 * Every launcher: Local; launches on the stream and returns the launch's status. */
#ifndef FRX_KERNELS_MIXED_H
#define FRX_KERNELS_MIXED_H

#include "filter_tiles.h"
#include "status.h"

#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <stdint.h>

/* Neighbours of every row within the cutoff, sorted into tiles, each tile filled up to groups of 16 with
 * (bead N, 0). */
struct frx_pair_list {
    int capacity;        /* entries per row, a multiple of 16 */
    float *coordinate;   /* [rows][capacity] s - 13 tile, in [0, 13) */
    uint16_t *neighbour; /* [rows][capacity] bead index j; N: none */
    uint16_t *tile_end;  /* [rows][FRX_TILE_MAX] groups up to and including a tile */
};

/* Build the list. positions [R][N][3] float, device. */
FRX_CHECKED enum frx_status frx_pair_list_launch(const struct frx_pair_list *list,
                                                 const struct frx_tile_map *map, int n_tile, int n_rep,
                                                 int n_bead, const float *positions, cudaStream_t stream);

/* forces [R][N][3] float, device, overwritten: from slopes q [R][N][slope_stride] float (entries of pairs
 * inside the cutoff). */
FRX_CHECKED enum frx_status frx_pair_forces_launch(const struct frx_tile_map *map, int n_rep, int n_bead,
                                                   const float *positions, const float *slopes,
                                                   int slope_stride, float inverse_scale, float *forces,
                                                   cudaStream_t stream);

/* What the two edge passes share. */
struct frx_edge_pass {
    struct frx_pair_list list;
    int n_rep, n_bead, n_tile;
    int n_filter;           /* F */
    int slice;              /* channels per block: 32, 64 or 128 */
    const half *features;   /* [R or 1][N][F] what is gathered: h or g */
    int64_t feature_stride; /* halves from one replica to the next; 0: all share one */
    int n_block, n_thread;  /* launch shape */
    size_t shared_bytes;
};

/* Shared memory of a block for a slice width and number of warps, bytes. */
size_t frx_edge_pass_shared(int n_bead, int slice, int n_tile, int n_thread);

/* Allow the kernels their shared memory on this thread's device; blocks per multiprocessor that then fit. */
FRX_CHECKED enum frx_status frx_edge_pass_prepare(int slice, int n_thread, size_t shared_bytes,
                                                  int *n_resident);

/* out [rows][F] float = sum_j W(r_ij) features_j. table [F/slice][n_tile][slice/16][32][8] half: coefficients
 * in the order of D, less mean [F/slice][n_tile][slice/16][4][4] half; scale [F]: per channel, a power of
 * two.
 */
FRX_CHECKED enum frx_status frx_messages_launch(const struct frx_edge_pass *pass, const half *table,
                                                const half *mean, const float *scale, float *out,
                                                cudaStream_t stream);

/* slopes [R][N][slope_stride] float (+)= sum_c dW_c/ds(r_ij) g_ic features_jc at every pair of the list;
 * `accumulate`: add to what is there. gradient [rows][F] half; table [F/slice][n_tile][slice/16][32][8] half:
 * coefficients in the order of A. */
FRX_CHECKED enum frx_status frx_pair_slopes_launch(const struct frx_edge_pass *pass, const half *table,
                                                   const float *scale, const half *gradient, int accumulate,
                                                   float *slopes, int slope_stride, cudaStream_t stream);

#endif
