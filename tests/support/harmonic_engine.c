#include "harmonic_engine.h"

#include "rng.h"
#include "units.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One slot is [positions][velocities][forces], n_bead * 3 each, then energy and identity, all double: what is
 * packed is the slot itself. */
struct frx_engine {
    const struct frx_system *system;
    struct frx_engine_options options;
    size_t n_dof, n_slot_double;
    double *k, *offset;       /* [n_bead] */
    double *slots;            /* [n_rep][n_slot_double] */
    double *beta;             /* [n_rep] */
    double *send, *receive;   /* as slots */
    float *noted_positions;   /* [n_rep][n_bead][3] */
    double *noted_energy;     /* [2][n_rep] potential, kinetic */
    uint32_t *noted_identity; /* [n_rep] */
    int64_t n_force_evaluation;
};

static double *slot_of(const struct frx_engine *e, int r) {
    return e->slots + (size_t)r * e->n_slot_double;
}

static double *energy_of(const struct frx_engine *e, int r) {
    return slot_of(e, r) + 3 * e->n_dof;
}

static uint32_t identity_of(const struct frx_engine *e, int r) {
    return (uint32_t)energy_of(e, r)[1];
}

static void evaluate(struct frx_engine *e, int r) {
    const double *x = slot_of(e, r);
    double *f = slot_of(e, r) + 2 * e->n_dof, energy = 0;
    for (int i = 0; i < e->system->n_bead; i++) {
        energy += e->offset[i];
        for (int a = 3 * i; a < 3 * i + 3; a++) {
            energy += e->k[i] * x[a] * x[a];
            f[a] = -2 * e->k[i] * x[a];
        }
    }
    *energy_of(e, r) = energy;
    e->n_force_evaluation++;
}

static enum frx_status harmonic_plan(const struct frx_system *system,
                                     const struct frx_engine_options *options, size_t *host_bytes,
                                     size_t *device_bytes) {
    const struct frx_prior *prior = system->prior;
    if (system->network || system->n_prior != 1 || prior->feature != FRX_FEATURE_RADIUS_SQUARED ||
        prior->form != FRX_FORM_POLYNOMIAL || prior->n_param != 2)
        return FRX_FAIL(FRX_ERR_UNSUPPORTED, "the harmonic engine has no energy but k |r|^2");
    const size_t n_bead = (size_t)system->n_bead, n_rep = (size_t)options->n_rep;
    *host_bytes = (2 * n_bead + n_rep * (3 * (9 * n_bead + 2) + 2)) * sizeof(double) +
                  n_rep * (3 * n_bead * sizeof(float) + sizeof(uint32_t));
    *device_bytes = 0;
    return FRX_OK;
}

static void harmonic_destroy(struct frx_engine *e) {
    if (!e) return;
    free(e->k);
    free(e->offset);
    free(e->slots);
    free(e->beta);
    free(e->send);
    free(e->receive);
    free(e->noted_positions);
    free(e->noted_energy);
    free(e->noted_identity);
    free(e);
}

static enum frx_status harmonic_create(const struct frx_system *system,
                                       const struct frx_engine_options *options, struct frx_engine **engine) {
    size_t host_bytes, device_bytes;
    FRX_TRY(harmonic_plan(system, options, &host_bytes, &device_bytes));
    struct frx_engine *e = calloc(1, sizeof *e);
    if (!e) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for an engine");
    const size_t n_bead = (size_t)system->n_bead, n_rep = (size_t)options->n_rep;
    e->system = system;
    e->options = *options;
    e->n_dof = 3 * n_bead;
    e->n_slot_double = 9 * n_bead + 2;
    e->k = calloc(n_bead, sizeof *e->k);
    e->offset = calloc(n_bead, sizeof *e->offset);
    e->slots = calloc(n_rep * e->n_slot_double, sizeof *e->slots);
    e->send = calloc(n_rep * e->n_slot_double, sizeof *e->send);
    e->receive = calloc(n_rep * e->n_slot_double, sizeof *e->receive);
    e->beta = calloc(n_rep, sizeof *e->beta);
    e->noted_positions = calloc(n_rep * 3 * n_bead, sizeof *e->noted_positions);
    e->noted_energy = calloc(2 * n_rep, sizeof *e->noted_energy);
    e->noted_identity = calloc(n_rep, sizeof *e->noted_identity);
    if (!e->k || !e->offset || !e->slots || !e->send || !e->receive || !e->beta || !e->noted_positions ||
        !e->noted_energy || !e->noted_identity) {
        harmonic_destroy(e);
        return FRX_FAIL(FRX_ERR_MEMORY, "no memory for %d replicas", options->n_rep);
    }
    const struct frx_prior *prior = system->prior;
    for (int t = 0; t < prior->n_term; t++) {
        e->offset[prior->atoms[t]] += prior->params[2 * t];
        e->k[prior->atoms[t]] += prior->params[2 * t + 1];
    }
    for (int r = 0; r < options->n_rep; r++) {
        memcpy(slot_of(e, r), system->structures, e->n_dof * sizeof(double));
        energy_of(e, r)[1] = r;
        e->beta[r] = FRX_BETA_OF_KELVIN(300);
        evaluate(e, r);
    }
    *engine = e;
    return FRX_OK;
}

static enum frx_status harmonic_set_state(struct frx_engine *e, int first, int n,
                                          const struct frx_state_view *state) {
    for (int i = 0; i < n; i++) {
        double *slot = slot_of(e, first + i);
        const size_t at = (size_t)i * e->n_dof, bytes = e->n_dof * sizeof(double);
        if (state->positions) memcpy(slot, state->positions + at, bytes);
        if (state->velocities) memcpy(slot + e->n_dof, state->velocities + at, bytes);
        evaluate(e, first + i);
        if (state->forces) memcpy(slot + 2 * e->n_dof, state->forces + at, bytes);
        if (state->energy) *energy_of(e, first + i) = state->energy[i];
        if (state->identity) energy_of(e, first + i)[1] = state->identity[i];
    }
    return FRX_OK;
}

static enum frx_status harmonic_get_state(struct frx_engine *e, int first, int n,
                                          const struct frx_state_view *state) {
    for (int i = 0; i < n; i++) {
        const double *slot = slot_of(e, first + i);
        const size_t at = (size_t)i * e->n_dof, bytes = e->n_dof * sizeof(double);
        if (state->positions) memcpy(state->positions + at, slot, bytes);
        if (state->velocities) memcpy(state->velocities + at, slot + e->n_dof, bytes);
        if (state->forces) memcpy(state->forces + at, slot + 2 * e->n_dof, bytes);
        if (state->energy) state->energy[i] = *energy_of(e, first + i);
        if (state->identity) state->identity[i] = identity_of(e, first + i);
    }
    return FRX_OK;
}

static enum frx_status harmonic_set_temperatures(struct frx_engine *e, const double *beta,
                                                 const double *velocity_scale) {
    for (int r = 0; r < e->options.n_rep; r++) {
        e->beta[r] = beta[r];
        double *v = slot_of(e, r) + e->n_dof;
        for (size_t a = 0; velocity_scale && a < e->n_dof; a++) v[a] *= velocity_scale[r];
    }
    return FRX_OK;
}

static enum frx_status harmonic_draw_velocities(struct frx_engine *e) {
    for (int r = 0; r < e->options.n_rep; r++)
        for (int i = 0; i < e->system->n_bead; i++) {
            const double sigma = 1 / sqrt(e->beta[r] * e->system->beads.mass[i]);
            float xi[4];
            frx_rng_normal4(
                frx_rng_draw(e->options.seed, FRX_RNG_VELOCITY, identity_of(e, r), 0, (uint32_t)i), xi);
            for (int a = 0; a < 3; a++) slot_of(e, r)[e->n_dof + 3 * (size_t)i + a] = sigma * xi[a];
        }
    return FRX_OK;
}

static void make_step(struct frx_engine *e, int r, int64_t step) {
    const double half = e->options.timestep / 2, c = exp(-e->options.friction * e->options.timestep);
    double *x = slot_of(e, r), *v = x + e->n_dof, *f = v + e->n_dof;
    for (int i = 0; i < e->system->n_bead; i++) {
        const double mass = e->system->beads.mass[i], sigma = sqrt((1 - c * c) / (e->beta[r] * mass));
        float xi[4];
        frx_rng_normal4(
            frx_rng_draw(e->options.seed, FRX_RNG_NOISE, identity_of(e, r), (uint64_t)step, (uint32_t)i), xi);
        for (int a = 0; a < 3; a++) {
            const int d = 3 * i + a;
            v[d] += half * f[d] / mass;
            x[d] += half * v[d];
            v[d] = c * v[d] + sigma * xi[a];
            x[d] += half * v[d];
        }
    }
    evaluate(e, r);
    for (int i = 0; i < e->system->n_bead; i++)
        for (int d = 3 * i; d < 3 * i + 3; d++) v[d] += half * f[d] / e->system->beads.mass[i];
}

static enum frx_status harmonic_propagate(struct frx_engine *e, int64_t step, int n_step) {
    int diverged = -1;
    for (int r = 0; r < e->options.n_rep; r++) {
        for (int s = 0; s < n_step; s++) make_step(e, r, step + s);
        if (diverged < 0 && !isfinite(*energy_of(e, r))) diverged = r;
    }
    if (diverged < 0) return FRX_OK;
    return FRX_FAIL(FRX_ERR_DIVERGED, "slot %d (replica %u) at %g K diverged before step %lld", diverged,
                    identity_of(e, diverged), FRX_KELVIN_OF_BETA(e->beta[diverged]),
                    (long long)(step + n_step));
}

static enum frx_status harmonic_recentre(struct frx_engine *e) {
    (void)e; /* the restraint is not translation invariant */
    return FRX_OK;
}

static enum frx_status harmonic_energies(struct frx_engine *e, double *energy) {
    for (int r = 0; r < e->options.n_rep; r++) energy[r] = *energy_of(e, r);
    return FRX_OK;
}

static enum frx_status harmonic_energy_parts(struct frx_engine *e, double *parts) {
    for (int r = 0; r < e->options.n_rep; r++) evaluate(e, r);
    return harmonic_energies(e, parts);
}

static enum frx_status harmonic_pack(struct frx_engine *e, int n, const int *slot) {
    for (int k = 0; k < n; k++)
        memcpy(e->send + (size_t)k * e->n_slot_double, slot_of(e, slot[k]),
               e->n_slot_double * sizeof(double));
    return FRX_OK;
}

static enum frx_status harmonic_unpack(struct frx_engine *e, int n, const int *slot) {
    for (int k = 0; k < n; k++)
        memcpy(slot_of(e, slot[k]), e->receive + (size_t)k * e->n_slot_double,
               e->n_slot_double * sizeof(double));
    return FRX_OK;
}

static enum frx_status harmonic_transport(struct frx_engine *e, size_t *packed_bytes, void **send_buffer,
                                          void **receive_buffer, void **stream) {
    *packed_bytes = e->n_slot_double * sizeof(double);
    *send_buffer = e->send;
    *receive_buffer = e->receive;
    *stream = NULL;
    return FRX_OK;
}

static enum frx_status harmonic_snapshot(struct frx_engine *e) {
    for (int r = 0; r < e->options.n_rep; r++) {
        for (size_t a = 0; a < e->n_dof; a++)
            e->noted_positions[(size_t)r * e->n_dof + a] = (float)slot_of(e, r)[a];
        e->noted_energy[r] = *energy_of(e, r);
        double *kinetic = &e->noted_energy[e->options.n_rep + r];
        *kinetic = 0;
        for (size_t a = 0; a < e->n_dof; a++) {
            const double v = slot_of(e, r)[e->n_dof + a];
            *kinetic += 0.5 * e->system->beads.mass[a / 3] * v * v;
        }
        e->noted_identity[r] = identity_of(e, r);
    }
    return FRX_OK;
}

static enum frx_status harmonic_snapshot_wait(struct frx_engine *e, float *positions, double *energy,
                                              double *kinetic, uint32_t *identity) {
    const size_t n_rep = (size_t)e->options.n_rep;
    memcpy(positions, e->noted_positions, n_rep * e->n_dof * sizeof *positions);
    memcpy(energy, e->noted_energy, n_rep * sizeof *energy);
    memcpy(kinetic, e->noted_energy + n_rep, n_rep * sizeof *kinetic);
    memcpy(identity, e->noted_identity, n_rep * sizeof *identity);
    return FRX_OK;
}

static enum frx_status harmonic_report(struct frx_engine *e, struct frx_engine_report *report) {
    *report = (struct frx_engine_report){.description = "harmonic oscillators",
                                         .n_force_evaluation = e->n_force_evaluation};
    return harmonic_plan(e->system, &e->options, &report->host_bytes, &report->device_bytes);
}

const struct frx_engine_class frx_harmonic_engine = {.name = "harmonic",
                                                     .memory = FRX_MEMORY_HOST,
                                                     .plan = harmonic_plan,
                                                     .create = harmonic_create,
                                                     .destroy = harmonic_destroy,
                                                     .set_state = harmonic_set_state,
                                                     .get_state = harmonic_get_state,
                                                     .set_temperatures = harmonic_set_temperatures,
                                                     .draw_velocities = harmonic_draw_velocities,
                                                     .propagate = harmonic_propagate,
                                                     .recentre = harmonic_recentre,
                                                     .energies = harmonic_energies,
                                                     .energy_parts = harmonic_energy_parts,
                                                     .pack = harmonic_pack,
                                                     .unpack = harmonic_unpack,
                                                     .transport = harmonic_transport,
                                                     .snapshot = harmonic_snapshot,
                                                     .snapshot_wait = harmonic_snapshot_wait,
                                                     .report = harmonic_report};
