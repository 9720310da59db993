#include "whereabouts.h"

#include "print.h"
#include "units.h"

#include <stdio.h>

#define MAX_LISTED 8 /* replicas */

void frx_whereabouts(const struct frx_session *session, const struct frx_exchange_view *view, int rank,
                     char *text, size_t n_byte) {
    int first, n;
    *text = '\0';
    if (frx_slots_of_rank(session->n_slot, session->comm->size, rank, &first, &n) != FRX_OK) return;
    const int n_rung = session->ladder.n_rung;
    int coldest = n_rung, hottest = -1;
    size_t at = (size_t)snprintf(text, n_byte, "replica%s", n == 1 ? "" : "s");
    for (int slot = first; slot < first + n; slot++) {
        const int rung = view ? view->rung_of_slot[slot] : slot % n_rung;
        const uint32_t identity = view ? view->identity_of_slot[slot] : (uint32_t)slot;
        if (rung < coldest) coldest = rung;
        if (rung > hottest) hottest = rung;
        const int k = slot - first;
        if (at < n_byte && k < MAX_LISTED)
            at += (size_t)snprintf(text + at, n_byte - at, "%s%u",
                                   k == 0       ? " "
                                   : k == n - 1 ? " and "
                                                : ", ",
                                   (unsigned)identity);
    }
    if (at < n_byte && n > MAX_LISTED)
        at += (size_t)snprintf(text + at, n_byte - at, " and %d more", n - MAX_LISTED);
    if (at < n_byte)
        at += (size_t)snprintf(text + at, n_byte - at, " at %.1f",
                               FRX_KELVIN_OF_BETA(session->ladder.beta[coldest]));
    if (at < n_byte && hottest != coldest)
        at += (size_t)snprintf(text + at, n_byte - at, " to %.1f",
                               FRX_KELVIN_OF_BETA(session->ladder.beta[hottest]));
    if (at < n_byte) snprintf(text + at, n_byte - at, " K");
}

void frx_whereabouts_add(const struct frx_session *session, const struct frx_exchange_view *view,
                         int64_t step, enum frx_status status) {
    if (status != FRX_ERR_DEVICE && status != FRX_ERR_COMM && status != FRX_ERR_MEMORY) return;
    int rank = 0;
    char replicas[256], number[FRX_NUMBER_SIZE];
    /* NOLINTNEXTLINE(cert-err34-c): ours, or not there */
    if (sscanf(frx_error_message(), "rank %d:", &rank) != 1 || rank < 0 || rank >= session->comm->size)
        rank = 0;
    frx_whereabouts(session, view, rank, replicas, sizeof replicas);
    frx_error_add("that was after step %s, with %s; --continue goes on from the last checkpoint",
                  frx_number(step, number), replicas);
}
