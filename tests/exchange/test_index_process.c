/* Round trips against theory, and labels by hand.
 *
 * If pair p is accepted with probability 1 - r_p whatever the replicas do, their walk over the rungs is a
 * Markov chain whose round-trip rate is known in closed form (statistics.h). Energies that belong to the
 * rung, not to the replica, make just that of the real decision: U_p+1 - U_p = -ln(1 - r_p)/(beta_p -
 * beta_p+1). */
#include "check.h"
#include "statistics.h"
#include "swap.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_RUNG = 64 };

/* Round trips per event of all replicas of one ladder, after a transient. */
static double observed_rate(enum frx_scheme scheme, int n_rung, const double *acceptance, int n_event) {
    double beta[MAX_RUNG], energy[MAX_RUNG], probability[MAX_RUNG];
    int from[MAX_RUNG], n_attempt[MAX_RUNG], n_accept[MAX_RUNG];
    uint32_t identity[MAX_RUNG], next[MAX_RUNG];
    struct frx_swap swap = {
        .from = from, .probability = probability, .n_attempt = n_attempt, .n_accept = n_accept};
    for (int k = 0; k < n_rung; k++) {
        beta[k] = n_rung - k;
        energy[k] = k ? energy[k - 1] - log(acceptance[k - 1]) : 0;
        identity[k] = (uint32_t)k;
    }
    struct frx_statistics statistics;
    CHECK_OK(frx_statistics_create(1, n_rung, &statistics));
    const int transient = n_event / 10;
    for (int event = -transient; event < n_event; event++) {
        if (event == 0) frx_statistics_reset(&statistics);
        frx_swap_decide(scheme, 17, 0, event + transient, n_rung, beta, energy, &swap);
        for (int k = 0; k < n_rung; k++) next[k] = identity[from[k]];
        memcpy(identity, next, sizeof next);
        frx_statistics_update(&statistics, &swap, identity);
    }
    double measured[MAX_RUNG];
    frx_statistics_acceptance(&statistics, 0, measured);
    for (int p = 0; p < n_rung - 1; p++) {
        CHECK_NEAR(measured[p], acceptance[p], 1e-9); /* rounding of a sum over millions */
        const double n = (double)statistics.n_attempt[p];
        CHECK_NEAR(statistics.n_accept[p] / n, acceptance[p],
                   5 * sqrt(acceptance[p] * (1 - acceptance[p]) / n));
    }
    const double rate = frx_statistics_round_trip_rate(&statistics, 0);
    const double restarts = frx_statistics_restart_rate(&statistics, FRX_ALL_LADDERS);
    CHECK_NEAR(restarts, rate, 2.0 * n_rung / n_event);
    frx_statistics_clear(&statistics);
    return rate;
}

static void round_trips(void) {
    static const struct {
        int n_rung, n_event;
    } cases[] = {{4, 1000000}, {8, 1500000}, {16, 2000000}, {32, 2000000}, {64, 2000000}};
    static const enum frx_scheme schemes[] = {FRX_SCHEME_EVEN_ODD, FRX_SCHEME_STOCHASTIC_EVEN_ODD};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const int n_rung = cases[i].n_rung;
        double acceptance[MAX_RUNG], predicted[2], observed[2];
        for (int p = 0; p < n_rung - 1; p++) acceptance[p] = 0.85 - 0.5 * p / (n_rung - 1); /* uneven */
        for (int s = 0; s < 2; s++) {
            predicted[s] = frx_predicted_round_trip_rate(schemes[s], n_rung, acceptance);
            observed[s] = observed_rate(schemes[s], n_rung, acceptance, cases[i].n_event);
            printf("K = %d, %s: %.6f round trips per event, theory %.6f, %+.2f %%\n", n_rung,
                   s ? "stochastic" : "even-odd", observed[s], predicted[s],
                   100 * (observed[s] / predicted[s] - 1));
            CHECK_NEAR(observed[s] / predicted[s], 1, 0.01);
        }
        /* Either scheme would fail the other's formula. */
        CHECK(fabs(observed[0] / predicted[1] - 1) > 0.1, "K = %d: the formulas cannot be told apart",
              n_rung);
    }
}

/* Three rungs, replicas led by hand: what counts as a trip and what does not. */
static void labels(void) {
    static const uint32_t path[][3] = {
        {0, 1, 2},            /* 0 cold: up; 2 hot: down */
        {1, 0, 2}, {1, 2, 0}, /* 0 reaches the top without having come down: no trip; 1 up */
        {2, 1, 0},            /* 2 comes down: restart */
        {2, 0, 1},            /* 1 at the top: half a trip */
        {0, 2, 1},            /* 0 comes down: restart */
        {0, 1, 2},            /* 2 back at the top: one round trip */
        {1, 2, 0},            /* 0 back at the top: one round trip; 1 restarts */
    };
    int from[3] = {0, 1, 2}, n_attempt[2] = {1, 0}, n_accept[2] = {1, 0};
    double probability[2] = {0.5, 0.25};
    const struct frx_swap swap = {from, probability, n_attempt, n_accept};
    struct frx_statistics s;
    CHECK_OK(frx_statistics_create(1, 3, &s));
    double acceptance[2], fraction[3];
    frx_statistics_acceptance(&s, FRX_ALL_LADDERS, acceptance);
    CHECK(isnan(acceptance[0]) && isnan(frx_statistics_round_trip_rate(&s, 0)), "nothing known yet");
    enum { n_event = sizeof path / sizeof path[0] };
    for (int e = 0; e < n_event; e++) frx_statistics_update(&s, &swap, path[e]);

    CHECK(s.n_round_trip[0] == 1 && s.n_round_trip[1] == 0 && s.n_round_trip[2] == 1, "%d %d %d",
          (int)s.n_round_trip[0], (int)s.n_round_trip[1], (int)s.n_round_trip[2]);
    CHECK(s.n_restart[0] == 1 && s.n_restart[1] == 1 && s.n_restart[2] == 1, "restarts %d %d %d",
          (int)s.n_restart[0], (int)s.n_restart[1], (int)s.n_restart[2]);
    CHECK_NEAR(frx_statistics_round_trip_rate(&s, 0), 2.0 / n_event, 1e-15);
    frx_statistics_acceptance(&s, 0, acceptance);
    CHECK_NEAR(acceptance[1], 0.25, 1e-15);
    CHECK(s.n_attempt[0] == n_event && s.n_attempt[1] == 0 && s.n_accept[0] == n_event, "counts");
    frx_statistics_up_fraction(&s, 0, fraction);
    CHECK(fraction[0] == 1 && fraction[2] == 0, "ends: f = %g, %g", fraction[0], fraction[2]);
    /* Middle rung: 1 and 0 without label, 2 down, 1 without, 0 down, 2 up, 1 down, 2 down. */
    CHECK_NEAR(fraction[1], 1.0 / 5, 1e-15);
    CHECK(s.residence[0 * 3 + 0] == 3 && s.residence[0 * 3 + 1] == 2 && s.residence[0 * 3 + 2] == 3,
          "residence of replica 0: %d %d %d", (int)s.residence[0], (int)s.residence[1], (int)s.residence[2]);

    frx_statistics_reset(&s);
    CHECK(s.n_event == 0 && s.n_round_trip[0] == 0 && s.label[0] == FRX_LABEL_DOWN, "labels outlive a reset");
    frx_statistics_clear(&s);
}

/* Ladders are counted apart and pooled. */
static void ladders(void) {
    int from[2] = {0, 1}, n_attempt[1] = {1}, n_accept[1] = {0};
    double low[1] = {0.2}, high[1] = {0.6};
    const struct frx_swap swap[2] = {{from, low, n_attempt, n_accept}, {from, high, n_attempt, n_accept}};
    static const uint32_t path[][4] = {{0, 1, 2, 3}, {1, 0, 2, 3}, {0, 1, 2, 3}};
    struct frx_statistics s;
    CHECK_OK(frx_statistics_create(2, 2, &s));
    for (int e = 0; e < 3; e++) frx_statistics_update(&s, swap, path[e]);
    double a[1];
    frx_statistics_acceptance(&s, 0, a);
    CHECK_NEAR(a[0], 0.2, 1e-15);
    frx_statistics_acceptance(&s, 1, a);
    CHECK_NEAR(a[0], 0.6, 1e-15);
    frx_statistics_acceptance(&s, FRX_ALL_LADDERS, a);
    CHECK_NEAR(a[0], 0.4, 1e-15);
    CHECK_NEAR(frx_statistics_round_trip_rate(&s, 0), 1.0 / 3, 1e-15); /* replica 1 */
    CHECK_NEAR(frx_statistics_round_trip_rate(&s, 1), 0, 0);
    CHECK_NEAR(frx_statistics_round_trip_rate(&s, FRX_ALL_LADDERS), 1.0 / 6, 1e-15);
    frx_statistics_clear(&s);
}

static void formulas(void) {
    double barrier[4];
    frx_barrier(4, (double[]){0.5, 0.75, 1}, barrier);
    CHECK(barrier[0] == 0 && barrier[1] == 0.5 && barrier[2] == 0.75 && barrier[3] == 0.75, "Lambda %g",
          barrier[3]);
    const double a[] = {0.5, 0.75, 1};
    CHECK_NEAR(frx_predicted_round_trip_rate(FRX_SCHEME_EVEN_ODD, 4, a), 1 / (2 + 2 * (1 + 1.0 / 3)), 1e-15);
    CHECK_NEAR(frx_predicted_round_trip_rate(FRX_SCHEME_STOCHASTIC_EVEN_ODD, 4, a),
               1 / (6 + 2 * (1 + 1.0 / 3)), 1e-15);
    CHECK(frx_predicted_round_trip_rate(FRX_SCHEME_EVEN_ODD, 3, (double[]){0.5, 0}) == 0, "a blocked ladder");
    CHECK(isnan(frx_predicted_round_trip_rate(FRX_SCHEME_GIBBS, 4, a)), "no formula for Gibbs");
    CHECK(isnan(frx_predicted_round_trip_rate(FRX_SCHEME_EVEN_ODD, 1, NULL)), "one rung");
}

int main(void) {
    labels();
    ladders();
    formulas();
    round_trips();
    return frx_check_result();
}
