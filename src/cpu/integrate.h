/* BAOAB Langevin dynamics of one configuration, in two halves around the force evaluation; the scheme and its
 * source stand in engine.h. */
#ifndef FRX_CPU_INTEGRATE_H
#define FRX_CPU_INTEGRATE_H

#include <stdint.h>

struct frx_integrator {
    int n_bead;
    const double *mass; /* [n_bead] */
    double timestep, friction;
    uint64_t seed;
};

/* Half kick, half drift, noise, half drift. positions, velocities, forces [n_bead][3] double. Returns -1, or
 * the first bead that moved farther than FRX_DISPLACEMENT_LIMIT or out of the finite; the configuration is
 * then what the step made of it. Local. */
int frx_integrate_move(const struct frx_integrator *integrator, double beta, uint32_t identity, int64_t step,
                       double *positions, double *velocities, const double *forces);

/* The second half kick, with the forces at the new positions. Local. */
void frx_integrate_kick(const struct frx_integrator *integrator, double *velocities, const double *forces);

/* Velocities of the Maxwell-Boltzmann distribution. Local. */
void frx_integrate_draw(const struct frx_integrator *integrator, double beta, uint32_t identity,
                        double *velocities);

#endif
