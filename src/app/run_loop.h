/* The run loop: engine, exchange and output, from the first step to the last.
 *
 * Steps are made in the largest blocks that end at the next event. Events have clocks of their own, counted
 * in steps from 0; after s steps, in this order:
 *   1. s a multiple of save_interval:      the frame is taken: what the last block sampled, at the
 * temperature that it was sampled at, with the energy that the exchange is about to use;
 *   2. s a multiple of exchange_interval:  energies are gathered, replicas exchange (exchange.h);
 *   3. s a multiple of FRX_HOUSEKEEPING:   replicas are recentred.
 * At 2, at 3 and a few times per second (meeting.h) ranks agree on errors and signals. So what is saved and
 * shown, and how often, has no influence on the trajectory, bit by bit. Frames and exchanges are collected
 * and written after the next block has been queued, so that a GPU does not wait for the disk.
 *
 * Checkpoints are written where ranks meet: when checkpoint_interval is over, at the first and the last
 * step, and when a signal (interrupt.h) or the time stops the run, which is the same on all ranks. What
 * a checkpoint counts as written is on the disk before.
 *
 * A ladder that is adapted (adapt.h) moves right after the exchange that ends a round. */
#ifndef FRX_APP_RUN_LOOP_H
#define FRX_APP_RUN_LOOP_H

#include "clock.h"
#include "exchange.h"
#include "progress.h"
#include "restart.h"
#include "session.h"
#include "tally.h"
#include "trajectory.h"
#include "watchdog.h"

#define FRX_HOUSEKEEPING 1000 /* steps */

struct frx_run {
    struct frx_session *session;
    struct frx_exchange *exchange;     /* NULL: replicas never exchange */
    struct frx_trajectory *trajectory; /* NULL: nothing is saved (timed trial) */
    struct frx_progress *progress;     /* NULL: nothing is shown */
    struct frx_watchdog *watchdog;     /* NULL: none */
    struct frx_tally *tally;
    struct frx_clock clock; /* started by the caller */
    int64_t step;           /* made so far */
    int64_t end_step;       /* where to stop */
    int adapting;     /* the ladder is being adapted: what is saved is marked, and energies do not count */
    double stop_time; /* MPI_Wtime when to stop; 0: never. Rank 0's counts */
    const char *stop_reason; /* whose wish that is */
    int64_t skip[2];         /* rows that the newest segment leaves to earlier ones (trajectory.h) */
    int64_t row[2];          /* frames and exchange events so far, of all jobs */
    int n_segment;           /* of the run, the present one included */
    int n_adapting;          /* of these, the first ones: those from adapting the ladder */
    int64_t (*segment)[2];   /* [n_segment] committed rows of each; the last is filled in here */
};

/* Make steps until run->end_step or a signal. The engine holds the initial state. Errors:
 * FRX_ERR_INTERRUPTED, FRX_ERR_DIVERGED, FRX_ERR_IO and others, the same on all ranks; run->step says how far
 * all ranks came. What was appended before stays in the trajectory. Collective. */
FRX_CHECKED enum frx_status frx_run_loop(struct frx_run *run);

#endif
