#include "mixed_pack.h"

#include <math.h>

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

static half mean_of_tile(const struct frx_filter_tiles *tiles, int l, int tile, int c, float scale) {
    double sum = 0;
    for (int k = 0; k < FRX_TILE_KNOT; k++) sum += coefficient(tiles, l, 0, FRX_TILE_INTERVAL * tile + k, c);
    return __float2half((float)(sum / FRX_TILE_KNOT / scale));
}

void frx_pack_means(const struct frx_filter_tiles *tiles, int l, int n_filter_padded, int slice,
                    const float *scale, half *out) {
    for (int first = 0; first < n_filter_padded; first += slice)
        for (int tile = 0; tile < tiles->n_tile; tile++)
            for (int step = 0; step < slice / 16; step++)
                for (int h = 0; h < 16; h++) {
                    const int c = first + 16 * step + 8 * ((h >> 1) & 1) + 2 * (h >> 2) + (h & 1);
                    *out++ = mean_of_tile(tiles, l, tile, c, scale[c]);
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
                        const double mean =
                            order ? 0 : (double)__half2float(mean_of_tile(tiles, l, tile, c, scale[c]));
                        const double value = coefficient(tiles, l, order, FRX_TILE_INTERVAL * tile + knot, c);
                        *out++ = __float2half(used ? (float)(value / scale[c] - mean) : 0.0f);
                    }
}
