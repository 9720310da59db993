/* A molecule of 1ENH's size without any file: a random SchNet and priors, on a compact chain in which as many
 * pairs lie within the cutoff as in the crystal structure of 1ENH (44,036 directed pairs of 269 beads within
 * 15 A). */
#ifndef FRX_BENCH_GLOBULE_H
#define FRX_BENCH_GLOBULE_H

#include "make_system.h"

#ifdef __cplusplus
extern "C" {
#endif

/* 269 beads, 4 interactions, 128 channels, 64 basis functions, cosine to 15 A, output of three layers. */
struct frx_test_model frx_globule_model(void);

/* Fill `system` (frx_system_clear frees it): the model's network, bonds, angles, torsions, and repulsion
 * between all pairs four or more apart. Ends the program when that fails. */
void frx_globule_make(const struct frx_test_model *model, struct frx_system *system);

#ifdef __cplusplus
}
#endif
#endif
