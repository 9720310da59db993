#include "mixed_pack.h"

#include <math.h>

static double element(const struct frx_dense *dense, int transpose, int out, int in) {
    const int row = transpose ? in : out, column = transpose ? out : in;
    if (row >= dense->n_out || column >= dense->n_in) return 0;
    return dense->weight[(size_t)row * dense->n_in + column];
}

void frx_pack_dense(const struct frx_dense *dense, int transpose, int n_in, int n_out, half *out) {
    for (int p = 0; p < n_out / 16; p++)
        for (int s = 0; s < n_in / 16; s++)
            for (int part = 0; part < 2; part++)
                for (int lane = 0; lane < 32; lane++)
                    for (int h = 0; h < 8; h++) { /* two column tiles, two k halves, two values */
                        const int column = 16 * p + 8 * (h >> 2) + lane / 4;
                        const int k = 16 * s + 8 * ((h >> 1) & 1) + 2 * (lane % 4) + (h & 1);
                        const double value = element(dense, transpose, column, k);
                        const half high = __float2half((float)value);
                        *out++ = part == 0 ? high : __float2half((float)(value - (double)__half2float(high)));
                    }
}

/* Coefficient of the value (order 0) or of the slope by s (order 1: differences of neighbouring rows); 0
 * beyond the table. */
static double coefficient(const struct frx_filter_tiles *tiles, int l, int order, int row, int c) {
    const int n_row = FRX_TILE_INTERVAL * tiles->n_tile + 3 - order;
    if (c >= tiles->n_filter || row >= n_row) return 0;
    const double *x = tiles->coefficient + ((size_t)l * (n_row + order) + row) * tiles->n_filter + c;
    return order == 0 ? x[0] : x[tiles->n_filter] - x[0];
}

void frx_pack_scales(const struct frx_filter_tiles *tiles, int l, int order, int n_filter_padded,
                     float *scale) {
    for (int c = 0; c < n_filter_padded; c++) {
        double largest = 0;
        for (int row = 0; row < FRX_TILE_INTERVAL * tiles->n_tile + 3; row++)
            largest = fmax(largest, fabs(coefficient(tiles, l, order, row, c)));
        scale[c] = largest > 0 ? (float)exp2(ceil(log2(largest))) : 1.0f;
    }
}

void frx_pack_tiles(const struct frx_filter_tiles *tiles, int l, int order, int n_filter_padded, int slice,
                    const float *scale, half *out) {
    for (int first = 0; first < n_filter_padded; first += slice)
        for (int tile = 0; tile < tiles->n_tile; tile++)
            for (int step = 0; step < slice / 16; step++)
                for (int lane = 0; lane < 32; lane++)
                    for (int h = 0; h < 8; h++) {
                        const int knot = lane / 4 + 8 * ((h >> 1) & 1);
                        const int c = first + 16 * step + 8 * (h >> 2) + 2 * (lane % 4) + (h & 1);
                        const int used = knot < FRX_TILE_KNOT - order; /* a slope reaches one row less far */
                        const double value = coefficient(tiles, l, order, FRX_TILE_INTERVAL * tile + knot, c);
                        *out++ = __float2half(used ? (float)(value / scale[c]) : 0.0f);
                    }
}

void frx_pack_bias(const struct frx_dense *dense, int n, float *out) {
    for (int c = 0; c < n; c++) out[c] = dense->bias && c < dense->n_out ? (float)dense->bias[c] : 0.0f;
}
