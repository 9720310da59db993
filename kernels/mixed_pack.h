/* Filter tables in the order in which tensor-core operands want them (mma.cuh), packed on the
 * host. All functions: Local; outputs are owned by the caller and have the sizes given. */
#ifndef FRX_KERNELS_MIXED_PACK_H
#define FRX_KERNELS_MIXED_PACK_H

#include "filter_tiles.h"

#include <cuda_fp16.h>

static inline int frx_round_up(int n, int multiple) {
    return (n + multiple - 1) / multiple * multiple;
}

/* Channel scales of interaction l: the smallest power of two that no coefficient exceeds; scale
 * [n_filter_padded]. order 0: coefficients T of W; 1: D[k] = T[k + 1] - T[k], those of dW/ds. */
void frx_pack_scales(const struct frx_filter_tiles *tiles, int l, int order, int n_filter_padded,
                     float *scale);

/* Means over the rows of a tile of the coefficients over scale of interaction l, as the lanes of the messages
 * hold channels: out [n_filter_padded/slice][n_tile][slice/16][4][4] halves. */
void frx_pack_means(const struct frx_filter_tiles *tiles, int l, int n_filter_padded, int slice,
                    const float *scale, half *out);

/* Coefficients over scale of interaction l, for order 0 less the rounded mean, cut into slices: out
 * [n_filter_padded/slice][n_tile][slice/16][32][8] halves. Accumulator D [16 knots][C] of the messages and
 * operand A [16 knots][C] of the slopes hold the same elements in the same lanes, so both tables have this
 * order. */
void frx_pack_tiles(const struct frx_filter_tiles *tiles, int l, int order, int n_filter_padded, int slice,
                    const float *scale, half *out);

#endif
