/* What a configuration does depends on its identity, its temperature and the step: not on its slot, on its
 * company, on threads, on restarts, on the way in or out. And a replica that breaks is named and breaks
 * alone. */
#include "check.h"
#include "make_system.h"
#include "physics.h"
#include "units.h"

#include <stdlib.h>
#include <string.h>

static void make_system(struct frx_system *system) {
    const struct frx_test_model model = frx_test_model_default();
    frx_test_system_make(&model, system);
}

static struct frx_engine *make_engine(const struct physics_case *c, const struct frx_system *system,
                                      int n_rep, int n_thread) {
    struct frx_engine_options options = physics_options(c, n_rep);
    options.friction = 1;
    options.n_thread = n_thread;
    return physics_engine(c, system, &options);
}

/* A whole configuration, as get_state hands it out. */
struct copy {
    double *positions, *velocities, *forces, energy;
    uint32_t identity;
};

static struct copy get_copy(const struct physics_case *c, const struct frx_system *system,
                            struct frx_engine *engine, int slot) {
    const size_t size = 3 * (size_t)system->n_bead;
    struct copy copy = {.positions = calloc(3 * size, sizeof(double))};
    copy.velocities = copy.positions + size;
    copy.forces = copy.velocities + size;
    CHECK_OK(c->engine->get_state(engine, slot, 1,
                                  &(struct frx_state_view){copy.positions, copy.velocities, copy.forces,
                                                           &copy.energy, &copy.identity}));
    return copy;
}

static void set_copy(const struct physics_case *c, struct frx_engine *engine, int slot, struct copy *copy) {
    CHECK_OK(c->engine->set_state(engine, slot, 1,
                                  &(struct frx_state_view){copy->positions, copy->velocities, copy->forces,
                                                           &copy->energy, &copy->identity}));
}

static int same(const struct frx_system *system, const struct copy *a, const struct copy *b) {
    return memcmp(a->positions, b->positions, 9 * (size_t)system->n_bead * sizeof(double)) == 0 &&
           a->energy == b->energy && a->identity == b->identity;
}

enum { N_REP = 5, N_STEP = 60 };

/* Slot r of N_REP: identity 10 + r, temperature 280 + 20 r, its own velocities. */
static struct frx_engine *start(const struct physics_case *c, const struct frx_system *system, int n_thread) {
    struct frx_engine *engine = make_engine(c, system, N_REP, n_thread);
    uint32_t identity[N_REP];
    double beta[N_REP];
    for (int r = 0; r < N_REP; r++) {
        identity[r] = 10 + (uint32_t)r;
        beta[r] = FRX_BETA_OF_KELVIN(280 + 20 * r);
    }
    CHECK_OK(c->engine->set_state(engine, 0, N_REP, &(struct frx_state_view){.identity = identity}));
    CHECK_OK(c->engine->set_temperatures(engine, beta, NULL));
    CHECK_OK(c->engine->draw_velocities(engine));
    return engine;
}

int physics_repeat(const struct physics_case *c) {
    struct frx_system system;
    make_system(&system);
    const struct frx_engine_class *k = c->engine;
    const int other = 3; /* the slot that is followed */
    struct frx_engine *engine = start(c, &system, 2);
    struct copy begin = get_copy(c, &system, engine, other);
    CHECK_OK(k->propagate(engine, 0, N_STEP));
    struct copy middle = get_copy(c, &system, engine, other);
    CHECK_OK(k->propagate(engine, N_STEP, N_STEP));
    struct copy end = get_copy(c, &system, engine, other), first = get_copy(c, &system, engine, 0);
    CHECK(begin.identity == 13 && !same(&system, &middle, &end) && !same(&system, &first, &end),
          "replicas move, each its own way");

    /* one thread, one step at a time, and somebody looking on: the same bits */
    struct frx_engine *slow = start(c, &system, 1);
    for (int s = 0; s < 2 * N_STEP; s++) {
        double energy[N_REP];
        CHECK_OK(k->propagate(slow, s, 1));
        CHECK_OK(k->energies(slow, energy));
    }
    struct copy slow_end = get_copy(c, &system, slow, other);
    CHECK(same(&system, &slow_end, &end), "threads and blocks of steps do not matter");

    /* alone in another engine, restarted from the middle */
    struct frx_engine *alone = make_engine(c, &system, 1, 1);
    const double beta = FRX_BETA_OF_KELVIN(280 + 20 * other);
    set_copy(c, alone, 0, &middle);
    struct copy back = get_copy(c, &system, alone, 0);
    CHECK(same(&system, &back, &middle), "in and out changes nothing");
    CHECK_OK(k->set_temperatures(alone, &beta, NULL));
    CHECK_OK(k->propagate(alone, N_STEP, N_STEP));
    struct copy alone_end = get_copy(c, &system, alone, 0);
    CHECK(same(&system, &alone_end, &end), "a restart in another slot and engine does not matter");
    /* without forces the engine finds the same ones again */
    CHECK_OK(k->set_state(
        alone, 0, 1,
        &(struct frx_state_view){.positions = middle.positions, .velocities = middle.velocities}));
    struct copy found = get_copy(c, &system, alone, 0);
    CHECK(same(&system, &found, &middle), "forces are found again");
    /* control: another identity or step draws other noise */
    CHECK_OK(k->propagate(alone, N_STEP + 1, N_STEP));
    struct copy later = get_copy(c, &system, alone, 0);
    CHECK(!same(&system, &later, &end), "the step matters");

    /* exchange of configurations through the transport buffers: slots 1 and 3 swap, all but the temperature
     */
    struct frx_engine *swapped = start(c, &system, 2);
    CHECK_OK(k->propagate(swapped, 0, N_STEP));
    struct copy one = get_copy(c, &system, swapped, 1), three = get_copy(c, &system, swapped, 3);
    const int from[2] = {1, 3}, to[2] = {3, 1};
    size_t bytes;
    void *send, *receive, *stream;
    CHECK_OK(k->transport(swapped, &bytes, &send, &receive, &stream));
    CHECK_OK(k->pack(swapped, 2, from));
    if (k->memory == FRX_MEMORY_HOST) {
        memcpy(receive, send, 2 * bytes);
        CHECK_OK(k->unpack(swapped, 2, to));
        struct copy new_one = get_copy(c, &system, swapped, 1), new_three = get_copy(c, &system, swapped, 3);
        CHECK(same(&system, &new_one, &three) && same(&system, &new_three, &one),
              "configurations change places");
        free(new_one.positions);
        free(new_three.positions);
    }

    /* velocities are scaled, the rest stays */
    double scale[N_REP], betas[N_REP];
    for (int r = 0; r < N_REP; r++) {
        scale[r] = 1 + 0.5 * r;
        betas[r] = FRX_BETA_OF_KELVIN(300);
    }
    struct copy before = get_copy(c, &system, slow, 2);
    CHECK_OK(k->set_temperatures(slow, betas, scale));
    struct copy after = get_copy(c, &system, slow, 2);
    for (int i = 0; i < 3 * system.n_bead; i++) {
        CHECK_NEAR(after.velocities[i], 2 * before.velocities[i], 0);
        CHECK_NEAR(after.positions[i], before.positions[i], 0);
    }

    /* snapshots show what is there when they are taken; recentring moves the centre to the origin and nothing
     * else */
    const size_t size = 3 * (size_t)system.n_bead;
    float *shot = calloc(N_REP * size, sizeof *shot);
    double shot_energy[N_REP], shot_kinetic[N_REP], kinetic = 0, centre[3] = {0};
    uint32_t shot_identity[N_REP];
    CHECK_OK(k->snapshot(engine));
    CHECK_OK(k->propagate(engine, 2 * N_STEP, 5));
    CHECK_OK(k->snapshot_wait(engine, shot, shot_energy, shot_kinetic, shot_identity));
    for (size_t i = 0; i < size; i++) CHECK_NEAR(shot[other * size + i], (float)end.positions[i], 0);
    CHECK_NEAR(shot_energy[other], end.energy, 0);
    for (size_t i = 0; i < size; i++)
        kinetic += 0.5 * system.beads.mass[i / 3] * end.velocities[i] * end.velocities[i];
    CHECK_NEAR(shot_kinetic[other], kinetic, physics_limit(c, 1e-12, 1e-6, 1e-6) * kinetic);
    CHECK(shot_identity[other] == end.identity, "identity %u", shot_identity[other]);
    CHECK_OK(k->recentre(slow));
    struct copy centred = get_copy(c, &system, slow, 2);
    for (size_t i = 0; i < size; i++) centre[i % 3] += centred.positions[i] / system.n_bead;
    for (int d = 0; d < 3; d++) CHECK_NEAR(centre[d], 0, physics_limit(c, 1e-13, 1e-5, 1e-5));
    CHECK(memcmp(centred.velocities, after.velocities, 2 * size * sizeof(double)) == 0,
          "velocities and forces stay");

    /* the report counts */
    struct frx_engine_report report;
    CHECK_OK(k->report(alone, &report));
    CHECK(report.n_force_evaluation >= 2 * N_STEP + 1, "%lld force evaluations",
          (long long)report.n_force_evaluation);
    CHECK((c->precision == FRX_PRECISION_DOUBLE) == (report.n_knot == 0), "%d knots", report.n_knot);
    size_t host, device;
    struct frx_engine_options options = physics_options(c, 1);
    options.n_thread = 1;
    CHECK_OK(k->plan(&system, &options, &host, &device));
    CHECK(host == report.host_bytes && device == report.device_bytes,
          "planned %zu + %zu bytes, took %zu + %zu", host, device, report.host_bytes, report.device_bytes);

    struct copy *copies[] = {&begin, &middle, &end,    &first, &slow_end, &alone_end, &back,
                             &found, &later,  &before, &after, &one,      &three,     &centred};
    for (size_t i = 0; i < sizeof copies / sizeof copies[0]; i++) free(copies[i]->positions);
    free(shot);
    k->destroy(engine);
    k->destroy(slow);
    k->destroy(alone);
    k->destroy(swapped);
    frx_system_clear(&system);
    return frx_check_result();
}

int physics_divergence(const struct physics_case *c) {
    struct frx_system system;
    make_system(&system);
    const struct frx_engine_class *k = c->engine;
    const size_t size = 3 * (size_t)system.n_bead;

    /* a bead of slot 2 is fast: 3 A per step */
    struct frx_engine *healthy = start(c, &system, 2), *sick = start(c, &system, 2);
    struct copy fast = get_copy(c, &system, sick, 2);
    fast.velocities[3 * 5 + 1] = 1500;
    CHECK_OK(k->set_state(sick, 2, 1, &(struct frx_state_view){.velocities = fast.velocities}));
    CHECK_OK(k->propagate(healthy, 100, 20));
    enum frx_status status = k->propagate(sick, 100, 20);
    if (status == FRX_OK) status = k->energies(sick, (double[N_REP]){0}); /* engines may tell later */
    CHECK(status == FRX_ERR_DIVERGED, "%s", frx_status_name(status));
    const char *const words[] = {"slot 2", "replica 12", "320.0 K", "step 100", "bead 5"};
    for (int w = 0; w < 5; w++)
        CHECK(strstr(frx_error_message(), words[w]), "%s is missing in: %s", words[w], frx_error_message());
    for (int r = 0; r < N_REP; r++) {
        if (r == 2) continue;
        struct copy a = get_copy(c, &system, healthy, r), b = get_copy(c, &system, sick, r);
        CHECK(same(&system, &a, &b), "slot %d goes on unharmed", r);
        free(a.positions);
        free(b.positions);
    }
    /* a new configuration heals the slot */
    struct copy cure = get_copy(c, &system, healthy, 2);
    set_copy(c, sick, 2, &cure);
    CHECK_OK(k->propagate(healthy, 120, 5));
    CHECK_OK(k->propagate(sick, 120, 5));
    struct copy a = get_copy(c, &system, healthy, 2), b = get_copy(c, &system, sick, 2);
    CHECK(same(&system, &a, &b), "the slot is healed");

    /* beads on top of each other have no forces to start from */
    memcpy(cure.positions + 3, cure.positions, 3 * sizeof(double));
    CHECK_OK(k->set_state(sick, 1, 1, &(struct frx_state_view){.positions = cure.positions}));
    double energies[N_REP];
    CHECK_FAILS(k->energies(sick, energies), FRX_ERR_DIVERGED, "slot 1");
    CHECK(!isfinite(energies[1]) && isfinite(energies[0]) && isfinite(energies[2]), "%g", energies[1]);

    /* neither do coordinates that are not numbers */
    for (size_t i = 0; i < size; i++) cure.positions[i] = fast.positions[i];
    cure.positions[7] = NAN;
    CHECK_OK(k->set_state(sick, 1, 1, &(struct frx_state_view){.positions = cure.positions}));
    CHECK_FAILS(k->energies(sick, energies), FRX_ERR_DIVERGED, "slot 1");
    free(fast.positions);
    free(cure.positions);
    free(a.positions);
    free(b.positions);
    k->destroy(healthy);
    k->destroy(sick);
    frx_system_clear(&system);
    return frx_check_result();
}
