/* What a run needs to go on as if it had never stopped: what is in its checkpoint, and how it gets there and
 * back.
 *
 * Saved, gathered on rank 0, by global slot, so that any number of ranks can go on: positions, velocities,
 * forces, energies, identities (doubles, exact), rungs of slots, statistics, tally, step, counts of what was
 * written, config, and the hash of the system. Random numbers need no state: they are functions of (seed,
 * identity, step) and (seed, event). */
#ifndef FRX_APP_RESTART_H
#define FRX_APP_RESTART_H

#include "checkpoint.h"
#include "exchange.h"
#include "session.h"
#include "tally.h"

/* Counts of a run. */
struct frx_restart_counts {
    int64_t step;   /* made */
    double seconds; /* wall time of the steps, all jobs */
    int64_t row[2]; /* frames and exchange events that these steps made */
};

struct frx_restart {
    struct frx_checkpoint checkpoint;
    int found;        /* 0: there is nothing to go on from: a new run */
    int from_nothing; /* a new run, in place of what a job left that was killed before its first checkpoint */
    struct frx_restart_counts counts;
    int n_segment;         /* in the directory: earlier jobs */
    int64_t (*segment)[2]; /* [n_segment] committed frames and exchange events */
    int64_t skip[2];       /* that many of these were made after the checkpoint: they will come again */
    int n_adapting;        /* of the segments, the first ones: those from adapting the ladder */
};

/* Find the checkpoint of the run in config.output, and refuse it if it is of another system or config, except
 * in what may change. *restart is owned by the caller, also after a failure. Errors: FRX_ERR_ARGUMENT for
 * each key that must not change, or a run without checkpoint; FRX_ERR_FORMAT, FRX_ERR_IO, FRX_ERR_MEMORY;
 * agreed on. Collective. */
FRX_CHECKED enum frx_status frx_restart_read(const struct frx_session *session, struct frx_restart *restart);
void frx_restart_clear(struct frx_restart *restart);

/* Give the session's ladder the betas that it had. Errors: FRX_ERR_FORMAT. Local. */
FRX_CHECKED enum frx_status frx_restart_ladder(const struct frx_restart *restart,
                                               struct frx_session *session);

/* Give this rank's slots their configurations. rung_of_slot [n_slot], for the exchange. Errors:
 * FRX_ERR_FORMAT, those of the engine. Local. */
FRX_CHECKED enum frx_status frx_restart_engine(const struct frx_restart *restart,
                                               const struct frx_session *session, int *rung_of_slot);

/* Restore the sums; statistics NULL: there is no exchange. Errors: FRX_ERR_FORMAT. Local. */
FRX_CHECKED enum frx_status frx_restart_sums(const struct frx_restart *restart,
                                             struct frx_statistics *statistics, struct frx_tally *tally);

/* What goes into a checkpoint; the same on all ranks. */
struct frx_restart_content {
    const struct frx_session *session;
    struct frx_exchange *exchange; /* NULL: no exchange */
    const struct frx_tally *tally;
    struct frx_restart_counts counts;
    int n_segment, n_adapting;
    const int64_t (*segment)[2]; /* [n_segment] committed rows, the present one included */
};

/* Write a checkpoint into config.output. Errors: FRX_ERR_IO, FRX_ERR_MEMORY, those of the engine; agreed on.
 * Collective. */
FRX_CHECKED enum frx_status frx_restart_write(const struct frx_restart_content *content);

#endif
