/* A second implementation of engine.h, as small as it can be: independent harmonic oscillators in double
 * precision, for tests of what drives engines. It takes systems whose only energy is the prior
 * `radius_squared` of form `polynomial` with two parameters, U = sum_i v0_i + k_i |r_i|^2
 * (FRX_TEST_PRIORS_HARMONIC). */
#ifndef FRX_TESTS_HARMONIC_ENGINE_H
#define FRX_TESTS_HARMONIC_ENGINE_H

#include "engine.h"

extern const struct frx_engine_class frx_harmonic_engine;

#endif
