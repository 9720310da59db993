/* The network on the GPU, behind one table: positions of all replicas in, forces and bead energies out.
 *
 *   E_r = shift + sum_i e_ri,  e_ri = scale OUT(x_ri)        bead energies         [n_rep][n_bead]
 *   f_ri = -dE_r/dx_ri                                       forces                [n_rep][n_bead][3]
 *
 * Each precision is one implementation: frx_network_single, frx_network_mixed; those of small molecules make
 * whole steps. Rules for all of them:
 * - the result for a replica depends on its positions only, bit by bit: not on its slot, n_rep or the other
 * replicas; the split of work within a replica is fixed, and there are no floating-point atomics;
 * - forces() only launches: everything can be captured in a graph, nothing is allocated, copied or waited
 * for;
 * - a replica with coordinates that are not finite yields rubbish for itself and harms nobody: no index is
 * computed from such a coordinate without a check. */
#ifndef FRX_KERNELS_NETWORK_H
#define FRX_KERNELS_NETWORK_H

#include "device.h"
#include "engine.h"
#include "state.h"

struct frx_network_ops;

/* What every implementation's own struct begins with. */
struct frx_gpu_network {
    const struct frx_network_ops *ops;
    int n_rep, n_bead;
    int n_knot;                                  /* of the filter tables */
    double table_error_value, table_error_slope; /* as in struct frx_engine_report */
};

struct frx_network_ops {
    const char *name; /* "single precision" */

    /* Prepare on the host: check widths, make filter tables. The system must outlive it and has a network.
     * Needs no GPU. Errors: FRX_ERR_UNSUPPORTED, FRX_ERR_MODEL, FRX_ERR_MEMORY. */
    enum frx_status (*create)(const struct frx_system *system, const struct frx_engine_options *options,
                              struct frx_gpu_network **network);

    /* Take every device array from the arena. Called once to count and once with memory. */
    void (*layout)(struct frx_gpu_network *network, struct frx_arena *arena);

    /* Fill constant arrays, choose launch shapes from this thread's device. Copies finish before it returns.
     * Errors: FRX_ERR_DEVICE, FRX_ERR_UNSUPPORTED (too little shared memory). */
    enum frx_status (*upload)(struct frx_gpu_network *network, cudaStream_t stream);

    /* positions [n_rep][n_bead][3] float, Angstrom, device; forces [n_rep][n_bead][3] float, kcal/mol/A,
     * device, overwritten; bead_energy [n_rep][n_bead] float, kcal/mol, device, or NULL: not wanted. timer:
     * NULL, or marks for the stages of enum frx_stage. Launches on stream. NULL: `steps` does everything. */
    enum frx_status (*forces)(struct frx_gpu_network *network, const float *positions, float *forces,
                              float *bead_energy, struct frx_timer *timer, cudaStream_t stream);

    /* NULL, or whole steps with priors and integration in one launch: n_step of them from *state->step on;
     * after the last, item energies are there if with_energy. n_step = 0: forces and item energies of the
     * present positions, into state->network_force, prior_force and the arrays of the parts. Launches on
     * stream. */
    enum frx_status (*steps)(struct frx_gpu_network *network, const struct frx_gpu_state *state,
                             const struct frx_gpu_prior *prior, const struct frx_integrator *integrator,
                             int n_step, int with_energy, cudaStream_t stream);

    /* Host memory that it holds, bytes (for the report). */
    size_t (*host_bytes)(const struct frx_gpu_network *network);

    void (*destroy)(struct frx_gpu_network *network); /* host memory only; NULL is fine */
};

extern const struct frx_network_ops frx_network_single, frx_network_mixed;

/* Small molecules, whole steps in one kernel (fused.h), and whether a system is one. Local. */
extern const struct frx_network_ops frx_network_fused_single, frx_network_fused_mixed;
int frx_fused_takes(const struct frx_system *system);

#endif
