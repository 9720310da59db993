/* Dense layers in single precision on padded arrays (simd.h), and the hyperbolic tangent.
 * Every row is computed in the same order whatever the number of rows. */
#ifndef FRX_CPU_DENSE_H
#define FRX_CPU_DENSE_H

#include <stddef.h>

/* y = x w + bias, or y += x w + bias when `add`. x [n][n_in], w [n_in][n_out], bias [n_out] or NULL for zero,
 * y [n][n_out]: float, host, aligned to FRX_ALIGNMENT, n_in and n_out multiples of FRX_SLICE; y is not x.
 * Local. */
void frx_gemm(int n, int n_in, int n_out, const float *x, const float *w, const float *bias, int add,
              float *y);

/* x = tanh(x) for n floats, relative error below 3e-7; NaN stays NaN. Local. */
void frx_tanh(size_t n, float *x);

/* g *= 1 - y^2: from dE/dy to dE/dv for y = tanh(v). Local. */
void frx_tanh_backward(size_t n, const float *y, float *g);

#endif
