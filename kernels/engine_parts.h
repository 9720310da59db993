/* What the CUDA engine is made of: one struct, shared by engine_create.cu (life), cuda_engine.cu (state in
 * and out, transport, output) and steps.cu (force evaluations, steps and their graphs). */
#ifndef FRX_KERNELS_ENGINE_PARTS_H
#define FRX_KERNELS_ENGINE_PARTS_H

#include "engine.h"
#include "network.h"
#include "prior.h"
#include "state.h"

#define FRX_STEPS_PER_GRAPH 32

/* Kinds of captured work. */
enum frx_graph {
    FRX_GRAPH_BLOCK,      /* FRX_STEPS_PER_GRAPH steps */
    FRX_GRAPH_STEP,       /* one step */
    FRX_GRAPH_LAST_STEP,  /* one step, with energies */
    FRX_GRAPH_EVALUATION, /* forces and energies of the present positions, into the scratch of the evaluation
                           */
    FRX_N_GRAPH
};

struct frx_engine {
    const struct frx_system *system;
    struct frx_engine_options options;
    struct frx_integrator integrator;
    struct frx_gpu_network *network; /* NULL: none */
    struct frx_gpu_prior prior;
    struct frx_gpu_state state;
    struct frx_gpu_part *host_part; /* [n_part] */

    struct frx_arena arena;
    char *send_buffer, *receive_buffer; /* [n_rep] packed configurations, device */
    float *snapshot_position;           /* [n_rep][n_bead][3], device */
    double *snapshot_energy;            /* [2][n_rep] potential, kinetic; device */
    uint32_t *snapshot_identity;        /* [n_rep], device */

    char *pinned; /* host memory for everything that crosses */
    size_t pinned_bytes;
    float *host_array;         /* [n_rep][n_bead][3], pinned: state in and out */
    double *host_energy;       /* [n_rep], pinned */
    uint32_t *host_identity;   /* [n_rep], pinned */
    uint64_t *host_divergence; /* [n_rep], pinned */
    uint8_t *host_stale;       /* [n_rep], pinned: copy of state.stale as of the work queued */
    float *out_position;       /* snapshots, pinned */
    double *out_energy;        /* [2][n_rep] */
    uint32_t *out_identity;

    cudaStream_t stream, side, output; /* steps; priors beside the network; snapshots */
    cudaEvent_t fork, join, snapshot_taken, snapshot_out;
    cudaGraphExec_t graph[FRX_N_GRAPH];
    struct frx_timer *timer; /* NULL: stages are not timed */
    int snapshot_pending;
    uint8_t *diverged; /* [n_rep] the slot's divergence has been reported */
    double *beta;      /* [n_rep] for messages */
    int64_t n_force_evaluation;
};

/* Functions of the engine's table (engine.h) that are needed in more than one file. */
enum frx_status frx_cuda_plan(const struct frx_system *system, const struct frx_engine_options *options,
                              size_t *host, size_t *device);
enum frx_status frx_cuda_create(const struct frx_system *system, const struct frx_engine_options *options,
                                struct frx_engine **result);
void frx_cuda_destroy(struct frx_engine *engine);
enum frx_status frx_cuda_set_state(struct frx_engine *engine, int first, int n,
                                   const struct frx_state_view *view);
enum frx_status frx_cuda_set_temperatures(struct frx_engine *engine, const double *beta,
                                          const double *velocity_scale);

/* Host memory that the engine holds, bytes. Local. */
size_t frx_cuda_host_bytes(struct frx_engine *engine);

/* Bring forces and energy of stale slots up to date (queued). Local. */
FRX_CHECKED enum frx_status frx_steps_refresh(struct frx_engine *engine);

/* Queue one evaluation of forces and energies: stale slots take them, the others keep their own. part_energy
 * is written. Local. */
FRX_CHECKED enum frx_status frx_steps_evaluate(struct frx_engine *engine);

/* Queue steps step .. step + n_step - 1. Local. */
FRX_CHECKED enum frx_status frx_steps_propagate(struct frx_engine *engine, int64_t step, int n_step);

#endif
