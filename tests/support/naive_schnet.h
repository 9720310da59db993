/* SchNet's energy from its definition, one edge after the other and nothing clever: what engines are compared
 * with, and, with frozen envelopes, the source of wrong forces for negative controls. */
#ifndef FRX_TESTS_NAIVE_SCHNET_H
#define FRX_TESTS_NAIVE_SCHNET_H

#include "system.h"

/* Energy in kcal/mol at positions [n_bead][3], with every envelope evaluated at the distances of x_envelope
 * [n_bead][3]; x_envelope = x gives the energy. */
double frx_naive_schnet(const struct frx_system *system, const double *x, const double *x_envelope);

/* The part of the forces [n_bead][3] that comes from the derivative of the envelopes, by differences. */
void frx_naive_envelope_forces(const struct frx_system *system, const double *x, double *forces);

#endif
