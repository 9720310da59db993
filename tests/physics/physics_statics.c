/* Energies and forces of single configurations. */
#include "broken_engine.h"
#include "check.h"
#include "make_system.h"
#include "naive_schnet.h"
#include "physics.h"

#include <stdlib.h>
#include <string.h>

/* Models that between them use every basis, envelope, depth and bias. Distances of the chain stay below 40 A,
 * where the identity envelope may end. */
static struct frx_test_model model_of(int which) {
    struct frx_test_model model = frx_test_model_default();
    model.seed = 10 + (uint64_t)which;
    if (which == 1) { /* torchmd-net */
        model.envelope.r_lo = 3;
        model.bias = 1;
        model.n_filter_layer = 3;
    }
    if (which == 2) {
        model.transform = FRX_BASIS_LINEAR;
        model.envelope = model.basis_envelope = (struct frx_envelope){FRX_ENVELOPE_SHIFTED_COSINE, 8, 10};
        model.n_output_layer = 1;
        model.n_hidden = 70; /* more than a slice of channels on any machine */
        model.n_filter = 70;
    }
    if (which == 3) {
        model.transform = FRX_BASIS_LINEAR;
        model.envelope = model.basis_envelope = (struct frx_envelope){FRX_ENVELOPE_IDENTITY, 0, 60};
        model.r_cut = 60;
        model.n_basis = 40;
        model.n_interaction = 3;
        model.n_output_layer = 3;
    }
    return model;
}
enum { N_MODEL = 4 };

/* Positions on a grid of 1/1024 A, so that float engines take them and displaced ones as they are. */
static double *grid_positions(const struct frx_system *system) {
    const size_t size = 3 * (size_t)system->n_bead;
    double *x = calloc(size, sizeof *x);
    for (size_t k = 0; k < size; k++) x[k] = round(system->structures[k] * 1024) / 1024;
    return x;
}

static int64_t n_evaluation(const struct physics_case *c, struct frx_engine *engine) {
    struct frx_engine_report report;
    CHECK_OK(c->engine->report(engine, &report));
    return report.n_force_evaluation;
}

/* The parts of new positions bring their energy along, and the forces: what comes after costs nothing and is
 * what it would have been without them, x [n_bead][3]. */
static void check_evaluations(const struct physics_case *c, const struct frx_system *system,
                              struct frx_engine *engine, double *x, double energy) {
    const size_t size = 3 * (size_t)system->n_bead, n_part = (size_t)frx_system_n_part(system);
    double *forces = calloc(2 * size + n_part, sizeof *forces), *part = forces + 2 * size, again[2];
    const struct frx_state_view in = {.positions = x};
    CHECK_OK(c->engine->get_state(engine, 0, 1, &(struct frx_state_view){.forces = forces}));
    CHECK_OK(c->engine->set_state(engine, 0, 1, &in));
    const int64_t before = n_evaluation(c, engine);
    CHECK_OK(c->engine->energy_parts(engine, part));
    CHECK_OK(c->engine->get_state(engine, 0, 1,
                                  &(struct frx_state_view){.forces = forces + size, .energy = &again[0]}));
    CHECK_OK(c->engine->energies(engine, &again[1]));
    CHECK(n_evaluation(c, engine) == before + 1, "%lld evaluations for parts, forces and energy",
          (long long)(n_evaluation(c, engine) - before));
    CHECK(again[0] == energy && again[1] == energy, "the energy with parts is the one without");
    CHECK(memcmp(forces, forces + size, size * sizeof *forces) == 0, "so are the forces");
    CHECK_OK(c->engine->energy_parts(engine, part));
    CHECK(n_evaluation(c, engine) == before + 2, "parts are not remembered");
    free(forces);
}

int physics_energy(const struct physics_case *c) {
    for (int which = 0; which < N_MODEL; which++) {
        struct frx_system system;
        const struct frx_test_model model = model_of(which);
        frx_test_system_make(&model, &system);
        const int n_part = frx_system_n_part(&system);
        const struct frx_engine_options options = physics_options(c, 1);
        struct frx_engine *engine = physics_engine(c, &system, &options);
        double *x = grid_positions(&system), *part = calloc((size_t)n_part, sizeof *part), energy, sum = 0;
        CHECK_OK(c->engine->set_state(engine, 0, 1, &(struct frx_state_view){.positions = x}));
        CHECK_OK(c->engine->energies(engine, &energy));
        CHECK_OK(c->engine->energy_parts(engine, part));
        for (int p = 0; p < n_part; p++) sum += part[p];
        CHECK_NEAR(sum, energy, physics_limit(c, 1e-12, 1e-4, 1e-4) * fabs(energy));
        const double naive = frx_naive_schnet(&system, x, x);
        CHECK_NEAR(part[0], naive, physics_limit(c, 1e-11, 2e-5, 2e-2) * (1 + fabs(naive)));
        check_evaluations(c, &system, engine, x, energy);
        free(x);
        free(part);
        c->engine->destroy(engine);
        frx_system_clear(&system);
    }
    return frx_check_result();
}

/* ||F + dE/dx|| / ||F||, derivatives by fourth-order central differences of the engine's own energy. */
static double gradient_error(const struct physics_case *c, const struct frx_system *system) {
    enum { n_point = 4 };
    static const double offset[n_point] = {-2, -1, 1, 2}, factor[n_point] = {1, -8, 8, -1};
    const double h = physics_limit(c, 1.0 / 1024, 1.0 / 64, 0);
    const size_t size = 3 * (size_t)system->n_bead, n = 1 + n_point * size;
    double *origin = grid_positions(system), *x = calloc(n * size, sizeof *x);
    double *energy = calloc(n, sizeof *energy), *forces = calloc(n * size, sizeof *forces);
    double *difference = calloc(size, sizeof *difference);
    for (size_t r = 0; r < n; r++) {
        memcpy(x + r * size, origin, size * sizeof *x);
        if (r > 0) x[r * size + (r - 1) / n_point] += h * offset[(r - 1) % n_point];
    }
    CHECK_OK(physics_evaluate(c, system, 1, x, energy, forces));

    struct frx_engine_options options = physics_options(c, (int)n);
    struct frx_engine *engine = physics_engine(c, system, &options);
    CHECK_OK(c->engine->set_state(engine, 0, (int)n, &(struct frx_state_view){.positions = x}));
    CHECK_OK(c->engine->energies(engine, energy));
    c->engine->destroy(engine);
    for (size_t r = 1; r < n; r++)
        difference[(r - 1) / n_point] -= energy[r] * factor[(r - 1) % n_point] / (12 * h);
    const double error = physics_deviation(forces, difference, size);
    free(origin);
    free(x);
    free(energy);
    free(forces);
    free(difference);
    return error;
}

/* The same for energies that 16-bit rounding makes rough on the scale of a difference quotient: work along
 * straight lines in random directions against the difference of the energies at their ends, rms(E(b) - E(a) +
 * int F dx) / rms(int F dx), the integral by Gauss-Legendre quadrature. */
static double work_error(const struct physics_case *c, const struct frx_system *system, int n_path) {
    enum { n_node = 6, n_point = n_node + 2 };
    static const double node[n_node] = {-0.9324695142031521, -0.6612093864662645, -0.2386191860831969,
                                        0.2386191860831969,  0.6612093864662645,  0.9324695142031521};
    static const double weight[n_node] = {0.1713244923791704, 0.3607615730481386, 0.4679139345726910,
                                          0.4679139345726910, 0.3607615730481386, 0.1713244923791704};
    const size_t size = 3 * (size_t)system->n_bead, n = (size_t)n_path * n_point;
    double *origin = grid_positions(system), *x = calloc(n * size, sizeof *x);
    double *energy = calloc(n, sizeof *energy), *forces = calloc(n * size, sizeof *forces);
    for (int p = 0; p < n_path; p++)
        for (int q = 0; q < n_point; q++)
            for (size_t k = 0; k < size; k++) {
                const double along = q < n_node ? node[q] : q == n_node ? -1 : 1;
                const double step = 0.1 * frx_test_normal(17, (uint32_t)(p * size + k)); /* Angstrom */
                x[(p * n_point + q) * size + k] = (float)(origin[k] + along * step);
            }
    CHECK_OK(physics_evaluate(c, system, (int)n, x, energy, forces));
    double off = 0, all = 0;
    for (int p = 0; p < n_path; p++) {
        const double *first = x + (p * n_point + n_node) * size, *last = first + size;
        double work = 0;
        for (int q = 0; q < n_node; q++)
            for (size_t k = 0; k < size; k++)
                work += 0.5 * weight[q] * forces[(p * n_point + q) * size + k] * (last[k] - first[k]);
        const double change = energy[p * n_point + n_node + 1] - energy[p * n_point + n_node];
        off += (change + work) * (change + work);
        all += work * work;
    }
    free(origin);
    free(x);
    free(energy);
    free(forces);
    return sqrt(off / all);
}

static double force_error(const struct physics_case *c, const struct frx_system *system, int n_path) {
    return c->precision == FRX_PRECISION_MIXED ? work_error(c, system, n_path) : gradient_error(c, system);
}

int physics_forces(const struct physics_case *c) {
    for (int which = 0; which < N_MODEL; which++) {
        struct frx_system system;
        struct frx_test_model model = model_of(which);
        frx_test_system_make(&model, &system);
        const double error = force_error(c, &system, 16);
        CHECK(error < physics_limit(c, 3e-8, 1e-3, 5e-3), "model %d: force and gradient differ by %g", which,
              error);
        frx_system_clear(&system);
        if (model.envelope.kind == FRX_ENVELOPE_IDENTITY) continue; /* has no derivative to leave out */
        /* The control, on the network alone, where stiff priors do not cover it up. */
        model.priors = FRX_TEST_PRIORS_NONE;
        frx_test_system_make(&model, &system);
        struct physics_case broken = *c;
        broken.engine = frx_broken_engine(c->engine, BROKEN_ENVELOPE);
        /* what the broken engine leaves out is computed on the CPU, slowly, and a few paths show it */
        const double good_error = force_error(c, &system, 16),
                     broken_error = force_error(&broken, &system, 4);
        CHECK(good_error < physics_limit(c, 3e-8, 1e-3, 5e-3), "model %d: differ by %g", which, good_error);
        CHECK(broken_error > physics_limit(c, 2e-2, 2e-2, 1e-2),
              "model %d: without the envelope's derivative force and gradient differ by %g only", which,
              broken_error);
        frx_system_clear(&system);
    }
    return frx_check_result();
}

/* ---- invariance ---- */

static void rotate(const double *x, size_t n_bead, double *y) {
    /* angles 0.7, 1.1, -0.4 about z, y, z; far from any symmetry */
    const double a = 0.7, b = 1.1, g = -0.4;
    const double m[3][3] = {{cos(a) * cos(b) * cos(g) - sin(a) * sin(g),
                             -cos(a) * cos(b) * sin(g) - sin(a) * cos(g), cos(a) * sin(b)},
                            {sin(a) * cos(b) * cos(g) + cos(a) * sin(g),
                             -sin(a) * cos(b) * sin(g) + cos(a) * cos(g), sin(a) * sin(b)},
                            {-sin(b) * cos(g), sin(b) * sin(g), cos(b)}};
    for (size_t i = 0; i < n_bead; i++)
        for (int k = 0; k < 3; k++)
            y[3 * i + k] = m[k][0] * x[3 * i] + m[k][1] * x[3 * i + 1] + m[k][2] * x[3 * i + 2];
}

/* The same molecule with bead i called n_bead - 1 - i. Arrays of `system` that change are replaced by those
 * in `own`. */
static void relabel(const struct frx_system *system, struct frx_system *own) {
    const int n = system->n_bead;
    const struct frx_beads *beads = &system->beads;
    *own = *system;
    own->beads.type = calloc((size_t)n, sizeof *own->beads.type);
    own->beads.mass = calloc((size_t)n, sizeof *own->beads.mass);
    own->structures = calloc(3 * (size_t)n, sizeof *own->structures);
    own->prior = calloc((size_t)system->n_prior, sizeof *own->prior);
    for (int i = 0; i < n; i++) {
        own->beads.type[i] = beads->type[n - 1 - i];
        own->beads.mass[i] = beads->mass[n - 1 - i];
        memcpy(own->structures + 3 * (size_t)i, system->structures + 3 * (size_t)(n - 1 - i),
               3 * sizeof(double));
    }
    for (int p = 0; p < system->n_prior; p++) {
        const size_t n_index = (size_t)system->prior[p].n_term * system->prior[p].order;
        own->prior[p] = system->prior[p];
        own->prior[p].atoms = calloc(n_index, sizeof(int32_t));
        for (size_t k = 0; k < n_index; k++) own->prior[p].atoms[k] = n - 1 - system->prior[p].atoms[k];
    }
}

static void free_relabelled(struct frx_system *own) {
    for (int p = 0; p < own->n_prior; p++) free(own->prior[p].atoms);
    free(own->prior);
    free(own->structures);
    free(own->beads.type);
    free(own->beads.mass);
}

int physics_invariance(const struct physics_case *c) {
    for (int which = 0; which < N_MODEL; which++) {
        struct frx_system system, relabelled;
        const struct frx_test_model model = model_of(which);
        frx_test_system_make(&model, &system);
        const size_t n = (size_t)system.n_bead, size = 3 * n;
        double *x = calloc(3 * size, sizeof *x), *f = calloc(4 * size, sizeof *f), energy[4];
        double *expected = calloc(size, sizeof *expected);
        double *original = grid_positions(&system);
        memcpy(x, original, size * sizeof *x);
        for (size_t k = 0; k < size; k++) x[size + k] = original[k] + 30 + (double)(k % 3); /* translated */
        rotate(original, n, x + 2 * size);
        CHECK_OK(physics_evaluate(c, &system, 3, x, energy, f));
        relabel(&system, &relabelled);
        for (size_t i = 0; i < n; i++) memcpy(x + 3 * i, original + 3 * (n - 1 - i), 3 * sizeof *x);
        CHECK_OK(physics_evaluate(c, &relabelled, 1, x, energy + 3, f + 3 * size));

        const double limit = physics_limit(c, 1e-11, 2e-5, 2e-2);
        for (int k = 1; k < 4; k++) CHECK_NEAR(energy[k], energy[0], limit * (1 + fabs(energy[0])));
        CHECK(physics_deviation(f + size, f, size) < limit, "translated forces differ by %g",
              physics_deviation(f + size, f, size));
        rotate(f, n, expected);
        CHECK(physics_deviation(f + 2 * size, expected, size) < limit, "rotated forces differ by %g",
              physics_deviation(f + 2 * size, expected, size));
        CHECK(physics_deviation(f + 2 * size, f, size) > 0.1, "the rotation does something");
        for (size_t i = 0; i < n; i++) memcpy(expected + 3 * i, f + 3 * (n - 1 - i), 3 * sizeof *f);
        CHECK(physics_deviation(f + 3 * size, expected, size) < limit, "relabelled forces differ by %g",
              physics_deviation(f + 3 * size, expected, size));
        double total[3] = {0}, norm = 0;
        for (size_t k = 0; k < size; k++) {
            total[k % 3] += f[k];
            norm += f[k] * f[k];
        }
        for (int k = 0; k < 3; k++) CHECK_NEAR(total[k] / sqrt(norm), 0, limit);
        free_relabelled(&relabelled);
        free(x);
        free(f);
        free(expected);
        free(original);
        frx_system_clear(&system);
    }
    return frx_check_result();
}
