/* The CUDA engine: configurations in and out, transport, output. Its life is in engine_create.cu, its steps
 * in steps.cu. */
#include "cuda_engine.h"

#include "engine_parts.h"
#include "units.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- divergence ---- */

/* Wait for all that is queued, learn who is in which slot, and report the earliest divergence that has not
 * been reported. */
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

enum frx_status frx_cuda_set_state(struct frx_engine *engine, int first, int n,
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
        FRX_CUDA(cudaMemcpyAsync(engine->host_energy, state->energy + first, n * sizeof *state->energy,
                                 cudaMemcpyDeviceToHost, engine->stream));
    const enum frx_status status = wait_and_check(engine); /* and learn all identities */
    if (view->energy) memcpy(view->energy, engine->host_energy, n * sizeof *view->energy);
    if (view->identity) memcpy(view->identity, engine->host_identity + first, n * sizeof *view->identity);
    return status;
}

enum frx_status frx_cuda_set_temperatures(struct frx_engine *engine, const double *beta,
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
    report->host_bytes = frx_cuda_host_bytes(engine);
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
                                                 frx_cuda_plan,
                                                 frx_cuda_create,
                                                 frx_cuda_destroy,
                                                 frx_cuda_set_state,
                                                 get_state,
                                                 frx_cuda_set_temperatures,
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
