/* The part of a network that knows nothing of edges, on the device: weights and activations of its dense
 * layers, and the order in which they are applied. Shared by both precisions (dense.h says what `real` is).
 *
 *   forward(l):   m -> x, slope_l, h_{l+1}        output: x -> bead energies, gx
 *   backward(l):  m (holding dE/dh_{l+1}), slope_l, gx -> gx, g = dE/dm_l
 *
 * R replicas, N beads, rows = R N; widths F and H padded with channels that stay zero. */
#ifndef FRX_KERNELS_LAYERS_H
#define FRX_KERNELS_LAYERS_H

#include "dense.h"

#define FRX_MAX_INTERACTION 16

struct frx_layers {
    const struct frx_system *system;
    int n_interaction, n_filter, n_hidden; /* widths: padded */
    struct {
        struct frx_gpu_dense lin1, lin2, lin;
    } interaction[FRX_MAX_INTERACTION];
    struct frx_output_network output; /* gradient_scale: 1 unless the owner changes it */
    struct frx_dense_device device;
    float *m;         /* [rows][F] messages; on the way back dE/dh */
    float *x, *gx;    /* [rows][H] */
    float *embedding; /* [n_type][H] */
    float *last_weight;
    int32_t *type; /* [N] */
};

/* n_filter: width as the message kernels need it. The system has a network and must outlive it. Owns nothing.
 * Errors: FRX_ERR_UNSUPPORTED (too deep). Local. */
FRX_CHECKED enum frx_status frx_layers_init(const struct frx_system *system, int n_filter,
                                            struct frx_layers *layers);

/* Take the device arrays for n_rep replicas. Local. */
void frx_layers_layout(struct frx_layers *layers, int n_rep, struct frx_arena *arena);

/* Fill the constant ones (waits). Errors: FRX_ERR_MEMORY, FRX_ERR_UNSUPPORTED (too wide for the device).
 * Local.
 */
FRX_CHECKED enum frx_status frx_layers_upload(struct frx_layers *layers);

/* h of the first interaction, W1 embedding[type], a constant: h [N][F], host. Local. */
void frx_layers_first_features(const struct frx_layers *layers, float *h);

/* slope [rows][H]; h_next [rows][F], NULL at the last interaction. Launch on stream. Local. */
template <typename real>
enum frx_status frx_layers_forward(const struct frx_layers *layers, int l, int n_rep, real *slope,
                                   real *h_next, cudaStream_t stream);

/* bead_energy [rows] or NULL. Launches on stream. Local. */
FRX_CHECKED enum frx_status frx_layers_output(const struct frx_layers *layers, int n_rep, float *bead_energy,
                                              int exact, cudaStream_t stream);

/* g [rows][F]. Launches on stream. Local. */
template <typename real>
enum frx_status frx_layers_backward(const struct frx_layers *layers, int l, int n_rep, const real *slope,
                                    real *g, cudaStream_t stream);

#endif
