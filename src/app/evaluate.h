/* Evaluating given configurations: energies, forces and parts, with any engine. */
#ifndef FRX_APP_EVALUATE_H
#define FRX_APP_EVALUATE_H

#include "engine.h"
#include "frames_file.h"

/* Evaluate frames->positions and fill in energy, forces and parts (all allocated here, owned by *frames).
 * Errors: FRX_ERR_ARGUMENT (another number of beads than the system's), FRX_ERR_MODEL naming the frame
 * (coordinates not finite, beads overlapping), FRX_ERR_MEMORY, those of the engine. Local. */
FRX_CHECKED enum frx_status frx_evaluate(const struct frx_engine_class *engine_class,
                                         const struct frx_system *system, enum frx_precision precision,
                                         int n_thread, struct frx_frames *frames);

/* How far the double-precision CPU path is from the known answer in the system file. */
struct frx_verification {
    double energy_error; /* largest |dE| of the energy and its parts, relative to the sum of |parts| */
    double force_error;  /* |dF|/|F| over all beads */
};

#define FRX_VERIFY_ENERGY 1e-8 /* errors above these mean another model than the writer's */
#define FRX_VERIFY_FORCES 1e-6

/* Evaluate the system's known-answer frame; there must be one. Errors: FRX_ERR_MODEL saying both values if it
 * is missed, those of the engine. Local. */
FRX_CHECKED enum frx_status frx_verify(const struct frx_system *system, int n_thread,
                                       struct frx_verification *verification);

#endif
