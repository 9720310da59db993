/* Energy without a thermostat, and temperatures with one. */
#include "broken_engine.h"
#include "check.h"
#include "make_system.h"
#include "physics.h"
#include "units.h"

#include <stdlib.h>
#include <string.h>

/* ---- conservation ---- */

static double kinetic_energy(const struct frx_system *system, const double *v) {
    double energy = 0;
    for (int i = 0; i < system->n_bead; i++)
        for (int k = 0; k < 3; k++) energy += 0.5 * system->beads.mass[i] * v[3 * i + k] * v[3 * i + k];
    return energy;
}

struct drift {
    double slope;       /* kcal/mol/ns per bead, of a straight line through the total energy */
    double fluctuation; /* kcal/mol per bead, about that line */
};

/* A chain with bonds and a network strong enough to matter, started at 300 K; `n_sample` total energies, 20
 * fs apart, the mean of n_rep replicas. */
static struct drift measure_drift(const struct physics_case *c, const struct frx_system *system,
                                  double timestep, int n_sample, int n_rep) {
    const size_t size = 3 * (size_t)system->n_bead;
    struct frx_engine_options options = physics_options(c, n_rep);
    options.timestep = timestep;
    const int n_step = (int)lround(0.02 / timestep);
    struct frx_engine *engine = physics_engine(c, system, &options);
    double *v = calloc((size_t)n_rep * (size + 1), sizeof *v), *potential = v + (size_t)n_rep * size;
    double s_t = 0, s_tt = 0, s_e = 0, s_te = 0, s_ee = 0;
    CHECK_OK(c->engine->draw_velocities(engine));
    for (int k = 0; k < n_sample; k++) {
        CHECK_OK(c->engine->propagate(engine, (int64_t)k * n_step, n_step));
        CHECK_OK(c->engine->get_state(engine, 0, n_rep,
                                      &(struct frx_state_view){.velocities = v, .energy = potential}));
        const double t = k * n_step * timestep / FRX_PS_PER_NS;
        double e = 0;
        for (int r = 0; r < n_rep; r++) e += (potential[r] + kinetic_energy(system, v + r * size)) / n_rep;
        s_t += t;
        s_tt += t * t;
        s_e += e;
        s_te += t * e;
        s_ee += e * e;
    }
    const double n = n_sample, cov = s_te - s_t * s_e / n, var = s_tt - s_t * s_t / n;
    const double rest = s_ee - s_e * s_e / n - cov * cov / var;
    free(v);
    c->engine->destroy(engine);
    return (struct drift){cov / var / system->n_bead, sqrt(fmax(rest, 0) / n) / system->n_bead};
}

int physics_conservation(const struct physics_case *c) {
    struct frx_test_model model = frx_test_model_default();
    model.n_bead = 8;
    model.priors = FRX_TEST_PRIORS_SMOOTH;
    struct frx_system system;
    frx_test_system_make(&model, &system);
    /* 40 ps in steps of 1 fs. An engine whose state is float wanders: rounding the state of the CPU engine in
     * every step gave one replica slopes with a standard deviation of 0.023, so the GPU averages over 32. */
    const int n_rep = c->engine->memory == FRX_MEMORY_DEVICE ? 32 : 1;
    const struct drift good = measure_drift(c, &system, 0.001, 2000, n_rep);
    printf(
        "engine %s, precision %d: energy drifts by %+.2g kcal/mol/ns per bead, fluctuates by %.2g kcal/mol\n",
        c->engine->name, (int)c->precision, good.slope, good.fluctuation);
    CHECK(fabs(good.slope) < physics_limit(c, 0.005, 0.02, 2), "%g kcal/mol/ns per bead", good.slope);
    /* Controls: no derivative of the envelope (0.6 ps suffice), and steps too long for the bonds. */
    struct physics_case broken = *c;
    broken.engine = frx_broken_engine(c->engine, BROKEN_ENVELOPE);
    const struct drift wrong = measure_drift(&broken, &system, 0.002, 30, 1);
    const struct drift coarse = measure_drift(c, &system, 0.02, 500, n_rep);
    CHECK(fabs(wrong.slope) > 5, "without the envelope's derivative: %g kcal/mol/ns per bead", wrong.slope);
    CHECK(coarse.fluctuation > 20 * good.fluctuation, "with long steps: %g kcal/mol", coarse.fluctuation);
    frx_system_clear(&system);
    return frx_check_result();
}

/* ---- temperature ---- */

enum { N_REP = 8, N_HOT = 4 }; /* slots from N_HOT on are hotter */
static const double temperatures[2] = {300, 450};

/* Mean potential and kinetic energy in units of what they should be, over the slots of one temperature, with
 * standard errors from the scatter of the slots' means. */
struct means {
    double potential, potential_error, kinetic, kinetic_error;
};

static struct means average(const double *potential, const double *kinetic, int n) {
    double mean[2] = {0}, variance[2] = {0};
    for (int r = 0; r < n; r++) {
        mean[0] += potential[r] / n;
        mean[1] += kinetic[r] / n;
    }
    for (int r = 0; r < n; r++) {
        variance[0] += pow(potential[r] - mean[0], 2) / (n - 1);
        variance[1] += pow(kinetic[r] - mean[1], 2) / (n - 1);
    }
    return (struct means){mean[0], sqrt(variance[0] / n), mean[1], sqrt(variance[1] / n)};
}

/* Harmonic oscillators U = r^2/2 kcal/mol/A^2 with omega dt = 0.12. In BAOAB the
 * positions of a harmonic oscillator are exactly canonical, <U> = d kT/2, and velocities have (1 - (omega
 * dt)^2/4) times the canonical variance. Source: Leimkuhler and Matthews, J. Chem. Phys. 138, 174102 (2013).
 */
static void measure_temperature(const struct physics_case *c, const struct frx_system *system, int n_sample,
                                struct means means[2]) {
    enum { n_between = 5, n_equilibrate = 200 };
    const size_t size = 3 * (size_t)system->n_bead;
    struct frx_engine_options options = physics_options(c, N_REP);
    options.timestep = 0.02;
    options.friction = 5;
    struct frx_engine *engine = physics_engine(c, system, &options);
    double beta[N_REP], energy[N_REP], potential[N_REP] = {0}, kinetic[N_REP] = {0};
    double *v = calloc(N_REP * size, sizeof *v);
    for (int r = 0; r < N_REP; r++) beta[r] = FRX_BETA_OF_KELVIN(temperatures[r >= N_HOT]);
    CHECK_OK(c->engine->set_temperatures(engine, beta, NULL));
    CHECK_OK(c->engine->draw_velocities(engine));
    CHECK_OK(c->engine->propagate(engine, 0, n_equilibrate));
    double shortened = 0; /* factor of the kinetic energy, averaged over beads */
    for (int i = 0; i < system->n_bead; i++)
        shortened += (1 - options.timestep * options.timestep / system->beads.mass[i] / 4) / system->n_bead;
    for (int s = 0; s < n_sample; s++) {
        CHECK_OK(c->engine->propagate(engine, n_equilibrate + s * n_between, n_between));
        CHECK_OK(c->engine->get_state(engine, 0, N_REP,
                                      &(struct frx_state_view){.velocities = v, .energy = energy}));
        for (int r = 0; r < N_REP; r++) {
            const double unit = (double)size / 2 / FRX_BETA_OF_KELVIN(temperatures[r >= N_HOT]);
            potential[r] += energy[r] / unit / n_sample;
            kinetic[r] += kinetic_energy(system, v + (size_t)r * size) / unit / shortened / n_sample;
        }
    }
    for (int t = 0; t < 2; t++)
        means[t] = average(potential + t * N_HOT, kinetic + t * N_HOT, t ? N_REP - N_HOT : N_HOT);
    free(v);
    c->engine->destroy(engine);
}

int physics_temperature(const struct physics_case *c) {
    struct frx_test_model model = frx_test_model_default();
    model.n_hidden = 0;
    model.n_bead = 40;
    model.priors = FRX_TEST_PRIORS_HARMONIC;
    struct frx_system system;
    frx_test_system_make(&model, &system);
    struct means good[2], wrong[2];
    /* 120 degrees of freedom in 4 slots, 1 ns each, at a correlation time of 0.2 ps: known to 0.12 % */
    measure_temperature(c, &system, 10000, good);
    for (int t = 0; t < 2; t++) {
        printf("%g K: <U> %.4f +- %.4f, <K> %.4f +- %.4f of the exact values\n", temperatures[t],
               good[t].potential, good[t].potential_error, good[t].kinetic, good[t].kinetic_error);
        CHECK_NEAR(good[t].potential, 1, 0.006);
        CHECK_NEAR(good[t].kinetic, 1, 0.006);
    }
    struct physics_case broken = *c;
    for (enum broken_kind kind = BROKEN_NOISE; kind <= BROKEN_RANDOM; kind++) {
        broken.engine = frx_broken_engine(c->engine, kind);
        measure_temperature(&broken, &system, 2500, wrong);
        CHECK(fabs(wrong[0].potential - 1) > 0.025 && fabs(wrong[0].kinetic - 1) > 0.025,
              "control %d: <U> %g, <K> %g of the exact values", (int)kind, wrong[0].potential,
              wrong[0].kinetic);
    }
    frx_system_clear(&system);
    return frx_check_result();
}
