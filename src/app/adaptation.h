/* Adapting the ladder of a run while it goes on (adapt.h). */
#ifndef FRX_APP_ADAPTATION_H
#define FRX_APP_ADAPTATION_H

#include "exchange.h"
#include "session.h"

/* After n_event exchange events of the run: if a round ended just then, place the rungs of session->ladder
 * anew, give the engine their temperatures, and start counting again. Errors: FRX_ERR_MEMORY, those of the
 * engine; agreed on. Collective. */
FRX_CHECKED enum frx_status frx_adaptation_event(struct frx_session *session, struct frx_exchange *exchange,
                                                 int64_t n_event);

#endif
