#include "integrate.h"

#include "engine.h"
#include "rng.h"

#include <math.h>
#include <stddef.h>

int frx_integrate_move(const struct frx_integrator *integrator, double beta, uint32_t identity, int64_t step,
                       double *positions, double *velocities, const double *forces) {
    const double half = 0.5 * integrator->timestep;
    const double keep = exp(-integrator->friction * integrator->timestep);
    const double noise = sqrt((1 - keep * keep) / beta);
    int runaway = -1;
    for (int i = 0; i < integrator->n_bead; i++) {
        double *x = positions + 3 * (size_t)i, *v = velocities + 3 * (size_t)i;
        const double *f = forces + 3 * (size_t)i, inverse_mass = 1 / integrator->mass[i];
        float normal[4] = {0};
        if (noise > 0)
            frx_rng_normal4(
                frx_rng_draw(integrator->seed, FRX_RNG_NOISE, identity, (uint64_t)step, (uint32_t)i), normal);
        double moved = 0;
        for (int k = 0; k < 3; k++) {
            v[k] += half * inverse_mass * f[k];
            double move = half * v[k];
            v[k] = keep * v[k] + noise * sqrt(inverse_mass) * (double)normal[k];
            move += half * v[k];
            x[k] += move;
            moved += move * move;
        }
        /* written so that NaN is a runaway too */
        if (runaway < 0 && !(moved <= FRX_DISPLACEMENT_LIMIT * FRX_DISPLACEMENT_LIMIT)) runaway = i;
    }
    return runaway;
}

void frx_integrate_kick(const struct frx_integrator *integrator, double *velocities, const double *forces) {
    for (int i = 0; i < integrator->n_bead; i++) {
        const double factor = 0.5 * integrator->timestep / integrator->mass[i];
        for (int k = 0; k < 3; k++) velocities[3 * (size_t)i + k] += factor * forces[3 * (size_t)i + k];
    }
}

void frx_integrate_draw(const struct frx_integrator *integrator, double beta, uint32_t identity,
                        double *velocities) {
    for (int i = 0; i < integrator->n_bead; i++) {
        const double sigma = sqrt(1 / (beta * integrator->mass[i]));
        float normal[4];
        frx_rng_normal4(frx_rng_draw(integrator->seed, FRX_RNG_VELOCITY, identity, 0, (uint32_t)i), normal);
        for (int k = 0; k < 3; k++) velocities[3 * (size_t)i + k] = sigma * (double)normal[k];
    }
}
