#include "meeting.h"

#include "interrupt.h"

#include <math.h>

#define FIRST_COMMIT_SECONDS 5.0  /* results are on disk and readable soon, so that one can have a look, */
#define COMMIT_SECONDS       60.0 /* then less and less often, but no later than this */
#define MOST_SECONDS         0.25 /* for a piece */
#define MOST_STEPS           (INT64_C(1) << 40)

void frx_meeting_start(struct frx_meeting *meeting, int64_t step, double checkpoint_minutes,
                       double stop_time) {
    const double now = MPI_Wtime();
    *meeting = (struct frx_meeting){.piece = 1,
                                    .next = step + 1,
                                    .checkpoint_seconds = checkpoint_minutes * 60,
                                    .stop_time = stop_time,
                                    .commit_seconds = FIRST_COMMIT_SECONDS,
                                    .next_commit = now + FIRST_COMMIT_SECONDS,
                                    .next_checkpoint = now + checkpoint_minutes * 60,
                                    .last_time = now,
                                    .last_step = step};
}

/* Whether pieces should change, by how long the steps since the last meeting took. */
static uint32_t judge_piece(const struct frx_meeting *meeting, int64_t step, double now) {
    const double n_step = (double)(step - meeting->last_step);
    const double expected = (now - meeting->last_time) / (n_step > 0 ? n_step : 1) * (double)meeting->piece;
    if (expected > MOST_SECONDS && meeting->piece > 1) return FRX_FLAG_SHORTER;
    return 2 * expected < MOST_SECONDS && meeting->piece < MOST_STEPS ? FRX_FLAG_LONGER : 0;
}

uint32_t frx_meeting_flags(struct frx_meeting *meeting, const struct frx_comm *comm, int64_t step) {
    uint32_t flags = frx_interrupt_signal() ? FRX_FLAG_SIGNAL : 0;
    if (comm->rank != 0) return flags; /* one clock for all */
    const double now = MPI_Wtime();
    flags |= judge_piece(meeting, step, now);
    meeting->last_time = now;
    if (now >= meeting->next_commit) {
        flags |= FRX_FLAG_COMMIT;
        meeting->commit_seconds = fmin(2 * meeting->commit_seconds, COMMIT_SECONDS);
        meeting->next_commit = now + meeting->commit_seconds;
    }
    if (now >= meeting->next_checkpoint) {
        flags |= FRX_FLAG_CHECKPOINT;
        meeting->next_checkpoint = now + meeting->checkpoint_seconds;
    }
    if (meeting->stop_time > 0 && now >= meeting->stop_time) flags |= FRX_FLAG_TIME;
    return flags;
}

void frx_meeting_held(struct frx_meeting *meeting, int64_t step, uint32_t flags) {
    if (flags & FRX_FLAG_LONGER) meeting->piece *= 2;
    if (flags & FRX_FLAG_SHORTER) meeting->piece /= 2;
    meeting->last_step = step;
    meeting->next = step + meeting->piece;
}

void frx_meeting_resume(struct frx_meeting *meeting) {
    meeting->last_time = MPI_Wtime();
}
