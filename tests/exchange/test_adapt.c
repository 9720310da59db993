/* Adapted ladders against closed forms, and proof that the test sees badly placed ones.
 *
 * Harmonic ladder with d degrees of freedom: rungs at the temperature ratio R are accepted with a(R) = 2
 * I_{1/(1+R)}(d/2, d/2) and Lambda = Gamma((d+1)/2) / (sqrt(pi) Gamma(d/2)) ln(T_max/T_min), so rejections
 * are equal where temperatures are geometric. */
#include "adapt.h"
#include "check.h"
#include "harmonic_engine.h"
#include "monotone_cubic.h"
#include "replicas.h"
#include "units.h"

#include <stdlib.h>
#include <string.h>

enum { N_RUNG = 6, N_PAIR = N_RUNG - 1, N_LADDER = 16, MAX_RUNG = 40 };

/* 2 I_x(n, n) with x = 1/(1+R), n = d/2: the binomial tail sum. */
static double exact_acceptance(int d, double ratio) {
    const int n = d / 2;
    const double x = 1 / (1 + ratio);
    double sum = 0;
    for (int j = n; j < 2 * n; j++)
        sum +=
            exp(lgamma(2 * n) - lgamma(j + 1) - lgamma(2 * n - j) + j * log(x) + (2 * n - 1 - j) * log1p(-x));
    return 2 * sum;
}

static double exact_barrier(int d, double ratio) {
    return exp(lgamma(0.5 * (d + 1)) - lgamma(0.5 * d)) / sqrt(acos(-1)) * log(ratio);
}

static void exact_acceptances(int d, int n_rung, const double *beta, double *acceptance) {
    for (int p = 0; p < n_rung - 1; p++) acceptance[p] = exact_acceptance(d, beta[p] / beta[p + 1]);
}

/* Largest deviation of a rejection from their average, relative, by the closed form. */
static double unevenness(int d, int n_rung, const double *beta) {
    double acceptance[MAX_RUNG], mean = 0, worst = 0;
    exact_acceptances(d, n_rung, beta, acceptance);
    for (int p = 0; p < n_rung - 1; p++) mean += (1 - acceptance[p]) / (n_rung - 1);
    for (int p = 0; p < n_rung - 1; p++) worst = fmax(worst, fabs((1 - acceptance[p]) / mean - 1));
    return worst;
}

/* Equally spaced in T: for oscillators a bad ladder, too wide at the cold end. */
static void linear_ladder(double t_min, double t_max, int n_rung, double *beta) {
    for (int k = 0; k < n_rung; k++) beta[k] = FRX_BETA_OF_KELVIN(t_min + (t_max - t_min) * k / (n_rung - 1));
}

static double sum(int n, const double *value) {
    double total = 0;
    for (int i = 0; i < n; i++) total += value[i];
    return total;
}

/* ---- the pieces ---- */

static void cubic(void) {
    const double x[] = {0, 1, 1.5, 4, 5}, y[] = {0, 0.1, 3, 3, 10};
    double slope[5], before = -1;
    frx_monotone_slopes(5, x, y, slope);
    for (int i = 0; i <= 5000; i++) {
        const double value = frx_monotone_value(5, x, y, slope, i * 0.001);
        CHECK(value >= before - 1e-14, "falls at %g", i * 0.001);
        before = value;
    }
    for (int k = 0; k < 5; k++) CHECK_NEAR(frx_monotone_value(5, x, y, slope, x[k]), y[k], 1e-14);
    for (double v = 0.05; v < 10; v += 0.1)
        CHECK_NEAR(frx_monotone_value(5, x, y, slope, frx_monotone_solve(5, x, y, slope, v)), v, 1e-12);
    /* the same with the slopes of parabolas, unlimited, falls somewhere */
    const double bare[] = {0.1, 0.1 + 5.7 / 1.5, (2.5 * 5.8) / 3, 7 * 2.5 / 3.5, 7};
    int falls = 0;
    for (int i = 1; i <= 5000; i++)
        falls |= frx_monotone_value(5, x, y, bare, i * 0.001) <
                 frx_monotone_value(5, x, y, bare, (i - 1) * 0.001) - 1e-9;
    CHECK(falls, "a curve that is not limited rises, too: the test shows nothing");
    /* a parabola is met in its inside */
    double px[9], py[9], ps[9];
    for (int k = 0; k < 9; k++) px[k] = k, py[k] = (k + 1.0) * (k + 1);
    frx_monotone_slopes(9, px, py, ps);
    CHECK_NEAR(frx_monotone_value(9, px, py, ps, 3.5), 4.5 * 4.5, 1e-12);
}

static void rounds(void) {
    CHECK(frx_adapt_n_event(1) == 2 && frx_adapt_n_event(10) == 2046, "%d", (int)frx_adapt_n_event(10));
    int n_end = 0;
    for (int64_t n = 0; n <= 2046; n++) {
        n_end += frx_adapt_is_end(n);
        CHECK(!frx_adapt_is_end(n) || frx_adapt_n_event(n_end) == n, "round %d ends after %d", n_end, (int)n);
        CHECK(frx_adapt_n_round(n) == n_end, "%d rounds after %d", frx_adapt_n_round(n), (int)n);
    }
    CHECK(n_end == 10, "%d rounds", n_end);
}

static void lengths(void) {
    for (double a = 1e-12; a < 1; a = a < 0.1 ? a * 7 : a + 0.07)
        CHECK_NEAR(frx_acceptance_of_length(frx_length_of_acceptance(a)) / a, 1, 1e-12);
    CHECK(frx_length_of_acceptance(1) == 0 && frx_length_of_acceptance(0) < 30, "ends");
    CHECK_NEAR(frx_length_of_acceptance(1 - 1e-4) / 1e-4, 1, 1e-4); /* close rungs: l = r */
}

static void refusals(void) {
    const double beta[] = {3, 2, 1};
    double placed[3];
    CHECK_FAILS(frx_place_rungs(3, beta, (double[]){1, NAN}, 3, placed), FRX_ERR_ARGUMENT, "rungs 1 and 2");
    CHECK_FAILS(frx_place_rungs(3, beta, (double[]){-1, 1}, 3, placed), FRX_ERR_ARGUMENT, "rungs 0 and 1");
    CHECK_FAILS(frx_place_rungs(3, beta, (double[]){1, 1}, 1, placed), FRX_ERR_ARGUMENT, "at least 2");
    /* nothing rejected: nothing to go by, the ladder stays; one pair never accepted: all go there */
    CHECK_OK(frx_adapt(3, (double[]){4, 2, 1}, (double[]){1, 1}, 3, placed));
    CHECK_NEAR(placed[1], 2, 1e-12);
    CHECK_OK(frx_adapt(3, (double[]){4, 2, 1}, (double[]){0, 1}, 3, placed));
    CHECK(placed[1] > 2 && placed[1] < 4 && placed[0] == 4 && placed[2] == 1, "%g", placed[1]);
}

/* ---- oscillators, with exact acceptances ---- */

/* Ladders with a barrier density that has a peak, as at a folding temperature: the lengths are integrals. */
static double folding_barrier(double beta) {
    return -5 * log(beta) - 3 * tanh((beta - 1.4) / 0.05);
}

static void exact(void) {
    for (int d = 30; d <= 300; d += 270) {
        double beta[MAX_RUNG], acceptance[MAX_RUNG], placed[MAX_RUNG];
        linear_ladder(300, 700, N_RUNG, beta);
        exact_acceptances(d, N_RUNG, beta, acceptance);
        CHECK(unevenness(d, N_RUNG, beta) > 0.05, "d = %d: already even", d);
        double length[MAX_RUNG];
        for (int p = 0; p < N_PAIR; p++) length[p] = frx_length_of_acceptance(acceptance[p]);
        const double barrier = exact_barrier(d, 700.0 / 300);
        printf("d = %d: rejections of the linear ladder uneven by %.1f %%; Lambda %.4f from lengths, exact "
               "%.4f, sum "
               "of rejections %.4f\n",
               d, 100 * unevenness(d, N_RUNG, beta), sum(N_PAIR, length), barrier,
               N_PAIR - sum(N_PAIR, acceptance));
        CHECK_NEAR(sum(N_PAIR, length) / barrier, 1, 0.01);
        CHECK_OK(frx_adapt(N_RUNG, beta, acceptance, N_RUNG, placed));
        CHECK(unevenness(d, N_RUNG, placed) < 0.02, "d = %d: rejections differ by %g", d,
              unevenness(d, N_RUNG, placed));
        const double even = unevenness(d, N_RUNG, placed);
        CHECK(placed[0] == beta[0] && placed[N_RUNG - 1] == beta[N_RUNG - 1], "the ends moved");
        /* another number of rungs, and what it will be like */
        CHECK_OK(frx_adapt(N_RUNG, beta, acceptance, 20, placed));
        CHECK(unevenness(d, 20, placed) < 0.02, "d = %d, 20 rungs: %g", d, unevenness(d, 20, placed));
        CHECK_NEAR(frx_acceptance_of_length(sum(N_PAIR, length) / 19),
                   exact_acceptance(d, placed[9] / placed[10]), 0.01);
        /* bare rejections saturate and need more rounds */
        for (int p = 0; p < N_PAIR; p++) length[p] = 1 - acceptance[p];
        CHECK_OK(frx_place_rungs(N_RUNG, beta, length, N_RUNG, placed));
        printf("        after one placement uneven by %.4f %%, from bare rejections by %.3f %%\n", 100 * even,
               100 * unevenness(d, N_RUNG, placed));
        CHECK(even < 0.2 * unevenness(d, N_RUNG, placed), "d = %d: lengths are no better", d);
        /* the acceptances of the wrong pairs */
        for (int p = 0; p < N_PAIR; p++) length[p] = frx_length_of_acceptance(acceptance[N_PAIR - 1 - p]);
        CHECK_OK(frx_place_rungs(N_RUNG, beta, length, N_RUNG, placed));
        CHECK(unevenness(d, N_RUNG, placed) > 0.05, "d = %d: acceptances of wrong pairs pass", d);
    }
    double beta[MAX_RUNG], length[MAX_RUNG], placed[MAX_RUNG];
    linear_ladder(300, 450, 16, beta);
    double worst = 0, linear = 0;
    for (int round = 0; round < 4; round++) {
        for (int p = 0; p < 15; p++) length[p] = folding_barrier(beta[p + 1]) - folding_barrier(beta[p]);
        worst = 0;
        for (int p = 0; p < 15; p++) worst = fmax(worst, fabs(length[p] / (sum(15, length) / 15) - 1));
        if (round == 0) linear = worst;
        CHECK_OK(frx_place_rungs(16, beta, length, 16, placed));
        memcpy(beta, placed, sizeof beta);
    }
    printf("peak: lengths uneven by %.1f %% when linear in T, %.2f %% after three placements\n", 100 * linear,
           100 * worst);
    CHECK(worst < 0.02 && linear > 1, "%g from %g", worst, linear);
}

/* ---- oscillators that are sampled ---- */

/* What is done with the acceptances of a round. */
enum placing { PLACE_RIGHT, PLACE_SHIFTED, PLACE_LINEAR };

struct finding {
    double uneven, barrier; /* of the last ladder, and Lambda from the last round before it moved */
};

static enum frx_status place(enum placing placing, struct replicas *run) {
    double acceptance[N_RUNG], used[N_RUNG], beta[N_RUNG];
    frx_statistics_acceptance(frx_exchange_statistics(run->exchange), FRX_ALL_LADDERS, acceptance);
    for (int p = 0; p < N_PAIR; p++) used[p] = acceptance[(p + (placing == PLACE_SHIFTED)) % N_PAIR];
    FRX_TRY(frx_adapt(N_RUNG, run->ladder.beta, used, N_RUNG, beta));
    const double t_min = FRX_KELVIN_OF_BETA(beta[0]), t_max = FRX_KELVIN_OF_BETA(beta[N_RUNG - 1]);
    if (placing == PLACE_LINEAR) linear_ladder(t_min, t_max, N_RUNG, beta);
    memcpy(run->ladder.beta, beta, sizeof beta);
    FRX_TRY(frx_exchange_follow_ladder(run->exchange));
    frx_statistics_reset(frx_exchange_statistics(run->exchange));
    return FRX_OK;
}

static struct finding adapt_sampled(const char *name, enum placing placing, int n_round) {
    const struct replicas_plan plan = {.parent = MPI_COMM_WORLD,
                                       .engine_class = &frx_harmonic_engine,
                                       .n_ladder = N_LADDER,
                                       .n_rung = N_RUNG,
                                       .options = {.scheme = FRX_SCHEME_EVEN_ODD, .seed = 11}};
    struct replicas run;
    struct finding f = {NAN, NAN};
    enum frx_status status = replicas_start(&plan, &run);
    const double ratio = run.ladder.beta[0] / run.ladder.beta[N_RUNG - 1];
    linear_ladder(REPLICAS_T_MIN, REPLICAS_T_MIN * ratio, N_RUNG, run.ladder.beta);
    if (status == FRX_OK) status = frx_exchange_follow_ladder(run.exchange);
    for (int64_t event = 0; event < frx_adapt_n_event(n_round) && status == FRX_OK; event++) {
        status = replicas_advance(&run, event, event);
        if (status != FRX_OK || !frx_adapt_is_end(event + 1)) continue;
        double acceptance[N_PAIR];
        frx_statistics_acceptance(frx_exchange_statistics(run.exchange), FRX_ALL_LADDERS, acceptance);
        f.barrier = 0;
        for (int p = 0; p < N_PAIR; p++) f.barrier += frx_length_of_acceptance(acceptance[p]);
        status = place(placing, &run);
    }
    CHECK_OK(status);
    f.uneven = unevenness(REPLICAS_N_DOF, N_RUNG, run.ladder.beta);
    f.barrier /= exact_barrier(REPLICAS_N_DOF, ratio);
    printf("%-20s %d rounds: Lambda off by %+.2f %%, rejections uneven by %.2f %%\n", name, n_round,
           100 * (f.barrier - 1), 100 * f.uneven);
    replicas_clear(&run);
    return f;
}

static void sampled(void) {
    const struct finding right = adapt_sampled("as it should be", PLACE_RIGHT, 13);
    CHECK(fabs(right.barrier - 1) < 0.01 && right.uneven < 0.02, "Lambda %+.4f, uneven %.4f",
          right.barrier - 1, right.uneven);
    CHECK(adapt_sampled("wrong pairs", PLACE_SHIFTED, 11).uneven > 0.02, "acceptances of the next pair pass");
    CHECK(adapt_sampled("linear in T", PLACE_LINEAR, 9).uneven > 0.02, "temperatures at equal distance pass");
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    cubic();
    rounds();
    lengths();
    refusals();
    exact();
    sampled();
    MPI_Finalize();
    return frx_check_result();
}
