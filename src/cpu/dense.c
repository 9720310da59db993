#include "dense.h"

#include "simd.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

enum { N_ROW = 6, N_COLUMN = 2 }; /* a tile: rows by vectors, 12 accumulators in registers */

/* `n_row` is a constant after inlining, so that the accumulators become registers. */
static inline __attribute__((always_inline)) void tile(const int n_row, int n_in, int n_out, const float *x,
                                                       const float *w, const float *bias, int add, float *y) {
    frx_vector sum[N_ROW][N_COLUMN];
    for (int r = 0; r < n_row; r++)
        for (int c = 0; c < N_COLUMN; c++) {
            sum[r][c] = bias ? ((const frx_vector *)bias)[c] : (frx_vector){0};
            if (add) sum[r][c] += ((const frx_vector *)(y + (size_t)r * n_out))[c];
        }
    for (int k = 0; k < n_in; k++) {
        const frx_vector *row = (const frx_vector *)(w + (size_t)k * n_out);
        for (int r = 0; r < n_row; r++)
            for (int c = 0; c < N_COLUMN; c++) sum[r][c] += x[(size_t)r * n_in + k] * row[c];
    }
    for (int r = 0; r < n_row; r++)
        for (int c = 0; c < N_COLUMN; c++) ((frx_vector *)(y + (size_t)r * n_out))[c] = sum[r][c];
}

void frx_gemm(int n, int n_in, int n_out, const float *x, const float *w, const float *bias, int add,
              float *y) {
    for (int o = 0; o < n_out; o += N_COLUMN * FRX_LANES) {
        const float *b = bias ? bias + o : NULL;
        int i = 0;
        for (; i + N_ROW <= n; i += N_ROW)
            tile(N_ROW, n_in, n_out, x + (size_t)i * n_in, w + o, b, add, y + (size_t)i * n_out + o);
        const float *rest = x + (size_t)i * n_in;
        float *to = y + (size_t)i * n_out + o;
        switch (n - i) {
        case 5:
            tile(5, n_in, n_out, rest, w + o, b, add, to);
            break;
        case 4:
            tile(4, n_in, n_out, rest, w + o, b, add, to);
            break;
        case 3:
            tile(3, n_in, n_out, rest, w + o, b, add, to);
            break;
        case 2:
            tile(2, n_in, n_out, rest, w + o, b, add, to);
            break;
        case 1:
            tile(1, n_in, n_out, rest, w + o, b, add, to);
            break;
        default:
            break;
        }
    }
}

/* tanh t = e/(e + 2) with e = exp(2 t) - 1 = 2^n (exp(s) - 1) + (2^n - 1), |s| <= ln(2)/2, for t = |x|; the
 * series of exp(s) - 1 up to s^7 is good to 2e-8. Comparisons are written so that NaN goes through. */
static inline float tanh_one(float x) {
    const float y = 2 * fabsf(x), limited = y > 20.0f ? 20.0f : y; /* tanh rounds to 1 from 9.1 on */
    const float shifter = 12582912.0f;                             /* 1.5 2^23: its last bits count in ones */
    const float shifted = limited * 1.44269504f + shifter, n = shifted - shifter;
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits << 23) + 0x3f800000u; /* 2^n */
    float power;
    memcpy(&power, &bits, sizeof power);
    const float s = (limited - n * 0.693359375f) + n * 2.12194440e-4f; /* ln 2 in two parts */
    const float series =
        s +
        s * s * (0.5f + s * (1.0f / 6 + s * (1.0f / 24 + s * (1.0f / 120 + s * (1.0f / 720 + s / 5040)))));
    const float e = power * series + (power - 1);
    return copysignf(e / (e + 2), x);
}

void frx_tanh(size_t n, float *x) {
#pragma omp simd
    for (size_t k = 0; k < n; k++) x[k] = tanh_one(x[k]);
}

void frx_tanh_backward(size_t n, const float *y, float *g) {
#pragma omp simd
    for (size_t k = 0; k < n; k++) g[k] *= 1 - y[k] * y[k];
}
