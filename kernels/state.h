/* What the GPU keeps of every slot, and the kernels that act on it: dynamics, energies, transport.
 *
 * All launchers queue one kernel on the stream and return the status of the launch. Local. */
#ifndef FRX_KERNELS_STATE_H
#define FRX_KERNELS_STATE_H

#include "device.h"
#include "prior.h"

#include <stdint.h>

/* A replica that diverged: (step + 1) << FRX_BEAD_BITS | bead of its first bead that did, step -1 being a
 * start that is no good; FRX_NOT_DIVERGED otherwise. The bead FRX_NO_BEAD stands for the energy. */
#define FRX_BEAD_BITS    20
#define FRX_NO_BEAD      ((1u << FRX_BEAD_BITS) - 1)
#define FRX_NOT_DIVERGED UINT64_MAX

#ifdef __CUDACC__
/* The smallest (step, bead) wins, whatever the order of threads. */
static __device__ __forceinline__ void frx_record_divergence(uint64_t *divergence, int64_t step,
                                                             uint32_t bead) {
    atomicMin((unsigned long long *)divergence, (unsigned long long)(step + 1) << FRX_BEAD_BITS | bead);
}

/* Past the L1 cache, which atomics do not update. */
static __device__ __forceinline__ int frx_has_diverged(const uint64_t *divergence) {
    return __ldcg((const unsigned long long *)divergence) != FRX_NOT_DIVERGED;
}
#endif

/* Device arrays unless said otherwise; float in base units; indices as in [n_rep][n_bead][3]. */
struct frx_gpu_state {
    int n_rep, n_bead, n_part;

    float *position, *velocity, *force;
    double *energy;     /* [n_rep], kcal/mol */
    uint32_t *identity; /* [n_rep] */
    float *thermal;     /* [n_rep] 1/sqrt(beta) */

    /* The latest evaluation; NULL: the system has no such part. */
    float *network_force, *prior_force;
    float *bead_energy;        /* [n_rep][n_bead] of the network, without shift */
    double *part_energy;       /* [n_rep][n_part] */
    struct frx_gpu_part *part; /* [n_part] */

    float *inverse_mass;  /* [n_bead] */
    uint64_t *divergence; /* [n_rep] */
    uint8_t *stale;       /* [n_rep] forces or energy of the slot are not those of its positions */
    int64_t *step;        /* the first step of the block of steps in progress */
};

/* Coefficients of BAOAB (engine.h). */
struct frx_integrator {
    float half_step; /* dt/2 */
    float memory;    /* c = exp(-friction dt) */
    float noise;     /* sqrt(1 - c^2) */
    uint64_t seed;
};

/* What one launch of the integrator does with every bead, in this order. One launch between two force
 * evaluations finishes a step and begins the next. */
enum frx_phase {
    FRX_PHASE_BEGIN, /* B A O A with the forces of the state */
    FRX_PHASE_TURN,  /* take the new forces; B of step; B A O A of the next */
    FRX_PHASE_FINISH /* take the new forces; B */
};

/* Do a phase. The step being begun (finished, for FINISH) is *state->step + offset. Records divergence. */
FRX_CHECKED enum frx_status frx_integrate(const struct frx_gpu_state *state,
                                          const struct frx_integrator *integrator, enum frx_phase phase,
                                          int offset, cudaStream_t stream);

/* *state->step = step. */
FRX_CHECKED enum frx_status frx_state_set_step(const struct frx_gpu_state *state, int64_t step,
                                               cudaStream_t stream);

/* Take forces and energies of the latest evaluation in the slots that are stale; no slot is stale afterwards.
 */
FRX_CHECKED enum frx_status frx_state_refresh(const struct frx_gpu_state *state, cudaStream_t stream);

/* Maxwell-Boltzmann velocities of all slots. */
FRX_CHECKED enum frx_status frx_state_draw_velocities(const struct frx_gpu_state *state, uint64_t seed,
                                                      cudaStream_t stream);

/* Centres of geometry to the origin. */
FRX_CHECKED enum frx_status frx_state_recentre(const struct frx_gpu_state *state, cudaStream_t stream);

/* kinetic [n_rep], kcal/mol, device = sum_i m_i v_i^2 / 2 in double, in a fixed order. */
FRX_CHECKED enum frx_status frx_state_kinetic(const struct frx_gpu_state *state, double *kinetic,
                                              cudaStream_t stream);

/* beta [n_rep], mol/kcal, host; velocity_scale [n_rep], host, or NULL: 1. Both may be reused on return. */
FRX_CHECKED enum frx_status frx_state_set_temperatures(const struct frx_gpu_state *state, const double *beta,
                                                       const double *velocity_scale, cudaStream_t stream);

/* Sum item energies of the latest evaluation in double, in a fixed order: part_energy of all slots, and, if
 * `total`, energy, which is not a number in a slot that diverged. Records an energy that is not finite as
 * divergence in step *state->step + offset. */
FRX_CHECKED enum frx_status frx_reduce_energies(const struct frx_gpu_state *state, int total, int offset,
                                                cudaStream_t stream);

/* A configuration on the way: energy, identity, and positions, velocities, forces as in the state. Bytes. */
size_t frx_packed_bytes(int n_bead);

/* slot [n], host, may be reused on return; buffer: device. */
FRX_CHECKED enum frx_status frx_pack(const struct frx_gpu_state *state, int n, const int *slot, char *buffer,
                                     cudaStream_t stream);
FRX_CHECKED enum frx_status frx_unpack(const struct frx_gpu_state *state, int n, const int *slot,
                                       const char *buffer, cudaStream_t stream);

#endif
