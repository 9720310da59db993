/* Prior energies: sums of terms V(x(atoms)) with a feature x and a form V, docs/formats.md, in double
 * precision. Every feature provides x and dx/dr, every form V and V'; adding one of either is one case in one
 * switch. */
#ifndef FRX_CPU_PRIOR_H
#define FRX_CPU_PRIOR_H

#include "system.h"

/* Energy of all terms of one prior in kcal/mol, summed in their order; their forces are added to `forces`.
 * positions, forces [n_bead][3] double, Angstrom and kcal/mol/A, host. Beads on top of each other give NaN or
 * infinity, which the caller is to notice. Local. */
double frx_prior_eval(const struct frx_prior *prior, const double *positions, double *forces);

#endif
