/* A replica-exchange run of a small test system, for tests of the exchange: everything a run needs, in the
 * order in which the program does it. */
#ifndef FRX_TESTS_REPLICAS_H
#define FRX_TESTS_REPLICAS_H

#include "exchange.h"

/* 10 beads. Harmonic: d = 30, U = |r|^2/2; omega dt = friction dt = 0.1. */
enum {
    REPLICAS_N_BEAD = 10,
    REPLICAS_N_DOF = 3 * REPLICAS_N_BEAD,
    REPLICAS_STEPS_PER_EVENT = 4,
    REPLICAS_MAX_RUNG = 64
};
#define REPLICAS_T_MIN 300.0 /* K */
#define REPLICAS_RATIO 1.18  /* of neighbouring temperatures: acceptance 0.65324 */

struct replicas_plan {
    MPI_Comm parent;
    const struct frx_engine_class *engine_class;
    int n_ladder, n_rung;
    int with_network; /* a SchNet with random weights and all kinds of priors instead of oscillators */
    enum frx_precision precision;
    struct frx_exchange_options options; /* transport NULL: the preferred one */
};

struct replicas {
    const struct frx_engine_class *engine_class;
    struct frx_comm comm;
    struct frx_system system;
    struct frx_ladder ladder;
    struct frx_engine *engine;
    struct frx_exchange *exchange;
    int n_local;
};

/* Start a run: slot g is replica g, at the starting structure, with thermal velocities. Errors: agreed on by
 * all ranks. Clear in any case. Collective. */
FRX_CHECKED enum frx_status replicas_start(const struct replicas_plan *plan, struct replicas *run);
void replicas_clear(struct replicas *run); /* Collective */

/* Four steps and an exchange. `block` counts them from 0; `event` is what the exchange is told, in a correct
 * run the same number. Errors: agreed on by all ranks. Collective. */
FRX_CHECKED enum frx_status replicas_advance(struct replicas *run, int64_t block, int64_t event);

#endif
