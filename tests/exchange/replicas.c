#include "replicas.h"

#include "gpus.h"
#include "make_system.h"

#include <math.h>
#include <stdlib.h>

#define MASS (12 / 418.4)

static void make_system(const struct replicas_plan *plan, struct frx_system *system) {
    struct frx_test_model model = frx_test_model_default();
    model.n_bead = REPLICAS_N_BEAD;
    if (!plan->with_network) {
        model.n_hidden = 0;
        model.priors = FRX_TEST_PRIORS_HARMONIC;
    }
    frx_test_system_make(&model, system);
    for (int i = 0; i < REPLICAS_N_BEAD; i++) system->beads.mass[i] = MASS;
}

static enum frx_status start_engine(const struct replicas_plan *plan, struct replicas *run, int first) {
    const double tenth = 0.1 * sqrt(MASS); /* U = |r|^2/2: omega = 1/sqrt(mass) */
    const struct frx_engine_options options = {.n_rep = run->n_local,
                                               .precision = plan->precision,
                                               .timestep = plan->with_network ? 0.002 : tenth,
                                               .friction = plan->with_network ? 1 : 0.1 / tenth,
                                               .seed = plan->options.seed,
                                               .n_thread = 1,
                                               .device = test_gpu_of_rank(&run->comm)};
    FRX_TRY(plan->engine_class->create(&run->system, &options, &run->engine));
    for (int i = 0; i < run->n_local; i++) {
        uint32_t identity = (uint32_t)(first + i);
        const struct frx_state_view view = {.identity = &identity};
        FRX_TRY(plan->engine_class->set_state(run->engine, i, 1, &view));
    }
    return FRX_OK;
}

enum frx_status replicas_start(const struct replicas_plan *plan, struct replicas *run) {
    *run = (struct replicas){.engine_class = plan->engine_class};
    FRX_TRY(frx_comm_create(plan->parent, &run->comm));

    make_system(plan, &run->system);
    double kelvin[REPLICAS_MAX_RUNG];
    for (int k = 0; k < plan->n_rung; k++) kelvin[k] = REPLICAS_T_MIN * pow(REPLICAS_RATIO, k);
    FRX_TRY(frx_ladder_create_kelvin(plan->n_ladder, plan->n_rung, kelvin, &run->ladder));

    int first;
    FRX_TRY(frx_slots_of_rank(frx_ladder_n_slot(&run->ladder), run->comm.size, run->comm.rank, &first,
                              &run->n_local));
    FRX_TRY(frx_agree(&run->comm, start_engine(plan, run, first)));
    struct frx_exchange_options options = plan->options;
    if (!options.transport) options.transport = test_transport(plan->engine_class, run->comm.size, 0);
    FRX_TRY(frx_exchange_create(&run->comm, &run->ladder, run->engine_class, run->engine, &options,
                                &run->exchange));
    return frx_agree(&run->comm, run->engine_class->draw_velocities(run->engine));
}

void replicas_clear(struct replicas *run) {
    frx_exchange_destroy(run->exchange);
    run->engine_class->destroy(run->engine);
    frx_ladder_clear(&run->ladder);
    frx_system_clear(&run->system);
    frx_comm_destroy(&run->comm);
}

enum frx_status replicas_advance(struct replicas *run, int64_t block, int64_t event) {
    const enum frx_status status =
        run->engine_class->propagate(run->engine, block * REPLICAS_STEPS_PER_EVENT, REPLICAS_STEPS_PER_EVENT);
    return frx_exchange_attempt(run->exchange, status, event, NULL);
}
