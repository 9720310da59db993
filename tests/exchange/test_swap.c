/* The decision: acceptance, schemes, and that each scheme leaves the right distribution alone.
 *
 * Four configurations of fixed energy on four rungs make 24 arrangements; the one that puts configuration
 * c(k) at rung k has the weight exp(-sum_k beta_k U_c(k)). A long run of decisions must visit each
 * arrangement that often. Negative controls: one key for all events, and energies that stay at their rung. */
#include "check.h"
#include "rng.h"
#include "swap.h"

#include <string.h>

enum { N_RUNG = 4, N_ARRANGEMENT = 24, N_BATCH = 100 };

static const double beta[N_RUNG] = {2.0, 1.4, 1.0, 0.7};

struct decision {
    int from[N_RUNG], n_attempt[N_RUNG], n_accept[N_RUNG];
    double probability[N_RUNG];
};

static void decide(enum frx_scheme scheme, uint64_t seed, int ladder, int64_t event, const double *energy,
                   struct decision *d) {
    struct frx_swap swap = {
        .from = d->from, .probability = d->probability, .n_attempt = d->n_attempt, .n_accept = d->n_accept};
    frx_swap_decide(scheme, seed, ladder, event, N_RUNG, beta, energy, &swap);
}

static int arrangement_index(const int *configuration) {
    int index = 0;
    for (int k = 0; k < N_RUNG; k++) {
        int smaller = 0;
        for (int j = k + 1; j < N_RUNG; j++) smaller += configuration[j] < configuration[k];
        index = index * (N_RUNG - k) + smaller;
    }
    return index;
}

static void exact_distribution(const double *energy, double *weight) {
    double total = 0;
    for (int code = 0; code < N_RUNG * N_RUNG * N_RUNG * N_RUNG; code++) {
        int c[N_RUNG], seen = 0;
        double exponent = 0;
        for (int k = 0, rest = code; k < N_RUNG; k++, rest /= N_RUNG) {
            c[k] = rest % N_RUNG;
            seen |= 1 << c[k];
            exponent -= beta[k] * energy[c[k]];
        }
        if (seen == (1 << N_RUNG) - 1) total += weight[arrangement_index(c)] = exp(exponent);
    }
    for (int a = 0; a < N_ARRANGEMENT; a++) weight[a] /= total;
}

enum defect { NO_DEFECT, SAME_KEY, FROZEN_ENERGIES };

/* Largest deviation of an arrangement's frequency from its weight, in standard errors (from batches). */
static double deviation(enum frx_scheme scheme, uint64_t seed, int n_event, enum defect defect) {
    static const double energy[N_RUNG] = {-0.3, 0.4, 0.9, 1.7};
    double weight[N_ARRANGEMENT], frequency[N_BATCH][N_ARRANGEMENT] = {{0}};
    exact_distribution(energy, weight);
    int configuration[N_RUNG] = {0, 1, 2, 3};
    struct decision d;
    for (int64_t event = 0; event < n_event; event++) {
        double by_rung[N_RUNG];
        for (int k = 0; k < N_RUNG; k++)
            by_rung[k] = energy[defect == FROZEN_ENERGIES ? k : configuration[k]];
        decide(scheme, seed, 0, defect == SAME_KEY ? event & 1 : event, by_rung, &d);
        int next[N_RUNG];
        for (int k = 0; k < N_RUNG; k++) next[k] = configuration[d.from[k]];
        memcpy(configuration, next, sizeof next);
        frequency[event * N_BATCH / n_event][arrangement_index(configuration)] += (double)N_BATCH / n_event;
    }
    double worst = 0;
    for (int a = 0; a < N_ARRANGEMENT; a++) {
        double mean = 0, variance = 0;
        for (int b = 0; b < N_BATCH; b++) mean += frequency[b][a] / N_BATCH;
        for (int b = 0; b < N_BATCH; b++) variance += pow(frequency[b][a] - mean, 2) / (N_BATCH - 1);
        const double error = sqrt(variance / N_BATCH) + 1e-6;
        worst = fmax(worst, fabs(mean - weight[a]) / error);
    }
    return worst;
}

static void stationarity(void) {
    static const struct {
        enum frx_scheme scheme;
        int n_event;
        const char *name;
    } cases[] = {{FRX_SCHEME_EVEN_ODD, 1000000, "even-odd"},
                 {FRX_SCHEME_STOCHASTIC_EVEN_ODD, 1000000, "stochastic even-odd"},
                 {FRX_SCHEME_GIBBS, 100000, "Gibbs"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const double good = deviation(cases[i].scheme, 5, cases[i].n_event, NO_DEFECT);
        const double same_key = deviation(cases[i].scheme, 5, cases[i].n_event, SAME_KEY);
        const double frozen = deviation(cases[i].scheme, 5, cases[i].n_event, FROZEN_ENERGIES);
        printf("%s: worst of 24 arrangements %.1f standard errors; one key %.0f, frozen energies %.0f\n",
               cases[i].name, good, same_key, frozen);
        CHECK(good < 4, "%s: %.1f standard errors", cases[i].name, good);
        CHECK(same_key > 20 && frozen > 20, "%s misses a defect", cases[i].name);
    }
}

static void probability(void) {
    CHECK_NEAR(frx_swap_probability(2, 1, 5, 7), exp(-2), 1e-15);
    CHECK(frx_swap_probability(2, 1, 7, 5) == 1, "downhill");
    CHECK(frx_swap_probability(1, 2, 7, 5) == frx_swap_probability(2, 1, 5, 7), "symmetric in the pair");
    CHECK(frx_swap_probability(2, 1, 1e308, -1e308) == 1, "overflow of the difference");
    CHECK(frx_swap_probability(2, 1, -1e308, 1e308) == 0, "overflow of the difference");
    static const double bad[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++)
        CHECK(frx_swap_probability(2, 1, bad[i], 0) == 0 && frx_swap_probability(2, 1, 0, bad[i]) == 0 &&
                  frx_swap_probability(2, 1, bad[i], bad[i]) == 0,
              "%g never swaps", bad[i]);
}

static void parity(void) {
    static const double downhill[N_RUNG] = {4, 3, 2, 1}; /* every attempt is accepted */
    struct decision d;
    decide(FRX_SCHEME_EVEN_ODD, 1, 0, 6, downhill, &d);
    CHECK(memcmp(d.from, (int[]){1, 0, 3, 2}, sizeof d.from) == 0, "even event");
    CHECK(d.n_attempt[0] && !d.n_attempt[1] && d.n_attempt[2], "even event");
    decide(FRX_SCHEME_EVEN_ODD, 1, 0, 7, downhill, &d);
    CHECK(memcmp(d.from, (int[]){0, 2, 1, 3}, sizeof d.from) == 0, "odd event");
    CHECK(!d.n_attempt[0] && d.n_attempt[1] && !d.n_attempt[2], "odd event");
    CHECK(d.probability[0] == 1 && d.probability[1] == 1, "probabilities of idle pairs too");

    int n_even = 0;
    enum { n_event = 10000 };
    for (int e = 0; e < n_event; e++) {
        decide(FRX_SCHEME_STOCHASTIC_EVEN_ODD, 1, 0, e, downhill, &d);
        CHECK(d.n_attempt[0] == d.n_attempt[2] && d.n_attempt[0] != d.n_attempt[1], "one parity");
        n_even += d.n_attempt[0];
    }
    CHECK_NEAR(n_even, n_event / 2.0, 4 * sqrt(n_event / 4.0));
}

/* Gibbs draws each of the six pairs equally often and counts the three of neighbours. */
static void gibbs_counts(void) {
    static const double uphill[N_RUNG] = {0, 10, 20, 30}; /* nearly nothing is accepted */
    struct decision d;
    double n[N_RUNG - 1] = {0};
    enum { n_event = 2000, n_draw = N_RUNG * N_RUNG * N_RUNG };
    for (int e = 0; e < n_event; e++) {
        decide(FRX_SCHEME_GIBBS, 3, 1, e, uphill, &d);
        for (int p = 0; p < N_RUNG - 1; p++) n[p] += d.n_attempt[p];
    }
    for (int p = 0; p < N_RUNG - 1; p++)
        CHECK_NEAR(n[p], n_event * n_draw / 6.0, 4 * sqrt(n_event * n_draw * 5 / 36.0));
}

static void bad_energies_stay(void) {
    static const enum frx_scheme schemes[] = {FRX_SCHEME_EVEN_ODD, FRX_SCHEME_STOCHASTIC_EVEN_ODD,
                                              FRX_SCHEME_GIBBS};
    static const double bad[] = {NAN, INFINITY, -INFINITY};
    struct decision d;
    for (int s = 0; s < 3; s++)
        for (int i = 0; i < 3; i++)
            for (int e = 0; e < 50; e++) {
                decide(schemes[s], 1, 0, e, (double[]){3, 2, bad[i], 1}, &d);
                CHECK(d.from[2] == 2, "scheme %d moved a replica of energy %g", s, bad[i]);
            }
}

/* Seed, ladder and event each change the decision; nothing else does. */
static void keys(void) {
    static const double energy[N_RUNG] = {0, 0.5, 1, 1.5};
    int differs[3] = {0};
    for (int e = 0; e < 200; e += 2) {
        struct decision a, b, c, d, again;
        decide(FRX_SCHEME_EVEN_ODD, 1, 0, e, energy, &a);
        decide(FRX_SCHEME_EVEN_ODD, 2, 0, e, energy, &b);
        decide(FRX_SCHEME_EVEN_ODD, 1, 1, e, energy, &c);
        decide(FRX_SCHEME_EVEN_ODD, 1, 0, e + 2, energy, &d);
        decide(FRX_SCHEME_EVEN_ODD, 1, 0, e, energy, &again);
        CHECK(memcmp(a.from, again.from, sizeof a.from) == 0, "repeats itself");
        differs[0] += memcmp(a.from, b.from, sizeof a.from) != 0;
        differs[1] += memcmp(a.from, c.from, sizeof a.from) != 0;
        differs[2] += memcmp(a.from, d.from, sizeof a.from) != 0;
    }
    for (int i = 0; i < 3; i++) CHECK(differs[i] > 20, "key part %d changes %d of 100", i, differs[i]);
}

int main(void) {
    probability();
    parity();
    gibbs_counts();
    bad_energies_stay();
    keys();
    stationarity();
    return frx_check_result();
}
