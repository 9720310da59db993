/* Trying out an engine: how fast is it, and where does the time go? For `bench` and `check`. */
#ifndef FRX_APP_TRIAL_H
#define FRX_APP_TRIAL_H

#include "engine.h"

struct frx_trial {
    int64_t n_step;
    double steps_per_second;         /* whole steps of all replicas of the engine together */
    double evaluations_per_second;   /* of energy and forces alone, replica by replica; NaN if not measured */
    struct frx_engine_report report; /* stage times of these steps */
};

/* Time n_step steps (0: for about `seconds`) of an engine whose state is set, from step `first` on, and force
 * evaluations if asked for. The engine is left somewhere else. Errors: those of the engine. Local. */
FRX_CHECKED enum frx_status frx_trial_run(const struct frx_engine_class *engine_class,
                                          struct frx_engine *engine, int n_rep, int n_bead, int64_t n_step,
                                          double seconds, int with_evaluations, struct frx_trial *trial);

#endif
