/* A pilot run: what a ladder is like, from a short run that is not saved. Rounds of 2, 4, 8, .. exchanges as
 * with adapt_ladder; the last, which makes half of the pilot, is made with a ladder that stays, and is what
 * is measured. */
#ifndef FRX_APP_PILOT_H
#define FRX_APP_PILOT_H

#include "mixing.h"
#include "progress.h"
#include "session.h"
#include "tally.h"

struct frx_pilot {
    int64_t n_step;
    double seconds;           /* wall time */
    struct frx_tally tally;   /* energies of the last round, at the rungs of session->ladder */
    struct frx_mixing mixing; /* of the last round, all ladders pooled */
    double *length;           /* [n_rung-1] barrier of each pair (adapt.h) */
    double barrier;           /* their sum, Lambda */
};

/* Make n_round rounds, n_round >= 1, from the session's start; session->ladder is then the ladder of the last
 * one. *pilot is owned by the caller, also after a failure. Errors: FRX_ERR_INTERRUPTED, those of
 * frx_session_start and frx_run_loop; agreed on. Collective. */
FRX_CHECKED enum frx_status frx_pilot_run(struct frx_session *session, int n_round,
                                          enum frx_progress_mode mode, struct frx_pilot *pilot);
void frx_pilot_clear(struct frx_pilot *pilot);

#endif
