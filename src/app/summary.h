/* The end of a run: a table for people and RUN/summary.json for programs. */
#ifndef FRX_APP_SUMMARY_H
#define FRX_APP_SUMMARY_H

#include "clock.h"
#include "session.h"
#include "statistics.h"
#include "tally.h"

struct frx_summary {
    const struct frx_session *session;
    const struct frx_statistics *statistics; /* NULL: no exchange */
    const struct frx_tally *tally;
    const struct frx_clock *clock; /* of this job */
    int64_t n_step;                /* made */
    int64_t n_frame;               /* saved */
    double seconds;                /* wall time of the steps */
    enum frx_status status;        /* how the run ended */
};

/* Print the table, one row per rung: temperature, energies, acceptance, mixing. Local. */
void frx_summary_print(const struct frx_summary *summary, FILE *out);

/* Remove a summary that an earlier run left in `directory`, so that a run that is killed has none rather than
 * another's. Local: call it on one rank. */
void frx_summary_discard(const char *directory);

/* Write `directory`/summary.json, through a temporary name. Errors: FRX_ERR_IO. Local: call it on one rank.
 */
FRX_CHECKED enum frx_status frx_summary_write(const struct frx_summary *summary, const char *directory);

#endif
