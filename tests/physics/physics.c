#include "physics.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct frx_engine_options physics_options(const struct physics_case *c, int n_rep) {
    return (struct frx_engine_options){.n_rep = n_rep,
                                       .precision = c->precision,
                                       .timestep = 0.002,
                                       .seed = 2024,
                                       .n_thread = 1,
                                       .device = c->device,
                                       .separate_kernels = c->separate_kernels};
}

struct frx_engine *physics_engine(const struct physics_case *c, const struct frx_system *system,
                                  const struct frx_engine_options *options) {
    struct frx_engine *engine;
    if (c->engine->create(system, options, &engine) == FRX_OK) return engine;
    fprintf(stderr, "no engine %s: %s\n", c->engine->name, frx_error_message());
    exit(1);
}

enum frx_status physics_evaluate(const struct physics_case *c, const struct frx_system *system, int n,
                                 double *x, double *energy, double *forces) {
    const struct frx_engine_options options = physics_options(c, n);
    const struct frx_state_view in = {.positions = x}, out = {.forces = forces, .energy = energy};
    struct frx_engine *engine = physics_engine(c, system, &options);
    enum frx_status status = c->engine->set_state(engine, 0, n, &in);
    if (status == FRX_OK) status = c->engine->get_state(engine, 0, n, &out);
    c->engine->destroy(engine);
    return status;
}

double physics_limit(const struct physics_case *c, double for_double, double for_single, double for_mixed) {
    return c->precision == FRX_PRECISION_DOUBLE   ? for_double
           : c->precision == FRX_PRECISION_SINGLE ? for_single
                                                  : for_mixed;
}

double physics_deviation(const double *a, const double *b, size_t n) {
    double difference = 0, norm = 0;
    for (size_t k = 0; k < n; k++) {
        difference += (a[k] - b[k]) * (a[k] - b[k]);
        norm += b[k] * b[k];
    }
    return sqrt(difference / norm);
}

int physics_check_engine(const struct physics_case *c) {
    return physics_check_cases(c, 0, NULL);
}

int physics_check_cases(const struct physics_case *c, int n_name, char **name) {
    static const struct {
        const char *name;
        int (*check)(const struct physics_case *);
    } cases[] = {{"energy", physics_energy},
                 {"forces", physics_forces},
                 {"straight", physics_straight},
                 {"invariance", physics_invariance},
                 {"conservation", physics_conservation},
                 {"temperature", physics_temperature},
                 {"repeat", physics_repeat},
                 {"divergence", physics_divergence}};
    int failed = 0;
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        int wanted = n_name == 0;
        for (int n = 0; n < n_name; n++) wanted |= strcmp(name[n], cases[k].name) == 0;
        if (wanted) failed |= cases[k].check(c);
    }
    if (failed)
        fprintf(stderr, "engine %s, precision %d%s\n", c->engine->name, (int)c->precision,
                c->separate_kernels ? ", separate kernels" : "");
    return failed;
}
