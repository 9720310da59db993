/* The watchdog: a run of which one rank has died or hangs must end, and not use up its allocation in waiting.
 *
 * The run loop says where it is. A thread of each rank looks ten times per second and ends the whole run,
 * with one message, MPI_Abort and the exit code of FRX_ERR_COMM, when
 *   - the process of another rank on this host is no longer there, or
 *   - this rank has been at one place for longer than `seconds`, plus ten times what its own steps took at
 * most: so that blocks of steps may be as long as they like, also when other ranks are slower. Making steps
 * is not waited for, and time in which this process itself was stopped (a suspended job) does not count. The
 * message names the rank of this host that did not come as far as this one, if there is one; hosts where
 * nobody is late wait a little longer, in turns, so that the one that knows more speaks.
 *
 * Each host's ranks share a page of memory, in which everyone says how far it is. */
#ifndef FRX_APP_WATCHDOG_H
#define FRX_APP_WATCHDOG_H

#include "exchange.h"
#include "session.h"

enum frx_place { FRX_AT_START, FRX_AT_STEPS, FRX_AT_EXCHANGE, FRX_AT_CHECKPOINT, FRX_AT_END };

struct frx_watchdog;

/* Begin to watch, at FRX_AT_START; session->config.watchdog in seconds, 0: never. The session must outlive
 * it. *watchdog is owned by the caller, and NULL if there is nobody to watch. Errors: FRX_ERR_MEMORY,
 * FRX_ERR_COMM, FRX_ERR_INTERNAL (no thread); agreed on. Collective. */
FRX_CHECKED enum frx_status frx_watchdog_start(const struct frx_session *session,
                                               struct frx_watchdog **watchdog);

/* Where replicas are, for the message. Local. */
void frx_watchdog_tell(struct frx_watchdog *watchdog, const struct frx_exchange_view *view);

/* From now on this rank is at `place`, `step` steps made: all ranks say so in the same order. NULL is fine.
 * Local. */
void frx_watchdog_at(struct frx_watchdog *watchdog, enum frx_place place, int64_t step);

/* End it; NULL is fine. Collective. */
void frx_watchdog_stop(struct frx_watchdog *watchdog);

#endif
