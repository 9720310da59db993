/* The velocity rescale of the exchange with a defect that is named in the environment variable
 * FRX_TEST_DEFECT: `missing` (velocities stay as they are) or `inverted` (mlcg's factor). Linked with
 * --wrap=frx_engine_choose; production code has no switch for defects. */
#include "engines.h"

#include <stdlib.h>
#include <string.h>

/* the names that --wrap asks for: NOLINTNEXTLINE(bugprone-reserved-identifier) */
__typeof__(frx_engine_choose) __real_frx_engine_choose, __wrap_frx_engine_choose;

static struct frx_engine_class broken;
static const struct frx_engine_class *whole;
static int n_rep; /* of the engine made last */

static enum frx_status create(const struct frx_system *system, const struct frx_engine_options *options,
                              struct frx_engine **engine) {
    n_rep = options->n_rep;
    return whole->create(system, options, engine);
}

static enum frx_status set_temperatures(struct frx_engine *engine, const double *beta, const double *scale) {
    const char *defect = getenv("FRX_TEST_DEFECT");
    if (!scale || !defect) return whole->set_temperatures(engine, beta, scale);
    if (strcmp(defect, "inverted") != 0) return whole->set_temperatures(engine, beta, NULL);
    double *inverse = malloc((size_t)n_rep * sizeof *inverse);
    if (!inverse) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for a defect");
    for (int r = 0; r < n_rep; r++) inverse[r] = 1 / scale[r];
    const enum frx_status status = whole->set_temperatures(engine, beta, inverse);
    free(inverse);
    return status;
}

enum frx_status __wrap_frx_engine_choose(enum frx_config_engine wanted, int device,
                                         const struct frx_engine_class **result) {
    FRX_TRY(__real_frx_engine_choose(wanted, device, &whole));
    broken = *whole;
    broken.create = create;
    broken.set_temperatures = set_temperatures;
    *result = &broken;
    return FRX_OK;
}
