/* Where the CPU's time goes: a clock that books what passed since its last reading on a stage. One per
 * thread. (The GPU's stages are timed by events: kernels/device.h.) */
#ifndef FRX_CORE_STAGES_H
#define FRX_CORE_STAGES_H

#include <time.h>

/* X(enumerator, name in reports) */
#define FRX_STAGE_LIST(X)                                                                                    \
    X(NEIGHBOURS, "neighbours")                                                                              \
    X(FORWARD, "messages forward")                                                                           \
    X(DENSE, "dense layers")                                                                                 \
    X(BACKWARD, "messages backward")                                                                         \
    X(PRIORS, "priors")                                                                                      \
    X(INTEGRATION, "integration")

enum frx_stage {
#define FRX_STAGE_ENUM(id, name) FRX_STAGE_##id,
    FRX_STAGE_LIST(FRX_STAGE_ENUM)
#undef FRX_STAGE_ENUM
        FRX_N_STAGE
};

struct frx_stages {
    double seconds[FRX_N_STAGE], last;
};

static inline double frx_clock(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Start the clock. Local. */
static inline void frx_stages_start(struct frx_stages *stages) {
    stages->last = frx_clock();
}

/* Book the time since the last call on `stage`. NULL: nobody wants to know. Local. */
static inline void frx_stages_book(struct frx_stages *stages, enum frx_stage stage) {
    if (!stages) return;
    const double now = frx_clock();
    stages->seconds[stage] += now - stages->last;
    stages->last = now;
}

#endif
