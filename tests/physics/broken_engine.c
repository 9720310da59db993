#include "broken_engine.h"

#include "naive_schnet.h"

#include <stdlib.h>

/* What the overriding functions have to know; an engine is opaque, so it cannot carry this. */
static const struct frx_engine_class *good;
static const struct frx_system *the_system;
static struct frx_engine_options the_options;
static struct frx_engine_class broken;

static enum frx_status create(const struct frx_system *system, const struct frx_engine_options *options,
                              struct frx_engine **engine) {
    the_system = system;
    the_options = *options;
    return good->create(system, options, engine);
}

static void spoil_forces(const double *positions, double *forces) {
    const size_t size = 3 * (size_t)the_system->n_bead;
    double *missing = calloc(size, sizeof *missing);
    frx_naive_envelope_forces(the_system, positions, missing);
    for (size_t k = 0; k < size; k++) forces[k] -= missing[k];
    free(missing);
}

static enum frx_status get_state(struct frx_engine *engine, int first, int n,
                                 const struct frx_state_view *state) {
    const size_t size = 3 * (size_t)the_system->n_bead;
    FRX_TRY(good->get_state(engine, first, n, state));
    double *positions = calloc(size, sizeof *positions);
    const struct frx_state_view view = {.positions = positions};
    enum frx_status status = FRX_OK;
    for (int k = 0; k < n && state->forces && status == FRX_OK; k++) {
        status = good->get_state(engine, first + k, 1, &view);
        spoil_forces(positions, state->forces + (size_t)k * size);
    }
    free(positions);
    return status;
}

static enum frx_status propagate_spoiled(struct frx_engine *engine, int64_t step, int n_step) {
    const size_t size = 3 * (size_t)the_system->n_bead;
    double *x = calloc(3 * size, sizeof *x), *v = x + size, *f = v + size;
    const struct frx_state_view all = {.positions = x, .velocities = v, .forces = f};
    const struct frx_state_view moved = {.positions = x, .velocities = v};
    enum frx_status status = get_state(engine, 0, 1, &all);
    for (int64_t s = step; s < step + n_step && status == FRX_OK; s++) {
        for (int half = 0; half < 2 && status == FRX_OK; half++) {
            for (size_t k = 0; k < size; k++) {
                v[k] += 0.5 * the_options.timestep * f[k] / the_system->beads.mass[k / 3];
                if (half == 0) x[k] += the_options.timestep * v[k];
            }
            status = good->set_state(engine, 0, 1, &moved);
            if (half == 0 && status == FRX_OK)
                status = get_state(engine, 0, 1, &(struct frx_state_view){.forces = f});
        }
    }
    free(x);
    return status;
}

static enum frx_status set_temperatures(struct frx_engine *engine, const double *beta, const double *scale) {
    const size_t n = (size_t)the_options.n_rep;
    double *hotter = calloc(n, sizeof *hotter);
    for (size_t r = 0; r < n; r++) hotter[r] = beta[r] / 1.04;
    const enum frx_status status = good->set_temperatures(engine, hotter, scale);
    free(hotter);
    return status;
}

static enum frx_status propagate_same_noise(struct frx_engine *engine, int64_t step, int n_step) {
    (void)step;
    for (int s = 0; s < n_step; s++) FRX_TRY(good->propagate(engine, 0, 1));
    return FRX_OK;
}

const struct frx_engine_class *frx_broken_engine(const struct frx_engine_class *from, enum broken_kind kind) {
    good = from;
    broken = *from;
    broken.create = create;
    if (kind == BROKEN_ENVELOPE) {
        broken.get_state = get_state;
        broken.propagate = propagate_spoiled;
    }
    if (kind == BROKEN_NOISE) broken.set_temperatures = set_temperatures;
    if (kind == BROKEN_RANDOM) broken.propagate = propagate_same_noise;
    return &broken;
}
