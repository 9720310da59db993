#include "adaptation.h"

#include "adapt.h"

#include <stdlib.h>
#include <string.h>

static enum frx_status place(struct frx_session *session, const struct frx_statistics *statistics) {
    struct frx_ladder *ladder = &session->ladder;
    const size_t n_rung = (size_t)ladder->n_rung;
    double *acceptance = malloc(2 * n_rung * sizeof *acceptance);
    if (!acceptance) return FRX_FAIL(FRX_ERR_MEMORY, "out of memory for a ladder of %zu rungs", n_rung);
    double *beta = acceptance + n_rung;
    frx_statistics_acceptance(statistics, FRX_ALL_LADDERS, acceptance);
    const enum frx_status status = frx_adapt(ladder->n_rung, ladder->beta, acceptance, ladder->n_rung, beta);
    if (status == FRX_OK) memcpy(ladder->beta, beta, n_rung * sizeof *beta);
    free(acceptance);
    return status;
}

enum frx_status frx_adaptation_event(struct frx_session *session, struct frx_exchange *exchange,
                                     int64_t n_event) {
    if (!frx_adapt_is_end(n_event)) return FRX_OK;
    struct frx_statistics *statistics = frx_exchange_statistics(exchange);
    FRX_TRY(frx_agree(session->comm, place(session, statistics)));
    FRX_TRY(frx_exchange_follow_ladder(exchange));
    frx_statistics_reset(statistics);
    return FRX_OK;
}
