/* Meetings: how all ranks come to do the same thing about what only some of them know - a signal, the time.
 *
 * Ranks meet at exchanges and at housekeeping. Where these are far apart, blocks of steps are cut into pieces
 * with a meeting after each, so that signals are heard a few times per second however long the exchange
 * interval is. (Where a block is cut has no influence on the trajectory, engine.h.) A rank cannot meet by the
 * clock, because clocks differ and a meeting that some ranks miss hangs the rest. So meetings are a number of
 * steps apart, `piece`, which all ranks know: it starts with 1 and is doubled or halved when rank 0, whose
 * clock counts, says so at a meeting. */
#ifndef FRX_APP_MEETING_H
#define FRX_APP_MEETING_H

#include "comm.h"

#include <stdint.h>

/* What a rank tells the others; all know what any said. */
enum {
    FRX_FLAG_SIGNAL = 1,     /* a signal came */
    FRX_FLAG_COMMIT = 2,     /* it is time to write out results */
    FRX_FLAG_CHECKPOINT = 4, /* it is time for a checkpoint */
    FRX_FLAG_TIME = 8,       /* the time is over */
    FRX_FLAG_LONGER = 16,    /* pieces are too short */
    FRX_FLAG_SHORTER = 32    /* pieces are too long */
};

struct frx_meeting {
    int64_t next;  /* step of the next meeting, unless there is one before */
    int64_t piece; /* steps from one to the next */
    double commit_seconds, checkpoint_seconds, stop_time;
    double next_commit, next_checkpoint; /* MPI_Wtime; of rank 0 */
    double last_time;                    /* of the last meeting */
    int64_t last_step;
};

/* Begin at a step. checkpoint_minutes: between checkpoints; stop_time: MPI_Wtime of rank 0 when to stop, 0:
 * never. Local, the same arguments on all ranks (stop_time: rank 0's counts). */
void frx_meeting_start(struct frx_meeting *meeting, int64_t step, double checkpoint_minutes,
                       double stop_time);

/* What this rank has to tell at a meeting after `step` steps: flags. Local. */
uint32_t frx_meeting_flags(struct frx_meeting *meeting, const struct frx_comm *comm, int64_t step);

/* Note that all ranks have met after `step` steps and told each other these flags. Local, the same arguments
 * on all ranks. */
void frx_meeting_held(struct frx_meeting *meeting, int64_t step, uint32_t flags);

/* Steps go on: the time since the meeting was not theirs. Local. */
void frx_meeting_resume(struct frx_meeting *meeting);

#endif
