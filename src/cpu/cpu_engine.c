#include "cpu_engine.h"

#include "force.h"
#include "integrate.h"
#include "units.h"

#include <inttypes.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What ended a slot's dynamics. The slot keeps the configuration in which that was noticed. */
enum fault { FAULT_NONE, FAULT_RUNAWAY, FAULT_FORCE, FAULT_MEMORY };

struct slot {
    double *positions, *velocities, *forces; /* [n_bead][3], in frx_engine.state */
    double energy, beta;
    uint32_t identity;
    int current; /* forces and energy belong to the positions */
    enum fault fault;
    int fault_bead;
    int64_t fault_step; /* -1: before any step */
};

struct frx_engine {
    const struct frx_system *system;
    struct frx_engine_options options;
    int n_thread;
    struct frx_force_field field;
    struct frx_integrator integrator;
    struct frx_force_work *work;   /* [n_thread] */
    struct slot *slot;             /* [n_rep] */
    double *state;                 /* [n_rep][3][n_bead][3] */
    unsigned char *send, *receive; /* [n_rep] packed configurations */
    float *snapshot_positions;     /* [n_rep][n_bead][3] */
    double *snapshot_energy;       /* [2][n_rep] potential, kinetic */
    uint32_t *snapshot_identity;   /* [n_rep] */
};

static size_t n_coordinate(const struct frx_system *system) {
    return 3 * (size_t)system->n_bead;
}

/* Positions, velocities, forces, energy, identity; whole doubles. */
static size_t packed_bytes(const struct frx_system *system) {
    return (3 * n_coordinate(system) + 2) * sizeof(double);
}

static int choose_threads(const struct frx_engine_options *options) {
    const int n = options->n_thread > 0 ? options->n_thread : omp_get_max_threads();
    return n < options->n_rep ? n : options->n_rep; /* a replica is one thread's */
}

/* ---- life ---- */

static size_t replica_bytes(const struct frx_system *system) {
    const size_t n = n_coordinate(system);
    return sizeof(struct slot) + 3 * n * sizeof(double) + 2 * packed_bytes(system) + n * sizeof(float) +
           2 * sizeof(double) + sizeof(uint32_t);
}

static size_t engine_bytes(const struct frx_system *system, const struct frx_engine_options *options,
                           const struct frx_force_field *field) {
    return sizeof(struct frx_engine) + (size_t)options->n_rep * replica_bytes(system) +
           frx_force_field_bytes(field) +
           (size_t)choose_threads(options) * (sizeof(struct frx_force_work) + frx_force_work_bytes(field));
}

static enum frx_status plan(const struct frx_system *system, const struct frx_engine_options *options,
                            size_t *host_bytes, size_t *device_bytes) {
    struct frx_force_field field; /* the only part whose size has to be found out: the tables */
    *host_bytes = *device_bytes = 0;
    const enum frx_status status =
        frx_force_field_create(system, options->precision, options->table_tolerance, &field);
    if (status == FRX_OK) *host_bytes = engine_bytes(system, options, &field);
    frx_force_field_clear(&field);
    return status;
}

static void destroy(struct frx_engine *engine) {
    if (!engine) return;
    for (int t = 0; engine->work && t < engine->n_thread; t++) frx_force_work_clear(&engine->work[t]);
    frx_force_field_clear(&engine->field);
    free(engine->work);
    free(engine->slot);
    free(engine->state);
    free(engine->send);
    free(engine->receive);
    free(engine->snapshot_positions);
    free(engine->snapshot_energy);
    free(engine->snapshot_identity);
    free(engine);
}

static enum frx_status allocate(struct frx_engine *engine) {
    const size_t n = n_coordinate(engine->system), n_rep = (size_t)engine->options.n_rep;
    engine->work = calloc((size_t)engine->n_thread, sizeof *engine->work);
    engine->slot = calloc(n_rep, sizeof *engine->slot);
    engine->state = calloc(n_rep * 3 * n, sizeof *engine->state);
    engine->send = calloc(n_rep, packed_bytes(engine->system));
    engine->receive = calloc(n_rep, packed_bytes(engine->system));
    engine->snapshot_positions = calloc(n_rep * n, sizeof *engine->snapshot_positions);
    engine->snapshot_energy = calloc(2 * n_rep, sizeof *engine->snapshot_energy);
    engine->snapshot_identity = calloc(n_rep, sizeof *engine->snapshot_identity);
    if (!engine->work || !engine->slot || !engine->state || !engine->send || !engine->receive ||
        !engine->snapshot_positions || !engine->snapshot_energy || !engine->snapshot_identity)
        return FRX_FAIL(FRX_ERR_MEMORY, "no memory for %zu replicas of %zu bytes each", n_rep,
                        replica_bytes(engine->system));
    for (int t = 0; t < engine->n_thread; t++)
        FRX_TRY(frx_force_work_create(&engine->field, &engine->work[t]));
    return FRX_OK;
}

static void fill_slots(struct frx_engine *engine) {
    const size_t n = n_coordinate(engine->system);
    for (int r = 0; r < engine->options.n_rep; r++) {
        struct slot *slot = &engine->slot[r];
        slot->positions = engine->state + (size_t)r * 3 * n;
        slot->velocities = slot->positions + n;
        slot->forces = slot->velocities + n;
        slot->beta = FRX_BETA_OF_KELVIN(300);
        slot->identity = (uint32_t)r;
        memcpy(slot->positions, engine->system->structures, n * sizeof *slot->positions);
    }
}

static enum frx_status create(const struct frx_system *system, const struct frx_engine_options *options,
                              struct frx_engine **engine) {
    *engine = NULL;
    if (options->n_rep < 1) return FRX_FAIL(FRX_ERR_ARGUMENT, "an engine of %d replicas", options->n_rep);
    struct frx_engine *new = calloc(1, sizeof *new);
    if (!new) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for an engine");
    new->system = system;
    new->options = *options;
    new->n_thread = choose_threads(options);
    new->integrator = (struct frx_integrator){.n_bead = system->n_bead,
                                              .mass = system->beads.mass,
                                              .timestep = options->timestep,
                                              .friction = options->friction,
                                              .seed = options->seed};
    enum frx_status status =
        frx_force_field_create(system, options->precision, options->table_tolerance, &new->field);
    if (status == FRX_OK) status = allocate(new);
    if (status != FRX_OK) {
        destroy(new);
        return status;
    }
    fill_slots(new);
    *engine = new;
    return FRX_OK;
}

/* ---- faults ---- */

static void set_fault(struct slot *slot, enum fault fault, int bead, int64_t step) {
    slot->fault = fault;
    slot->fault_bead = bead;
    slot->fault_step = step;
}

/* Report the first faulty slot of first .. first + n - 1. */
static enum frx_status report_faults(const struct frx_engine *engine, int first, int n) {
    for (int r = first; r < first + n; r++) {
        const struct slot *slot = &engine->slot[r];
        if (slot->fault == FAULT_NONE) continue;
        if (slot->fault == FAULT_MEMORY)
            return FRX_FAIL(FRX_ERR_MEMORY, "no memory for the neighbours in slot %d (replica %" PRIu32 ")",
                            r, slot->identity);
        char when[48] = "at the start";
        if (slot->fault_step >= 0) snprintf(when, sizeof when, "in step %" PRId64, slot->fault_step);
        const char *what = slot->fault == FAULT_RUNAWAY ? "moved farther than the limit of one step"
                                                        : "has a force or energy that is not a number";
        return FRX_FAIL(FRX_ERR_DIVERGED, "slot %d (replica %" PRIu32 ", %.1f K) diverged %s: bead %d %s", r,
                        slot->identity, FRX_KELVIN_OF_BETA(slot->beta), when, slot->fault_bead, what);
    }
    return FRX_OK;
}

/* ---- evaluation and dynamics of one slot ---- */

static void evaluate(const struct frx_engine *engine, struct frx_force_work *work, struct slot *slot,
                     int64_t step) {
    const size_t n = n_coordinate(engine->system);
    if (frx_force_eval(&engine->field, work, slot->positions, slot->forces, &slot->energy) != FRX_OK) {
        set_fault(slot, FAULT_MEMORY, 0, step);
        return;
    }
    slot->current = 1;
    double probe = 0 * slot->energy; /* stays 0 unless something is infinite or NaN */
    for (size_t k = 0; k < n; k++) probe += 0 * slot->forces[k];
    if (probe == 0) return;
    size_t k = 0;
    while (k < n - 1 && isfinite(slot->forces[k])) k++;
    set_fault(slot, FAULT_FORCE, (int)(k / 3), step);
}

static void propagate_slot(const struct frx_engine *engine, struct frx_force_work *work, struct slot *slot,
                           int64_t step, int n_step) {
    const struct frx_integrator *integrator = &engine->integrator;
    frx_stages_start(&work->stages);
    if (!slot->current && !slot->fault) evaluate(engine, work, slot, -1);
    for (int k = 0; k < n_step && !slot->fault; k++) {
        const int runaway = frx_integrate_move(integrator, slot->beta, slot->identity, step + k,
                                               slot->positions, slot->velocities, slot->forces);
        slot->current = 0;
        frx_stages_book(&work->stages, FRX_STAGE_INTEGRATION);
        if (runaway >= 0) {
            slot->energy = NAN; /* the old one belongs to other positions */
            set_fault(slot, FAULT_RUNAWAY, runaway, step + k);
            return;
        }
        evaluate(engine, work, slot, step + k);
        frx_integrate_kick(integrator, slot->velocities, slot->forces);
        frx_stages_book(&work->stages, FRX_STAGE_INTEGRATION);
    }
}

static enum frx_status propagate(struct frx_engine *engine, int64_t step, int n_step) {
#pragma omp parallel for schedule(dynamic, 1) num_threads(engine->n_thread)
    for (int r = 0; r < engine->options.n_rep; r++)
        propagate_slot(engine, &engine->work[omp_get_thread_num()], &engine->slot[r], step, n_step);
    return report_faults(engine, 0, engine->options.n_rep);
}

/* Bring forces and energies of n slots up to date. Mostly they are: then no thread has to be woken. */
static void refresh(struct frx_engine *engine, int first, int n) {
    int n_stale = 0;
    for (int r = first; r < first + n; r++) n_stale += !engine->slot[r].current && !engine->slot[r].fault;
    if (n_stale == 0) return;
#pragma omp parallel for schedule(dynamic, 1) num_threads(engine->n_thread)
    for (int r = first; r < first + n; r++)
        propagate_slot(engine, &engine->work[omp_get_thread_num()], &engine->slot[r], 0, 0);
}

/* ---- state ---- */

static enum frx_status check_slots(const struct frx_engine *engine, int first, int n) {
    if (first < 0 || n < 0 || first > engine->options.n_rep - n)
        return FRX_FAIL(FRX_ERR_INTERNAL, "slots %d to %d of %d", first, first + n - 1,
                        engine->options.n_rep);
    return FRX_OK;
}

static enum frx_status set_state(struct frx_engine *engine, int first, int n,
                                 const struct frx_state_view *state) {
    const size_t size = n_coordinate(engine->system), bytes = size * sizeof(double);
    FRX_TRY(check_slots(engine, first, n));
    for (int k = 0; k < n; k++) {
        struct slot *slot = &engine->slot[first + k];
        if (state->positions) {
            memcpy(slot->positions, state->positions + (size_t)k * size, bytes);
            slot->current = 0;
            slot->fault = FAULT_NONE;
        }
        if (state->velocities) memcpy(slot->velocities, state->velocities + (size_t)k * size, bytes);
        if (state->identity) slot->identity = state->identity[k];
        if (state->forces && state->energy) {
            memcpy(slot->forces, state->forces + (size_t)k * size, bytes);
            slot->energy = state->energy[k];
            slot->current = 1;
        }
    }
    return FRX_OK;
}

static enum frx_status get_state(struct frx_engine *engine, int first, int n,
                                 const struct frx_state_view *state) {
    const size_t size = n_coordinate(engine->system), bytes = size * sizeof(double);
    FRX_TRY(check_slots(engine, first, n));
    if (state->forces || state->energy) refresh(engine, first, n);
    enum frx_status status = FRX_OK;
    for (int k = 0; k < n; k++) {
        const struct slot *slot = &engine->slot[first + k];
        if (state->positions) memcpy(state->positions + (size_t)k * size, slot->positions, bytes);
        if (state->velocities) memcpy(state->velocities + (size_t)k * size, slot->velocities, bytes);
        if (state->forces) memcpy(state->forces + (size_t)k * size, slot->forces, bytes);
        if (state->energy) state->energy[k] = slot->energy;
        if (state->identity) state->identity[k] = slot->identity;
        /* what diverged under way has been reported and can be looked at; a bad start has not */
        if ((state->forces || state->energy) && slot->fault && slot->fault_step < 0 && status == FRX_OK)
            status = report_faults(engine, first + k, 1);
    }
    return status;
}

static enum frx_status set_temperatures(struct frx_engine *engine, const double *beta,
                                        const double *velocity_scale) {
    const size_t n = n_coordinate(engine->system);
    for (int r = 0; r < engine->options.n_rep; r++) {
        engine->slot[r].beta = beta[r];
        for (size_t k = 0; velocity_scale && k < n; k++) engine->slot[r].velocities[k] *= velocity_scale[r];
    }
    return FRX_OK;
}

static enum frx_status draw_velocities(struct frx_engine *engine) {
    for (int r = 0; r < engine->options.n_rep; r++)
        frx_integrate_draw(&engine->integrator, engine->slot[r].beta, engine->slot[r].identity,
                           engine->slot[r].velocities);
    return FRX_OK;
}

static enum frx_status recentre(struct frx_engine *engine) {
    const int n = engine->system->n_bead;
    if (!frx_system_is_translation_invariant(engine->system)) return FRX_OK;
    for (int r = 0; r < engine->options.n_rep; r++)
        for (int k = 0; k < 3; k++) {
            double *x = engine->slot[r].positions + k, centre = 0;
            for (int i = 0; i < n; i++) centre += x[3 * (size_t)i];
            centre /= n;
            for (int i = 0; i < n; i++) x[3 * (size_t)i] -= centre;
        }
    return FRX_OK;
}

static enum frx_status energies(struct frx_engine *engine, double *energy) {
    refresh(engine, 0, engine->options.n_rep);
    for (int r = 0; r < engine->options.n_rep; r++) energy[r] = engine->slot[r].energy;
    return report_faults(engine, 0, engine->options.n_rep);
}

static enum frx_status energy_parts(struct frx_engine *engine, double *parts) {
    const size_t n_part = (size_t)frx_system_n_part(engine->system);
    int out_of_memory = 0;
#pragma omp parallel for schedule(dynamic, 1) num_threads(engine->n_thread) reduction(| : out_of_memory)
    for (int r = 0; r < engine->options.n_rep; r++) {
        struct frx_force_work *work = &engine->work[omp_get_thread_num()];
        struct slot *slot = &engine->slot[r];
        double energy;
        frx_stages_start(&work->stages);
        if (!slot->current && !slot->fault)
            evaluate(engine, work, slot, -1);
        else if (frx_force_eval(&engine->field, work, slot->positions, work->forces, &energy) != FRX_OK)
            out_of_memory = 1;
        out_of_memory |= slot->fault == FAULT_MEMORY;
        memcpy(parts + (size_t)r * n_part, work->part, n_part * sizeof *parts);
    }
    if (out_of_memory) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for the neighbours of a replica");
    return FRX_OK;
}

/* ---- transport and output ---- */

static enum frx_status pack(struct frx_engine *engine, int n, const int *slots) {
    const size_t size = n_coordinate(engine->system), bytes = packed_bytes(engine->system);
    for (int k = 0; k < n; k++) {
        FRX_TRY(check_slots(engine, slots[k], 1));
        refresh(engine, slots[k], 1);
        FRX_TRY(report_faults(engine, slots[k], 1));
        const struct slot *slot = &engine->slot[slots[k]];
        unsigned char *to = engine->send + (size_t)k * bytes;
        memcpy(to, slot->positions, 3 * size * sizeof(double)); /* velocities and forces follow */
        memcpy(to + bytes - 2 * sizeof(double), &slot->energy, sizeof slot->energy);
        memset(to + bytes - sizeof(double), 0, sizeof(double));
        memcpy(to + bytes - sizeof(double), &slot->identity, sizeof slot->identity);
    }
    return FRX_OK;
}

static enum frx_status unpack(struct frx_engine *engine, int n, const int *slots) {
    const size_t size = n_coordinate(engine->system), bytes = packed_bytes(engine->system);
    for (int k = 0; k < n; k++) {
        FRX_TRY(check_slots(engine, slots[k], 1));
        struct slot *slot = &engine->slot[slots[k]];
        const unsigned char *from = engine->receive + (size_t)k * bytes;
        memcpy(slot->positions, from, 3 * size * sizeof(double));
        memcpy(&slot->energy, from + bytes - 2 * sizeof(double), sizeof slot->energy);
        memcpy(&slot->identity, from + bytes - sizeof(double), sizeof slot->identity);
        slot->current = 1;
        slot->fault = FAULT_NONE;
    }
    return FRX_OK;
}

static enum frx_status transport(struct frx_engine *engine, size_t *bytes, void **send_buffer,
                                 void **receive_buffer, void **stream) {
    *bytes = packed_bytes(engine->system);
    *send_buffer = engine->send;
    *receive_buffer = engine->receive;
    *stream = NULL;
    return FRX_OK;
}

static double kinetic_energy(const struct frx_system *system, const double *velocities) {
    double sum = 0;
    for (int i = 0; i < system->n_bead; i++)
        for (int d = 0; d < 3; d++)
            sum += 0.5 * system->beads.mass[i] * velocities[3 * i + d] * velocities[3 * i + d];
    return sum;
}

static enum frx_status snapshot(struct frx_engine *engine) {
    const size_t n = n_coordinate(engine->system);
    refresh(engine, 0, engine->options.n_rep);
    for (int r = 0; r < engine->options.n_rep; r++) {
        const struct slot *slot = &engine->slot[r];
        for (size_t k = 0; k < n; k++)
            engine->snapshot_positions[(size_t)r * n + k] = (float)slot->positions[k];
        engine->snapshot_energy[r] = slot->energy;
        engine->snapshot_energy[engine->options.n_rep + r] = kinetic_energy(engine->system, slot->velocities);
        engine->snapshot_identity[r] = slot->identity;
    }
    return FRX_OK;
}

static enum frx_status snapshot_wait(struct frx_engine *engine, float *positions, double *energy,
                                     double *kinetic, uint32_t *identity) {
    const size_t n_rep = (size_t)engine->options.n_rep;
    memcpy(positions, engine->snapshot_positions, n_rep * n_coordinate(engine->system) * sizeof *positions);
    memcpy(energy, engine->snapshot_energy, n_rep * sizeof *energy);
    memcpy(kinetic, engine->snapshot_energy + n_rep, n_rep * sizeof *kinetic);
    memcpy(identity, engine->snapshot_identity, n_rep * sizeof *identity);
    return FRX_OK;
}

static enum frx_status report(struct frx_engine *engine, struct frx_engine_report *to) {
    static const char *const name[] = {
#define FRX_STAGE_NAME(id, text) text,
        FRX_STAGE_LIST(FRX_STAGE_NAME)
#undef FRX_STAGE_NAME
    };
    *to = (struct frx_engine_report){.host_bytes =
                                         engine_bytes(engine->system, &engine->options, &engine->field),
                                     .n_knot = engine->field.table.grid.n_row,
                                     .table_error_value = engine->field.table.error_value,
                                     .table_error_slope = engine->field.table.error_slope,
                                     .n_stage = FRX_N_STAGE};
    snprintf(to->description, sizeof to->description, "CPU, %d thread%s, %s precision", engine->n_thread,
             engine->n_thread == 1 ? "" : "s",
             engine->options.precision == FRX_PRECISION_DOUBLE ? "double" : "single");
    for (int s = 0; s < FRX_N_STAGE; s++) {
        to->stage[s].name = name[s];
        for (int t = 0; t < engine->n_thread; t++)
            to->stage[s].seconds += engine->work[t].stages.seconds[s] / engine->n_thread;
    }
    for (int t = 0; t < engine->n_thread; t++) to->n_force_evaluation += engine->work[t].n_evaluation;
    return FRX_OK;
}

const struct frx_engine_class frx_cpu_engine = {.name = "cpu",
                                                .memory = FRX_MEMORY_HOST,
                                                .plan = plan,
                                                .create = create,
                                                .destroy = destroy,
                                                .set_state = set_state,
                                                .get_state = get_state,
                                                .set_temperatures = set_temperatures,
                                                .draw_velocities = draw_velocities,
                                                .propagate = propagate,
                                                .recentre = recentre,
                                                .energies = energies,
                                                .energy_parts = energy_parts,
                                                .pack = pack,
                                                .unpack = unpack,
                                                .transport = transport,
                                                .snapshot = snapshot,
                                                .snapshot_wait = snapshot_wait,
                                                .report = report};
