#include "mixing.h"

#include "adapt.h"
#include "print.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* When mixing is called stuck. */
#define MIN_EVENT      100  /* exchange events before anything is said */
#define MIN_ACCEPTANCE 0.1  /* of a pair */
#define MIN_EXPECTED   20   /* round trips that should have been made, */
#define MIN_SHARE      0.05 /* and the share of them that must have been */

/* ---- numbers ---- */

static void find_pairs(struct frx_mixing *m) {
    double fall = -INFINITY;
    for (int p = 0; p < m->n_rung - 1; p++) {
        if (m->acceptance[p] < m->acceptance[m->weakest]) m->weakest = p;
        if (m->up_fraction[p] - m->up_fraction[p + 1] <= fall) continue;
        fall = m->up_fraction[p] - m->up_fraction[p + 1];
        m->steepest = p;
    }
}

enum frx_status frx_mixing_read(const struct frx_session *session, const struct frx_statistics *s, int ladder,
                                struct frx_mixing *m) {
    const int n_rung = s->n_rung, all = ladder == FRX_ALL_LADDERS;
    *m = (struct frx_mixing){.n_rung = n_rung, .n_ladder = all ? s->n_ladder : 1, .n_event = s->n_event};
    m->acceptance = calloc(4 * (size_t)n_rung, sizeof *m->acceptance);
    if (!m->acceptance) return FRX_FAIL(FRX_ERR_MEMORY, "out of memory for the mixing of %d rungs", n_rung);
    m->barrier = m->acceptance + n_rung;
    m->density = m->barrier + n_rung;
    m->up_fraction = m->density + n_rung;
    frx_statistics_acceptance(s, ladder, m->acceptance);
    frx_statistics_up_fraction(s, ladder, m->up_fraction);
    frx_barrier(n_rung, m->acceptance, m->barrier);
    for (int p = 0; p < n_rung - 1; p++)
        m->density[p] = (1 - m->acceptance[p]) / (session->ladder.beta[p] - session->ladder.beta[p + 1]);
    for (int r = (all ? 0 : ladder) * n_rung, end = r + m->n_ladder * n_rung; r < end; r++) {
        m->n_round_trip += s->n_round_trip[r];
        m->n_restart += s->n_restart[r];
    }
    m->observed = frx_statistics_round_trip_rate(s, ladder);
    m->predicted =
        frx_predicted_round_trip_rate((enum frx_scheme)session->config.scheme, n_rung, m->acceptance);
    find_pairs(m);
    return FRX_OK;
}

void frx_mixing_clear(struct frx_mixing *mixing) {
    free(mixing->acceptance);
    *mixing = (struct frx_mixing){0};
}

/* ---- in a file ---- */

/* Arrays of a record, by ladder. */
struct table {
    double *acceptance, *barrier, *density, *up_fraction, *observed, *predicted;
};

static enum frx_status fill_table(const struct frx_session *session, const struct frx_statistics *s,
                                  struct table *t) {
    const size_t n_rung = (size_t)s->n_rung, n_pair = n_rung - 1;
    enum frx_status status = FRX_OK;
    for (int l = 0; l < s->n_ladder && status == FRX_OK; l++) {
        struct frx_mixing m;
        status = frx_mixing_read(session, s, l, &m);
        if (status == FRX_OK) {
            memcpy(t->acceptance + (size_t)l * n_pair, m.acceptance, n_pair * sizeof *m.acceptance);
            memcpy(t->density + (size_t)l * n_pair, m.density, n_pair * sizeof *m.density);
            memcpy(t->barrier + (size_t)l * n_rung, m.barrier, n_rung * sizeof *m.barrier);
            memcpy(t->up_fraction + (size_t)l * n_rung, m.up_fraction, n_rung * sizeof *m.up_fraction);
            t->observed[l] = m.observed;
            t->predicted[l] = m.predicted;
        }
        frx_mixing_clear(&m);
    }
    return status;
}

enum frx_status frx_mixing_save(const struct frx_session *session, const struct frx_statistics *s,
                                struct frx_trajectory *trajectory) {
    if (s->n_rung < 2) return FRX_OK;
    const size_t n = (size_t)s->n_ladder * (size_t)s->n_rung;
    struct table t = {.acceptance = calloc(6 * n, sizeof *t.acceptance)};
    enum frx_status status =
        t.acceptance ? FRX_OK : FRX_FAIL(FRX_ERR_MEMORY, "out of memory for the mixing of %zu replicas", n);
    if (t.acceptance) {
        t.barrier = t.acceptance + n, t.density = t.barrier + n, t.up_fraction = t.density + n;
        t.observed = t.up_fraction + n, t.predicted = t.observed + n;
        status = fill_table(session, s, &t);
    }
    status = frx_agree(session->comm, status);
    const struct frx_mixing_record record = {.n_event = &s->n_event,
                                             .acceptance = t.acceptance,
                                             .barrier = t.barrier,
                                             .barrier_density = t.density,
                                             .up_fraction = t.up_fraction,
                                             .round_trip_rate = t.observed,
                                             .predicted_round_trip_rate = t.predicted,
                                             .round_trips = s->n_round_trip,
                                             .tempered_restarts = s->n_restart,
                                             .residence = s->residence};
    if (status == FRX_OK) status = frx_trajectory_write_mixing(trajectory, &record);
    free(t.acceptance);
    return status;
}

/* ---- words ---- */

/* "pair 3-4 (350.0-371.0 K)" */
static void name_pair(const struct frx_session *session, int p, char text[64]) {
    snprintf(text, 64, "pair %d-%d (%.1f-%.1f K)", p, p + 1, frx_session_kelvin(session, p),
             frx_session_kelvin(session, p + 1));
}

/* Temperatures with which this ladder would exchange well, from the acceptances that it has. */
static int enough_rungs(const struct frx_mixing *m) {
    double length = 0;
    for (int p = 0; p < m->n_rung - 1; p++) length += frx_length_of_acceptance(m->acceptance[p]);
    return 1 + (int)ceil(length / frx_length_of_acceptance(FRX_GOOD_ACCEPTANCE));
}

int frx_mixing_enough(const struct frx_mixing *m) {
    if (m->n_rung < 2 || m->n_event < MIN_EVENT || m->acceptance[m->weakest] < FRX_TOO_GOOD_ACCEPTANCE)
        return 0;
    const int n_enough = enough_rungs(m);
    return m->n_rung >= 2 * n_enough ? n_enough : 0;
}

int frx_mixing_advice(const struct frx_session *session, const struct frx_mixing *m,
                      char text[FRX_ADVICE_SIZE]) {
    const double expected = m->predicted * (double)m->n_event * m->n_ladder;
    char pair[64], trips[FRX_NUMBER_SIZE];
    if (m->n_rung < 2 || m->n_event < MIN_EVENT) return 0;
    if (m->acceptance[m->weakest] < MIN_ACCEPTANCE) {
        const int n_enough = enough_rungs(m);
        name_pair(session, m->weakest, pair);
        snprintf(text, FRX_ADVICE_SIZE, "%s exchanges with probability %.2g: ", pair,
                 m->acceptance[m->weakest]);
        const size_t n = strlen(text);
        if (n_enough > m->n_rung)
            snprintf(
                text + n, FRX_ADVICE_SIZE - n,
                "put a rung between, or let `flashrex ladder` place them; about %d temperatures are needed",
                n_enough);
        else
            snprintf(
                text + n, FRX_ADVICE_SIZE - n,
                "%d temperatures are enough, but not where they are; let `flashrex ladder` or adapt_ladder "
                "place them",
                m->n_rung);
        return 1;
    }
    if (!(expected >= MIN_EXPECTED) || (double)m->n_round_trip >= MIN_SHARE * expected) return 0;
    name_pair(session, m->steepest, pair);
    snprintf(
        text, FRX_ADVICE_SIZE,
        "%s round trip%s where %.0f were expected: replicas turn back at %s, where they do not forget "
        "between exchanges which side they came from (folding?); make the run longer, or put rungs closer "
        "together there",
        frx_number(m->n_round_trip, trips), m->n_round_trip == 1 ? "" : "s", expected, pair);
    return 1;
}
