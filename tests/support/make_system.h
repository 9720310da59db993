/* Small systems for tests: a SchNet with random weights, priors of every kind, and a random chain of beads,
 * made from a seed and nothing else. */
#ifndef FRX_TESTS_MAKE_SYSTEM_H
#define FRX_TESTS_MAKE_SYSTEM_H

#include "system.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum frx_test_priors {
    FRX_TEST_PRIORS_NONE,
    FRX_TEST_PRIORS_ALL,     /* every feature that does not break translation, every form */
    FRX_TEST_PRIORS_SMOOTH,  /* continuous everywhere, so that energy can be conserved: bonds, restricted
                                angles, dihedrals,  repulsion */
    FRX_TEST_PRIORS_TORSION, /* one Fourier dihedral for every four beads */
    FRX_TEST_PRIORS_HARMONIC /* radius_squared with energy |r|^2/2 per bead: 3 n_bead harmonic oscillators */
};

struct frx_test_model {
    uint64_t seed;
    int n_bead;
    int n_hidden, n_filter, n_interaction, n_basis; /* n_hidden 0: no network */
    int n_filter_layer, n_output_layer;
    int bias; /* biases in the last filter and output layers too, scale and shift (torchmd-net) */
    enum frx_basis_transform transform;
    struct frx_envelope basis_envelope, envelope;
    double r_cut;
    enum frx_test_priors priors;
};

/* A model that is none of the special cases: cosine to 10 A, exponential basis. */
struct frx_test_model frx_test_model_default(void);

/* Fill `system` (frx_system_clear frees it). Beads form a self-avoiding chain with 3.8 A links, except under
 * FRX_TEST_PRIORS_HARMONIC, where they start at the origin. Ends the program when memory is out or the result
 * does not validate: there is no test without it. */
void frx_test_system_make(const struct frx_test_model *model, struct frx_system *system);

/* A standard normal number, a function of (seed, index). */
double frx_test_normal(uint64_t seed, uint32_t index);

#ifdef __cplusplus
}
#endif
#endif
