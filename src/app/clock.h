/* Where the wall time of a run goes: the host is always at one activity.
 *
 * On a GPU, steps are made while the host is at something else, and the time of `steps` is what the host has
 * to wait for them. So the others' shares are upper bounds of what they cost. */
#ifndef FRX_APP_CLOCK_H
#define FRX_APP_CLOCK_H

#include "comm.h"

enum frx_activity {
    FRX_ACTIVITY_STEPS,    /* making steps, or waiting for a GPU to make them */
    FRX_ACTIVITY_WAIT,     /* for other ranks, where energies are gathered */
    FRX_ACTIVITY_EXCHANGE, /* deciding and moving */
    FRX_ACTIVITY_OUTPUT,   /* frames, exchange records, checkpoints */
    FRX_ACTIVITY_OTHER,
    FRX_N_ACTIVITY
};

struct frx_clock {
    double seconds[FRX_N_ACTIVITY];
    enum frx_activity now;
    double since; /* MPI_Wtime */
};

/* Start with nothing counted, at FRX_ACTIVITY_OTHER. Local. */
void frx_clock_start(struct frx_clock *clock);

/* Go on to another activity. Local. */
void frx_clock_switch(struct frx_clock *clock, enum frx_activity activity);

/* Count some of what was counted as `from` as `to`. Local. */
void frx_clock_move(struct frx_clock *clock, enum frx_activity from, enum frx_activity to, double seconds);

/* Stop; every rank gets the mean over ranks. Errors: FRX_ERR_COMM. Collective. */
FRX_CHECKED enum frx_status frx_clock_stop(struct frx_clock *clock, const struct frx_comm *comm);

/* An activity's part of the whole, 0 to 1; 0 before anything was counted. Local. */
double frx_clock_share(const struct frx_clock *clock, enum frx_activity activity);

#endif
