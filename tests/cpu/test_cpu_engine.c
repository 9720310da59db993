/* The CPU engine under the physics that all engines share, in both of its precisions; what it refuses. */
#include "check.h"
#include "cpu_engine.h"
#include "make_system.h"
#include "physics.h"

#include <string.h>

static void refusals(void) {
    struct frx_system system;
    struct frx_test_model model = frx_test_model_default();
    frx_test_system_make(&model, &system);
    struct frx_engine_options options = {.n_rep = 2, .precision = FRX_PRECISION_MIXED, .timestep = 0.002};
    struct frx_engine *engine;
    size_t host, device;
    CHECK_FAILS(frx_cpu_engine.create(&system, &options, &engine), FRX_ERR_UNSUPPORTED, "cuda");
    CHECK(!engine, "no engine after a failure");
    CHECK_FAILS(frx_cpu_engine.plan(&system, &options, &host, &device), FRX_ERR_UNSUPPORTED, "cuda");
    options.precision = FRX_PRECISION_SINGLE;
    options.n_rep = 0;
    CHECK_FAILS(frx_cpu_engine.create(&system, &options, &engine), FRX_ERR_ARGUMENT, "0 replicas");
    options.n_rep = 1;
    options.table_tolerance = 1e-15;
    CHECK_FAILS(frx_cpu_engine.create(&system, &options, &engine), FRX_ERR_MODEL, "tolerance");
    frx_cpu_engine.destroy(NULL);
    frx_system_clear(&system);
}

int main(void) {
    refusals();
    int failed = frx_check_result();
    for (enum frx_precision precision = FRX_PRECISION_DOUBLE; precision <= FRX_PRECISION_SINGLE;
         precision++) {
        const struct physics_case c = {.engine = &frx_cpu_engine, .precision = precision};
        failed |= physics_check_engine(&c);
    }
    return failed;
}
