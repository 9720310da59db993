/* The physics that every engine must get right, written once against core/engine.h: a test program calls
 * physics_check_engine for each engine and precision. Every claim comes with a control: the same measurement
 * on an engine that is broken on purpose (broken_engine.h) must fail. Each case returns 0, or 1 after
 * printing what failed. */
#ifndef FRX_TESTS_PHYSICS_H
#define FRX_TESTS_PHYSICS_H

#include "engine.h"

struct physics_case {
    const struct frx_engine_class *engine;
    enum frx_precision precision;
    int device;           /* CUDA ordinal */
    int separate_kernels; /* CUDA: as in the engine's options */
};

int physics_check_engine(const struct physics_case *c); /* all of the following */

/* Those of the following that are named (energy, forces, ..); none named: all. */
int physics_check_cases(const struct physics_case *c, int n_name, char **name);

int physics_energy(const struct physics_case *c);     /* the network against its definition, sums of parts */
int physics_forces(const struct physics_case *c);     /* forces = -dE/dx */
int physics_straight(const struct physics_case *c);   /* torsions of beads on a line */
int physics_invariance(const struct physics_case *c); /* translation, rotation, permutation */
int physics_conservation(const struct physics_case *c); /* energy without thermostat */
int physics_temperature(const struct physics_case *c);  /* BAOAB on harmonic oscillators */
int physics_repeat(const struct physics_case *c);     /* nothing depends on slot, batch, threads, restarts */
int physics_divergence(const struct physics_case *c); /* a replica that diverges is named and alone */

/* Options with steps of 2 fs and no friction. */
struct frx_engine_options physics_options(const struct physics_case *c, int n_rep);

/* Make an engine; ends the program if that fails. */
struct frx_engine *physics_engine(const struct physics_case *c, const struct frx_system *system,
                                  const struct frx_engine_options *options);

/* Energies [n] and forces [n][n_bead][3] of n configurations x [n][n_bead][3] in an engine of their own.
 * Errors: those of the engine. */
FRX_CHECKED enum frx_status physics_evaluate(const struct physics_case *c, const struct frx_system *system,
                                             int n, double *x, double *energy, double *forces);

/* One of three limits, by precision. */
double physics_limit(const struct physics_case *c, double for_double, double for_single, double for_mixed);

/* |a - b| / |b| over n numbers. */
double physics_deviation(const double *a, const double *b, size_t n);

#endif
