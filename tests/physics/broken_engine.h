/* Engines with a defect, made from a good one: controls that show that a test would notice. One at a time. */
#ifndef FRX_TESTS_BROKEN_ENGINE_H
#define FRX_TESTS_BROKEN_ENGINE_H

#include "engine.h"

enum broken_kind {
    BROKEN_ENVELOPE, /* forces on the network lack the derivative of the envelopes; also in its dynamics,
                        which are then velocity Verlet without noise, for one replica at a time */
    BROKEN_NOISE,    /* noise as for a temperature 4 % too high */
    BROKEN_RANDOM    /* every step draws the same random numbers */
};

/* The class of `from` with a defect; valid until the next call. */
const struct frx_engine_class *frx_broken_engine(const struct frx_engine_class *from, enum broken_kind kind);

#endif
