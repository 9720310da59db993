/* Dense layers of the network on tensor cores: chains of matrix products on rows that never leave the block.
 *
 * A row is one bead of one replica; F filter and H hidden channels, padded with zeros to multiples of 16. Two
 * kinds of network use them: real = float (single precision, every product with the accuracy of float) and
 * real = half (mixed: forward with the accuracy of float, backward in 16 bits, results stored as halves).
 * Every element is summed in the same order whatever the number of rows: a row's result depends on that row
 * only. */
#ifndef FRX_KERNELS_DENSE_H
#define FRX_KERNELS_DENSE_H

#include "device.h"
#include "system.h"

#include <cuda_fp16.h>

/* Weights of one layer as operand B, each as the sum of two halves, [n_out/16][n_in/16][2][32] x 16 bytes;
 * bias [n_out]. Device. */
struct frx_gpu_dense {
    int n_in, n_out;                  /* padded to 16 */
    const uint4 *weight, *transposed; /* y = W x and y = W^T x */
    const float *bias;                /* zero where the model has none */
};

/* Take the device arrays of a layer. Local. */
void frx_gpu_dense_layout(struct frx_gpu_dense *dense, int n_in, int n_out, struct frx_arena *arena);

/* Fill them. Errors: FRX_ERR_MEMORY, FRX_ERR_DEVICE. Local. */
FRX_CHECKED enum frx_status frx_gpu_dense_upload(const struct frx_gpu_dense *dense,
                                                 const struct frx_dense *source);

/* What the device has to offer; blocks take as many rows as fill it. */
struct frx_dense_device {
    int n_sm;
    size_t shared_limit; /* bytes per block */
};

/* z = tanh(m W3^T + b3);  x += z W4^T + b4;  h = x W1^T of the next interaction.
 * m [rows][F], x [rows][H] float; slope [rows][H]: 1 - z^2, kept for the way back; h [rows][F] or NULL: there
 * is no next interaction. embedding [n_type][H] by type [N] is what x starts from, NULL: x itself. */
template <typename real> struct frx_dense_forward {
    int n_row, n_bead, n_filter, n_hidden;
    const float *m;
    struct frx_gpu_dense lin2, lin, next_lin1;
    const float *embedding;
    const int32_t *type;
    float *x;
    real *slope, *h;
};

/* gx += dh W1 of the next interaction;  g = ((gx W4) slope) W3.
 * gx [rows][H] float; dh [rows][F] float = dE/dh of the next interaction, or NULL at the last; g [rows][F] =
 * dE/dm. */
template <typename real> struct frx_dense_backward {
    int n_row, n_filter, n_hidden;
    const float *dh;
    const real *slope;
    struct frx_gpu_dense lin2, lin, next_lin1;
    float *gx;
    real *g;
};

#define FRX_MAX_OUTPUT 6 /* hidden layers of the output network */

/* a_k = tanh(a_{k-1} V_k^T + b_k), energy = energy_scale (v a + b), and the way back to gx, which carries
 * gradient_scale. x, gx [rows][H]; bead_energy [rows] or NULL; all float. */
struct frx_output_network {
    int n_row, n_hidden, n_layer; /* hidden layers, without the last */
    struct frx_gpu_dense layer[FRX_MAX_OUTPUT];
    const float *last_weight; /* [n_in of the last layer] */
    float last_bias, energy_scale, gradient_scale;
    const float *x;
    float *gx, *bead_energy;
};

/* Allow the kernels their shared memory on this thread's device. Errors: FRX_ERR_UNSUPPORTED (layers too wide
 * for the smallest block). Local. */
FRX_CHECKED enum frx_status frx_dense_prepare(int n_filter, int n_hidden,
                                              const struct frx_output_network *output,
                                              struct frx_dense_device *device);

/* Launch on stream; real: half or float. exact: the way back with the accuracy of float. Local. */
template <typename real>
enum frx_status frx_dense_forward_launch(const struct frx_dense_device *device,
                                         const struct frx_dense_forward<real> *args, cudaStream_t stream);
template <typename real>
enum frx_status frx_dense_backward_launch(const struct frx_dense_device *device,
                                          const struct frx_dense_backward<real> *args, cudaStream_t stream);
FRX_CHECKED enum frx_status frx_output_launch(const struct frx_dense_device *device,
                                              const struct frx_output_network *args, int exact,
                                              cudaStream_t stream);

#endif
