/* Life of the CUDA engine: sizes, memory, constants, the start; and its end. */
#include "cuda_engine.h"

#include "engine_parts.h"
#include "units.h"

#include <math.h>
#include <stdlib.h>

#define MAX_REPLICA 65535 /* second dimension of a grid */

/* ---- memory ---- */

static void layout_state(struct frx_engine *engine, struct frx_arena *arena) {
    struct frx_gpu_state *state = &engine->state;
    const size_t n_rep = (size_t)state->n_rep, n_bead = (size_t)state->n_bead,
                 n_coordinate = n_rep * n_bead * 3;
    FRX_TAKE(arena, state->position, n_coordinate);
    FRX_TAKE(arena, state->velocity, n_coordinate);
    FRX_TAKE(arena, state->force, n_coordinate);
    FRX_TAKE(arena, state->energy, n_rep);
    FRX_TAKE(arena, state->identity, n_rep);
    FRX_TAKE(arena, state->thermal, n_rep);
    state->network_force = state->prior_force = state->bead_energy = NULL;
    if (engine->network) {
        FRX_TAKE(arena, state->network_force, n_coordinate);
        FRX_TAKE(arena, state->bead_energy, n_rep * n_bead);
    }
    if (engine->system->n_prior > 0) FRX_TAKE(arena, state->prior_force, n_coordinate);
    FRX_TAKE(arena, state->part_energy, n_rep * state->n_part);
    FRX_TAKE(arena, state->part, state->n_part);
    FRX_TAKE(arena, state->inverse_mass, n_bead);
    FRX_TAKE(arena, state->divergence, n_rep);
    FRX_TAKE(arena, state->stale, n_rep);
    FRX_TAKE(arena, state->step, 1);
    FRX_TAKE(arena, engine->send_buffer, n_rep * frx_packed_bytes(state->n_bead));
    FRX_TAKE(arena, engine->receive_buffer, n_rep * frx_packed_bytes(state->n_bead));
    FRX_TAKE(arena, engine->snapshot_position, n_coordinate);
    FRX_TAKE(arena, engine->snapshot_energy, 2 * n_rep);
    FRX_TAKE(arena, engine->snapshot_identity, n_rep);
}

/* Everything on the device for n_rep replicas; returns its size. */
static size_t layout(struct frx_engine *engine, int n_rep, char *base) {
    struct frx_arena arena = {base, 0};
    engine->state.n_rep = engine->prior.n_rep = n_rep;
    layout_state(engine, &arena);
    frx_gpu_prior_layout(&engine->prior, &arena);
    if (engine->network) {
        engine->network->n_rep = n_rep;
        engine->network->ops->layout(engine->network, &arena);
    }
    return arena.used;
}

/* Everything pinned on the host; returns its size. */
static size_t layout_pinned(struct frx_engine *engine, char *base) {
    struct frx_arena arena = {base, 0};
    const size_t n_rep = (size_t)engine->options.n_rep, n_coordinate = n_rep * engine->system->n_bead * 3;
    FRX_TAKE(&arena, engine->host_array, n_coordinate);
    FRX_TAKE(&arena, engine->host_energy, n_rep);
    FRX_TAKE(&arena, engine->host_identity, n_rep);
    FRX_TAKE(&arena, engine->host_divergence, n_rep);
    FRX_TAKE(&arena, engine->host_stale, n_rep);
    FRX_TAKE(&arena, engine->out_position, n_coordinate);
    FRX_TAKE(&arena, engine->out_energy, 2 * n_rep);
    FRX_TAKE(&arena, engine->out_identity, n_rep);
    return arena.used;
}

size_t frx_cuda_host_bytes(struct frx_engine *engine) {
    const struct frx_gpu_prior *prior = &engine->prior;
    return engine->pinned_bytes + (engine->network ? engine->network->ops->host_bytes(engine->network) : 0) +
           prior->n_term * sizeof *prior->host_term + prior->n_param * sizeof *prior->host_param +
           prior->n_partner * sizeof *prior->host_partner;
}

/* ---- creation ---- */

void frx_cuda_destroy(struct frx_engine *engine) {
    if (!engine) return;
    if (engine->stream) (void)cudaStreamSynchronize(engine->stream);
    if (engine->output) (void)cudaStreamSynchronize(engine->output);
    for (int k = 0; k < FRX_N_GRAPH; k++)
        if (engine->graph[k]) (void)cudaGraphExecDestroy(engine->graph[k]);
    cudaEvent_t event[] = {engine->fork, engine->join, engine->snapshot_taken, engine->snapshot_out};
    for (size_t k = 0; k < sizeof event / sizeof event[0]; k++)
        if (event[k]) (void)cudaEventDestroy(event[k]);
    cudaStream_t stream[] = {engine->stream, engine->side, engine->output};
    for (size_t k = 0; k < sizeof stream / sizeof stream[0]; k++)
        if (stream[k]) (void)cudaStreamDestroy(stream[k]);
    frx_timer_destroy(engine->timer);
    if (engine->arena.base) (void)cudaFree(engine->arena.base);
    if (engine->pinned) (void)cudaFreeHost(engine->pinned);
    if (engine->network) engine->network->ops->destroy(engine->network);
    frx_gpu_prior_clear(&engine->prior);
    free(engine->host_part);
    free(engine->diverged);
    free(engine->beta);
    free(engine);
}

static enum frx_status check_options(const struct frx_system *system,
                                     const struct frx_engine_options *options) {
    if (options->precision == FRX_PRECISION_DOUBLE)
        return FRX_FAIL(FRX_ERR_UNSUPPORTED, "the CUDA engine has no double precision: use single or mixed");
    if (options->n_rep < 1 || options->n_rep > MAX_REPLICA)
        return FRX_FAIL(FRX_ERR_UNSUPPORTED, "%d replicas on one GPU: 1 to %d are supported", options->n_rep,
                        MAX_REPLICA);
    if (3 * (int64_t)options->n_rep * system->n_bead > INT32_MAX || system->n_bead >= (int)FRX_NO_BEAD)
        return FRX_FAIL(FRX_ERR_UNSUPPORTED, "%d replicas of %d beads are too many for one GPU",
                        options->n_rep, system->n_bead);
    return FRX_OK;
}

/* The engine without the device: lists, tables, sizes. */
static enum frx_status prepare(const struct frx_system *system, const struct frx_engine_options *options,
                               struct frx_engine *engine) {
    FRX_TRY(check_options(system, options));
    const double memory = exp(-options->friction * options->timestep);
    engine->system = system;
    engine->options = *options;
    engine->integrator = {(float)(0.5 * options->timestep), (float)memory,
                          options->friction > 0 ? (float)sqrt(1 - memory * memory) : 0.0f, options->seed};
    engine->state.n_bead = system->n_bead;
    engine->state.n_part = frx_system_n_part(system);
    if (system->network) {
        const int mixed = options->precision == FRX_PRECISION_MIXED,
                  fused = !options->separate_kernels && frx_fused_takes(system);
        const struct frx_network_ops *ops =
            fused ? (mixed ? &frx_network_fused_mixed : &frx_network_fused_single)
                  : (mixed ? &frx_network_mixed : &frx_network_single);
        FRX_TRY(ops->create(system, options, &engine->network));
    }
    FRX_TRY(frx_gpu_prior_create(system, options->n_rep, &engine->prior));
    engine->host_part = (struct frx_gpu_part *)calloc(engine->state.n_part + 1, sizeof *engine->host_part);
    engine->diverged = (uint8_t *)calloc(options->n_rep, 1);
    engine->beta = (double *)calloc(options->n_rep, sizeof *engine->beta);
    if (!engine->host_part || !engine->diverged || !engine->beta)
        return FRX_FAIL(FRX_ERR_MEMORY, "no memory for %d replicas", options->n_rep);
    engine->pinned_bytes = layout_pinned(engine, NULL);
    engine->arena.used = layout(engine, options->n_rep, NULL);
    return FRX_OK;
}

static enum frx_status allocate(struct frx_engine *engine) {
    const size_t needed = engine->arena.used, reserve = (size_t)64 << 20; /* for the driver: graphs, stacks */
    size_t available, total;
    FRX_CUDA(cudaMemGetInfo(&available, &total));
    if (needed + reserve > available) {
        const size_t one = layout(engine, 1, NULL), two = layout(engine, 2, NULL), fixed = 2 * one - two;
        const size_t room = available > reserve + fixed ? available - reserve - fixed : 0;
        return FRX_FAIL(
            FRX_ERR_MEMORY,
            "%d replicas of %d beads need %.0f MiB on GPU %d, which has %.0f MiB free: %zu would fit",
            engine->options.n_rep, engine->system->n_bead, needed / 1048576.0, engine->options.device,
            available / 1048576.0, room / (two - one));
    }
    FRX_CUDA(cudaMalloc((void **)&engine->arena.base, needed));
    FRX_CUDA(cudaHostAlloc((void **)&engine->pinned, engine->pinned_bytes, cudaHostAllocDefault));
    (void)layout(engine, engine->options.n_rep, engine->arena.base);
    (void)layout_pinned(engine, engine->pinned);
    return FRX_OK;
}

static enum frx_status create_streams(struct frx_engine *engine) {
    FRX_CUDA(cudaStreamCreateWithFlags(&engine->stream, cudaStreamNonBlocking));
    FRX_CUDA(cudaStreamCreateWithFlags(&engine->side, cudaStreamNonBlocking));
    FRX_CUDA(cudaStreamCreateWithFlags(&engine->output, cudaStreamNonBlocking));
    FRX_CUDA(cudaEventCreateWithFlags(&engine->fork, cudaEventDisableTiming));
    FRX_CUDA(cudaEventCreateWithFlags(&engine->join, cudaEventDisableTiming));
    FRX_CUDA(cudaEventCreateWithFlags(&engine->snapshot_taken, cudaEventDisableTiming));
    FRX_CUDA(cudaEventCreateWithFlags(&engine->snapshot_out, cudaEventDisableTiming));
    if (engine->options.time_stages) FRX_TRY(frx_timer_create(&engine->timer));
    return FRX_OK;
}

static enum frx_status upload_constants(struct frx_engine *engine) {
    struct frx_gpu_state *state = &engine->state;
    const struct frx_system *system = engine->system;
    if (engine->network) {
        engine->host_part[0] = {state->bead_energy, state->n_bead, 0, state->n_bead, system->network->shift};
        FRX_TRY(engine->network->ops->upload(engine->network, engine->stream));
    }
    frx_gpu_prior_parts(&engine->prior, system, engine->host_part + (engine->network ? 1 : 0));
    FRX_CUDA(cudaMemcpyAsync(state->part, engine->host_part, state->n_part * sizeof *state->part,
                             cudaMemcpyHostToDevice, engine->stream));
    FRX_TRY(frx_gpu_prior_upload(&engine->prior, engine->stream));
    /* the masses, through the first row of the transfer array */
    for (int i = 0; i < system->n_bead; i++) engine->host_array[i] = (float)(1 / system->beads.mass[i]);
    FRX_CUDA(cudaMemcpyAsync(state->inverse_mass, engine->host_array, system->n_bead * sizeof(float),
                             cudaMemcpyHostToDevice, engine->stream));
    FRX_CUDA(cudaStreamSynchronize(engine->stream));
    return FRX_OK;
}

/* First starting structure at rest at 300 K everywhere, all slots at once: a wait for each of them took
 * minutes where processes share a GPU. Forces and energy are not known yet (stale); that they are zero lets
 * kernels carry them along. */
static enum frx_status start(struct frx_engine *engine) {
    struct frx_gpu_state *state = &engine->state;
    const size_t n_rep = (size_t)engine->options.n_rep, per_slot = (size_t)engine->system->n_bead * 3,
                 n = n_rep * per_slot;
    for (size_t k = 0; k < n; k++) engine->host_array[k] = (float)engine->system->structures[k % per_slot];
    for (size_t r = 0; r < n_rep; r++) {
        engine->host_identity[r] = (uint32_t)r;
        engine->host_stale[r] = 1;
        engine->beta[r] = FRX_BETA_OF_KELVIN(300);
    }
    const cudaMemcpyKind up = cudaMemcpyHostToDevice;
    cudaStream_t stream = engine->stream;
    FRX_CUDA(cudaMemcpyAsync(state->position, engine->host_array, n * sizeof *state->position, up, stream));
    FRX_CUDA(cudaMemsetAsync(state->velocity, 0, n * sizeof *state->velocity, stream));
    FRX_CUDA(cudaMemsetAsync(state->force, 0, n * sizeof *state->force, stream));
    FRX_CUDA(cudaMemsetAsync(state->energy, 0, n_rep * sizeof *state->energy, stream));
    FRX_CUDA(
        cudaMemcpyAsync(state->identity, engine->host_identity, n_rep * sizeof *state->identity, up, stream));
    FRX_CUDA(cudaMemcpyAsync(state->stale, engine->host_stale, n_rep * sizeof *state->stale, up, stream));
    FRX_CUDA(cudaMemsetAsync(state->divergence, 0xff, n_rep * sizeof *state->divergence, stream));
    FRX_TRY(frx_cuda_set_temperatures(engine, engine->beta, NULL));
    FRX_TRY(frx_state_set_step(state, 0, stream));
    FRX_CUDA(cudaStreamSynchronize(stream)); /* the pinned arrays may be used again */
    return FRX_OK;
}

enum frx_status frx_cuda_create(const struct frx_system *system, const struct frx_engine_options *options,
                                struct frx_engine **result) {
    struct frx_engine *engine = (struct frx_engine *)calloc(1, sizeof *engine);
    if (!engine) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for an engine");
    enum frx_status status = prepare(system, options, engine);
    if (status == FRX_OK) status = frx_device_select(options->device);
    if (status == FRX_OK) status = allocate(engine);
    if (status == FRX_OK) status = create_streams(engine);
    if (status == FRX_OK) status = upload_constants(engine);
    if (status == FRX_OK) status = start(engine);
    if (status != FRX_OK) {
        frx_cuda_destroy(engine);
        return status;
    }
    *result = engine;
    return FRX_OK;
}

enum frx_status frx_cuda_plan(const struct frx_system *system, const struct frx_engine_options *options,
                              size_t *host, size_t *device) {
    struct frx_engine *engine = (struct frx_engine *)calloc(1, sizeof *engine);
    if (!engine) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for an engine");
    const enum frx_status status = prepare(system, options, engine);
    if (status == FRX_OK) {
        *host = frx_cuda_host_bytes(engine);
        *device = engine->arena.used;
    }
    frx_cuda_destroy(engine);
    return status;
}
