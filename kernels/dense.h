/* Dense layers with the accuracy of float: C = f(A B), for the rows of all beads of all replicas.
 *
 *   A [n_row][n_in], B [n_in][n_out], C [n_row][n_out]; widths are multiples of FRX_CHANNEL_PAD (messages.h)
 *
 * Tensor cores multiply numbers of 11 bits. Each operand is split into two of them, a = a_hi + a_lo, and
 *   A B = A_hi B_hi + (A_hi B_lo + A_lo B_hi),
 * accumulated in float; the product of the low parts, 2^-22 of the whole, is dropped. Every element is summed
 * in the same order whatever the number of rows: a row's result depends on that row only. */
#ifndef FRX_KERNELS_DENSE_H
#define FRX_KERNELS_DENSE_H

#include "device.h"

enum frx_dense_form {
    FRX_DENSE_PLAIN, /* C = A B */
    FRX_DENSE_TANH,  /* C = tanh(A B + bias) */
    FRX_DENSE_ADD,   /* C = other + A B + bias; other may be C */
    FRX_DENSE_SLOPE  /* C = (A B) (1 - other^2): backward through a tanh whose result was `other` */
};

/* One layer; all arrays float, device. */
struct frx_dense_call {
    enum frx_dense_form form;
    int n_row, n_in, n_out;
    const float *a;
    const float *b;     /* from frx_dense_pack, [2 n_in n_out] */
    const float *bias;  /* [n_out] or NULL: zero */
    const float *other; /* [other_rows][n_out]; row k of C takes row k % other_rows */
    int other_rows;
    float *c;
};

/* Split B and put it into the order in which threads read it. b [n_in][n_out], packed [2 n_in n_out], float,
 * host. Local.
 */
void frx_dense_pack(int n_in, int n_out, const float *b, float *packed);

/* Launches on stream. Errors: FRX_ERR_INTERNAL (widths). Local. */
FRX_CHECKED enum frx_status frx_dense_launch(const struct frx_dense_call *call, cudaStream_t stream);

/* The last layer, to one channel, and the start of the backward pass: one warp per row.
 *   energy_k = scale (sum_c y_kc w_c + bias),  g_kc = scale w_c s_kc,  s = 1 - y^2 if `tanh_before`, else 1
 * y, g [n_row][n_in] float, device; energy [n_row] or NULL. Launches on stream. Local. */
FRX_CHECKED enum frx_status frx_dense_energy(int n_row, int n_in, const float *y, const float *w, float bias,
                                             float scale, int tanh_before, float *energy, float *g,
                                             cudaStream_t stream);

#endif
