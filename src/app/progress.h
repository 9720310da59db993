/* What the user sees while a run goes on: on a terminal one line that is kept up to date, in a log a line now
 * and then.
 *
 * Only rank 0 shows anything. The live line goes to standard error, lines to standard output. */
#ifndef FRX_APP_PROGRESS_H
#define FRX_APP_PROGRESS_H

#include "mixing.h"
#include "session.h"
#include "statistics.h"

enum frx_progress_mode { FRX_PROGRESS_AUTO, FRX_PROGRESS_LIVE, FRX_PROGRESS_LINES, FRX_PROGRESS_QUIET };
extern const char *const frx_progress_words[]; /* in that order, the last NULL */

struct frx_progress {
    const struct frx_session *session;
    int live, lines;              /* what is shown */
    double start;                 /* wall seconds when stepping began */
    double next_live;             /* when the live line is due again */
    double next_line;             /* when a line is due, */
    int64_t next_line_step;       /* or at which step */
    char advice[FRX_ADVICE_SIZE]; /* what is wrong with the mixing, as soon as it is known; "": nothing */
    int is_said;
};

/* Start the clock, `seconds` after its start in earlier jobs. `auto` is a live line if standard error is a
 * terminal, and lines unless standard output is one, too. Local. */
void frx_progress_start(const struct frx_session *session, enum frx_progress_mode mode, double seconds,
                        struct frx_progress *progress);

/* Show what is due after `step` steps. statistics: of the exchange, NULL if there is none. Local. */
void frx_progress_update(struct frx_progress *progress, int64_t step,
                         const struct frx_statistics *statistics);

/* Take the live line away, e.g. before something else is printed. Local. */
void frx_progress_clear(const struct frx_progress *progress);

/* Wall seconds since the start, earlier jobs included. Local. */
double frx_progress_seconds(const struct frx_progress *progress);

#endif
