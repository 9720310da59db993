#include "physics.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct frx_engine_options physics_options(const struct physics_case *c, int n_rep) {
    return (struct frx_engine_options){.n_rep = n_rep,
                                       .precision = c->precision,
                                       .timestep = 0.002,
                                       .seed = 2024,
                                       .n_thread = 1,
                                       .device = c->device};
}

struct frx_engine *physics_engine(const struct physics_case *c, const struct frx_system *system,
                                  const struct frx_engine_options *options) {
    struct frx_engine *engine;
    if (c->engine->create(system, options, &engine) == FRX_OK) return engine;
    fprintf(stderr, "no engine %s: %s\n", c->engine->name, frx_error_message());
    exit(1);
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
    static int (*const cases[])(const struct physics_case *) = {
        physics_energy,       physics_forces,      physics_straight, physics_invariance,
        physics_conservation, physics_temperature, physics_repeat,   physics_divergence};
    int failed = 0;
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) failed |= cases[k](c);
    if (failed) fprintf(stderr, "engine %s, precision %d\n", c->engine->name, (int)c->precision);
    return failed;
}
