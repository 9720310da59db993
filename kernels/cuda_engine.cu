/* The CUDA engine: life, configurations in and out, transport, output. Steps are in steps.cu. */
#include "cuda_engine.h"

#include "engine_parts.h"
#include "units.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static size_t host_bytes(struct frx_engine *engine) {
    const struct frx_gpu_prior *prior = &engine->prior;
    return engine->pinned_bytes + (engine->network ? engine->network->ops->host_bytes(engine->network) : 0) +
           prior->n_term * sizeof *prior->host_term + prior->n_param * sizeof *prior->host_param +
           prior->n_partner * sizeof *prior->host_partner;
}

/* ---- creation ---- */

static void destroy(struct frx_engine *engine) {
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
        const struct frx_network_ops *ops =
            options->precision == FRX_PRECISION_MIXED ? &frx_network_mixed : &frx_network_single;
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

static enum frx_status set_state(struct frx_engine *engine, int first, int n,
                                 const struct frx_state_view *view);
static enum frx_status set_temperatures(struct frx_engine *engine, const double *beta,
                                        const double *velocity_scale);

/* First starting structure at rest at 300 K everywhere. */
static enum frx_status start(struct frx_engine *engine) {
    const int n_rep = engine->options.n_rep;
    const size_t n = (size_t)engine->system->n_bead * 3;
    double *velocities = (double *)calloc(n, sizeof *velocities);
    if (!velocities) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for %zu velocities", n);
    enum frx_status status = FRX_OK;
    for (int r = 0; r < n_rep && status == FRX_OK; r++) {
        uint32_t identity = (uint32_t)r;
        const struct frx_state_view view = {engine->system->structures, velocities, NULL, NULL, &identity};
        engine->beta[r] = FRX_BETA_OF_KELVIN(300);
        status = set_state(engine, r, 1, &view);
    }
    free(velocities);
    if (status != FRX_OK) return status;
    FRX_TRY(set_temperatures(engine, engine->beta, NULL));
    return frx_state_set_step(&engine->state, 0, engine->stream);
}

static enum frx_status create(const struct frx_system *system, const struct frx_engine_options *options,
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
        destroy(engine);
        return status;
    }
    *result = engine;
    return FRX_OK;
}

static enum frx_status plan(const struct frx_system *system, const struct frx_engine_options *options,
                            size_t *host, size_t *device) {
    struct frx_engine *engine = (struct frx_engine *)calloc(1, sizeof *engine);
    if (!engine) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for an engine");
    const enum frx_status status = prepare(system, options, engine);
    if (status == FRX_OK) {
        *host = host_bytes(engine);
        *device = engine->arena.used;
    }
    destroy(engine);
    return status;
}

/* ---- divergence ---- */

/* Wait for all that is queued, then report the earliest divergence that has not been reported. */
static enum frx_status wait_and_check(struct frx_engine *engine) {
    const int n_rep = engine->options.n_rep;
    FRX_CUDA(cudaMemcpyAsync(engine->host_divergence, engine->state.divergence,
                             n_rep * sizeof *engine->host_divergence, cudaMemcpyDeviceToHost,
                             engine->stream));
    FRX_CUDA(cudaMemcpyAsync(engine->host_identity, engine->state.identity,
                             n_rep * sizeof *engine->host_identity, cudaMemcpyDeviceToHost, engine->stream));
    FRX_CUDA(cudaStreamSynchronize(engine->stream));
    int first = -1, n = 0;
    for (int r = 0; r < n_rep; r++) {
        const uint64_t found = engine->host_divergence[r];
        if (found == FRX_NOT_DIVERGED || engine->diverged[r]) continue;
        engine->diverged[r] = 1;
        if (first < 0 || found < engine->host_divergence[first]) first = r;
        n++;
    }
    if (first < 0) return FRX_OK;
    const uint64_t found = engine->host_divergence[first];
    const long long step = (long long)(found >> FRX_BEAD_BITS) - 1;
    const unsigned int bead = (unsigned int)(found & FRX_NO_BEAD);
    char when[48] = "at the start", what[80] = "its energy is not finite", others[48] = "";
    if (step >= 0) snprintf(when, sizeof when, "in step %lld", step);
    if (bead != FRX_NO_BEAD)
        snprintf(what, sizeof what, "bead %u moved too far, or its position or force is not finite", bead);
    if (n > 1) snprintf(others, sizeof others, "; %d other slots diverged too", n - 1);
    return FRX_FAIL(FRX_ERR_DIVERGED, "slot %d (replica %u, %.1f K) diverged %s: %s%s", first,
                    engine->host_identity[first], FRX_KELVIN_OF_BETA(engine->beta[first]), when, what,
                    others);
}

/* ---- state ---- */

static enum frx_status check_slots(const struct frx_engine *engine, int first, int n) {
    if (first < 0 || n < 0 || first > engine->options.n_rep - n)
        return FRX_FAIL(FRX_ERR_ARGUMENT, "slots %d to %d of %d", first, first + n - 1,
                        engine->options.n_rep);
    return FRX_OK;
}

/* One array of n slots: float on the device, double on the host. NULL: nothing. Waits. */
static enum frx_status put_array(struct frx_engine *engine, float *array, int first, int n,
                                 const double *source) {
    const size_t per_slot = (size_t)engine->system->n_bead * 3, count = n * per_slot;
    if (!source) return FRX_OK;
    for (size_t k = 0; k < count; k++) engine->host_array[k] = (float)source[k];
    FRX_CUDA(cudaMemcpyAsync(array + first * per_slot, engine->host_array, count * sizeof(float),
                             cudaMemcpyHostToDevice, engine->stream));
    FRX_CUDA(cudaStreamSynchronize(engine->stream));
    return FRX_OK;
}

static enum frx_status get_array(struct frx_engine *engine, const float *array, int first, int n,
                                 double *destination) {
    const size_t per_slot = (size_t)engine->system->n_bead * 3, count = n * per_slot;
    if (!destination) return FRX_OK;
    FRX_CUDA(cudaMemcpyAsync(engine->host_array, array + first * per_slot, count * sizeof(float),
                             cudaMemcpyDeviceToHost, engine->stream));
    FRX_CUDA(cudaStreamSynchronize(engine->stream));
    for (size_t k = 0; k < count; k++) destination[k] = engine->host_array[k];
    return FRX_OK;
}

static enum frx_status set_state(struct frx_engine *engine, int first, int n,
                                 const struct frx_state_view *view) {
    struct frx_gpu_state *state = &engine->state;
    FRX_TRY(check_slots(engine, first, n));
    FRX_TRY(put_array(engine, state->position, first, n, view->positions));
    FRX_TRY(put_array(engine, state->velocity, first, n, view->velocities));
    FRX_TRY(put_array(engine, state->force, first, n, view->forces));
    if (view->energy)
        FRX_CUDA(cudaMemcpyAsync(state->energy + first, view->energy, n * sizeof *state->energy,
                                 cudaMemcpyHostToDevice, engine->stream));
    if (view->identity)
        FRX_CUDA(cudaMemcpyAsync(state->identity + first, view->identity, n * sizeof *state->identity,
                                 cudaMemcpyHostToDevice, engine->stream));
    if (view->positions || view->forces || view->energy)
        for (int r = first; r < first + n; r++) engine->host_stale[r] = !(view->forces && view->energy);
    FRX_CUDA(cudaMemcpyAsync(state->stale + first, engine->host_stale + first, n, cudaMemcpyHostToDevice,
                             engine->stream));
    if (view->positions) { /* a new configuration, a new chance */
        FRX_CUDA(
            cudaMemsetAsync(state->divergence + first, 0xff, n * sizeof *state->divergence, engine->stream));
        memset(engine->diverged + first, 0, n);
    }
    FRX_CUDA(cudaStreamSynchronize(engine->stream));
    return FRX_OK;
}

static enum frx_status get_state(struct frx_engine *engine, int first, int n,
                                 const struct frx_state_view *view) {
    const struct frx_gpu_state *state = &engine->state;
    FRX_TRY(check_slots(engine, first, n));
    if (view->forces || view->energy) FRX_TRY(frx_steps_refresh(engine));
    FRX_TRY(get_array(engine, state->position, first, n, view->positions));
    FRX_TRY(get_array(engine, state->velocity, first, n, view->velocities));
    FRX_TRY(get_array(engine, state->force, first, n, view->forces));
    if (view->energy)
        FRX_CUDA(cudaMemcpyAsync(view->energy, state->energy + first, n * sizeof *state->energy,
                                 cudaMemcpyDeviceToHost, engine->stream));
    if (view->identity)
        FRX_CUDA(cudaMemcpyAsync(view->identity, state->identity + first, n * sizeof *state->identity,
                                 cudaMemcpyDeviceToHost, engine->stream));
    return wait_and_check(engine);
}

static enum frx_status set_temperatures(struct frx_engine *engine, const double *beta,
                                        const double *velocity_scale) {
    for (int r = 0; r < engine->options.n_rep; r++)
        if (!(beta[r] > 0) || !isfinite(beta[r]))
            return FRX_FAIL(FRX_ERR_ARGUMENT, "slot %d: beta is %g mol/kcal", r, beta[r]);
    if (engine->beta != beta) memcpy(engine->beta, beta, engine->options.n_rep * sizeof *beta);
    return frx_state_set_temperatures(&engine->state, beta, velocity_scale, engine->stream);
}

static enum frx_status draw_velocities(struct frx_engine *engine) {
    return frx_state_draw_velocities(&engine->state, engine->options.seed, engine->stream);
}

static enum frx_status recentre(struct frx_engine *engine) {
    if (!frx_system_is_translation_invariant(engine->system)) return FRX_OK;
    return frx_state_recentre(&engine->state, engine->stream);
}

static enum frx_status energies(struct frx_engine *engine, double *energy) {
    const size_t bytes = engine->options.n_rep * sizeof *energy;
    FRX_TRY(frx_steps_refresh(engine));
    FRX_CUDA(cudaMemcpyAsync(engine->host_energy, engine->state.energy, bytes, cudaMemcpyDeviceToHost,
                             engine->stream));
    const enum frx_status status = wait_and_check(engine);
    memcpy(energy, engine->host_energy, bytes);
    return status;
}

static enum frx_status energy_parts(struct frx_engine *engine, double *parts) {
    const size_t n = (size_t)engine->options.n_rep * engine->state.n_part;
    FRX_TRY(frx_steps_evaluate(engine));
    FRX_CUDA(cudaMemcpyAsync(parts, engine->state.part_energy, n * sizeof *parts, cudaMemcpyDeviceToHost,
                             engine->stream));
    return wait_and_check(engine);
}

/* ---- transport ---- */

static enum frx_status check_list(const struct frx_engine *engine, int n, const int *slot) {
    if (n < 0 || n > engine->options.n_rep)
        return FRX_FAIL(FRX_ERR_ARGUMENT, "%d configurations, the buffers hold %d", n, engine->options.n_rep);
    for (int k = 0; k < n; k++) FRX_TRY(check_slots(engine, slot[k], 1));
    return FRX_OK;
}

static enum frx_status pack(struct frx_engine *engine, int n, const int *slot) {
    FRX_TRY(check_list(engine, n, slot));
    FRX_TRY(frx_steps_refresh(engine));
    return frx_pack(&engine->state, n, slot, engine->send_buffer, engine->stream);
}

static enum frx_status unpack(struct frx_engine *engine, int n, const int *slot) {
    FRX_TRY(check_list(engine, n, slot));
    for (int k = 0; k < n; k++) engine->host_stale[slot[k]] = engine->diverged[slot[k]] = 0;
    return frx_unpack(&engine->state, n, slot, engine->receive_buffer, engine->stream);
}

static enum frx_status transport(struct frx_engine *engine, size_t *packed_bytes, void **send_buffer,
                                 void **receive_buffer, void **stream) {
    *packed_bytes = frx_packed_bytes(engine->system->n_bead);
    *send_buffer = engine->send_buffer;
    *receive_buffer = engine->receive_buffer;
    *stream = engine->stream;
    return FRX_OK;
}

/* ---- output ---- */

/* The positions are copied on the device, behind the steps queued so far, and travel to the host beside the
 * next ones. */
static enum frx_status snapshot(struct frx_engine *engine) {
    const struct frx_gpu_state *state = &engine->state;
    const size_t n_rep = (size_t)state->n_rep, n = n_rep * state->n_bead * 3;
    if (engine->snapshot_pending)
        return FRX_FAIL(FRX_ERR_ARGUMENT, "the last snapshot has not been taken yet");
    FRX_TRY(frx_steps_refresh(engine));
#define COPY(to, from, count, kind, stream)                                                                  \
    FRX_CUDA(cudaMemcpyAsync(engine->to, from, (count) * sizeof *engine->to, kind, stream))
    COPY(snapshot_position, state->position, n, cudaMemcpyDeviceToDevice, engine->stream);
    COPY(snapshot_energy, state->energy, n_rep, cudaMemcpyDeviceToDevice, engine->stream);
    COPY(snapshot_identity, state->identity, n_rep, cudaMemcpyDeviceToDevice, engine->stream);
    FRX_TRY(frx_state_kinetic(state, engine->snapshot_energy + n_rep, engine->stream));
    FRX_CUDA(cudaEventRecord(engine->snapshot_taken, engine->stream));
    FRX_CUDA(cudaStreamWaitEvent(engine->output, engine->snapshot_taken, 0));
    COPY(out_position, engine->snapshot_position, n, cudaMemcpyDeviceToHost, engine->output);
    COPY(out_energy, engine->snapshot_energy, 2 * n_rep, cudaMemcpyDeviceToHost, engine->output);
    COPY(out_identity, engine->snapshot_identity, n_rep, cudaMemcpyDeviceToHost, engine->output);
#undef COPY
    FRX_CUDA(cudaEventRecord(engine->snapshot_out, engine->output));
    engine->snapshot_pending = 1;
    return FRX_OK;
}

static enum frx_status snapshot_wait(struct frx_engine *engine, float *positions, double *energy,
                                     double *kinetic, uint32_t *identity) {
    const size_t n_rep = (size_t)engine->options.n_rep, n = n_rep * engine->system->n_bead * 3;
    if (!engine->snapshot_pending) return FRX_FAIL(FRX_ERR_ARGUMENT, "there is no snapshot to wait for");
    FRX_CUDA(cudaEventSynchronize(engine->snapshot_out));
    engine->snapshot_pending = 0;
    memcpy(positions, engine->out_position, n * sizeof *positions);
    memcpy(energy, engine->out_energy, n_rep * sizeof *energy);
    memcpy(kinetic, engine->out_energy + n_rep, n_rep * sizeof *kinetic);
    memcpy(identity, engine->out_identity, n_rep * sizeof *identity);
    return FRX_OK;
}

static enum frx_status report(struct frx_engine *engine, struct frx_engine_report *report) {
    struct cudaDeviceProp properties;
    memset(report, 0, sizeof *report);
    FRX_CUDA(cudaGetDeviceProperties(&properties, engine->options.device));
    snprintf(report->description, sizeof report->description, "CUDA, GPU %d (%.128s), %s",
             engine->options.device, properties.name,
             engine->network ? engine->network->ops->name : "single precision");
    report->host_bytes = host_bytes(engine);
    report->device_bytes = engine->arena.used;
    if (engine->network) {
        report->n_knot = engine->network->n_knot;
        report->table_error_value = engine->network->table_error_value;
        report->table_error_slope = engine->network->table_error_slope;
    }
    for (int k = 0; engine->timer && k < FRX_N_STAGE; k++) {
        report->stage[k].name = frx_stage_name((enum frx_stage)k);
        report->stage[k].seconds = frx_timer_seconds(engine->timer, (enum frx_stage)k);
        report->n_stage = k + 1;
    }
    report->n_force_evaluation = engine->n_force_evaluation;
    return wait_and_check(engine);
}

const struct frx_engine_class frx_cuda_engine = {"cuda",
                                                 FRX_MEMORY_DEVICE,
                                                 plan,
                                                 create,
                                                 destroy,
                                                 set_state,
                                                 get_state,
                                                 set_temperatures,
                                                 draw_velocities,
                                                 frx_steps_propagate,
                                                 recentre,
                                                 energies,
                                                 energy_parts,
                                                 pack,
                                                 unpack,
                                                 transport,
                                                 snapshot,
                                                 snapshot_wait,
                                                 report};
