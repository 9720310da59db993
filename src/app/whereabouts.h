/* Which replicas a rank has, in words: for messages about ranks that failed. */
#ifndef FRX_APP_WHEREABOUTS_H
#define FRX_APP_WHEREABOUTS_H

#include "exchange.h"
#include "session.h"

/* "replicas 3, 0 and 5 at 300.0 to 340.0 K" of any rank, into text [n_byte]; long lists are cut. view
 * NULL: replicas never moved. Only reads whole words of what the exchange keeps, so that a watching thread
 * may ask, too. Local. */
void frx_whereabouts(const struct frx_session *session, const struct frx_exchange_view *view, int rank,
                     char *text, size_t n_byte);

/* Add to the error message of a failed rank, after `step` steps, what the message lacks: when it was and
 * which replicas the rank has. For statuses whose messages know about a device or a library only; others stay
 * as they are. Local, the same on all ranks after frx_agree. */
void frx_whereabouts_add(const struct frx_session *session, const struct frx_exchange_view *view,
                         int64_t step, enum frx_status status);

#endif
