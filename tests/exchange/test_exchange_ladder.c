/* Replica exchange of harmonic oscillators against closed forms, and proof that the test sees broken
 * exchange.
 *
 * For d degrees of freedom at temperatures in the ratio R: <U_k> = d kT_k / 2 (BAOAB samples the positions of
 * a harmonic oscillator exactly), and neighbours are accepted with a = 2 I_{1/(1+R)}(d/2, d/2). friction
 * t_exchange = 0.4: velocities and forces outlive an exchange, so mistakes with them show.
 *
 * Runs on the engine FRX_TEST_ENGINE. Defects are made by wrapping its table of functions, or by what the
 * event is told to be its index. */
#include "check.h"
#include "gpus.h"
#include "replicas.h"
#include "units.h"
#include FRX_TEST_ENGINE_HEADER

#include <stdlib.h>
#include <string.h>

enum { N_RUNG = 6, N_PAIR = N_RUNG - 1, N_LADDER = 16, N_TRANSIENT = 100, BLOCK = 100, MAX_BLOCK = 200 };

/* ---- engines with a defect ---- */

static const struct frx_engine_class *const whole = &FRX_TEST_ENGINE;
static int n_rep; /* of the engine made last */

static enum frx_status create_and_count(const struct frx_system *system,
                                        const struct frx_engine_options *options,
                                        struct frx_engine **engine) {
    n_rep = options->n_rep;
    return whole->create(system, options, engine);
}

static enum frx_status no_rescale(struct frx_engine *engine, const double *beta, const double *scale) {
    (void)scale;
    return whole->set_temperatures(engine, beta, NULL);
}

static enum frx_status inverted_rescale(struct frx_engine *engine, const double *beta, const double *scale) {
    double inverse[N_LADDER * N_RUNG];
    for (int r = 0; scale && r < n_rep; r++) inverse[r] = 1 / scale[r];
    return whole->set_temperatures(engine, beta, scale ? inverse : NULL);
}

/* Everything arrives but the forces: the slot keeps those of the configuration that left. Whole arrays,
 * because a GPU would take its time over slot by slot. */
static enum frx_status stale_force(struct frx_engine *engine, int n, const int *slot) {
    enum { N = N_LADDER * N_RUNG };
    static double old[N][REPLICAS_N_DOF], x[N][REPLICAS_N_DOF], v[N][REPLICAS_N_DOF], f[N][REPLICAS_N_DOF];
    double energy[N];
    uint32_t identity[N];
    const struct frx_state_view forces = {.forces = old[0]}, all = {x[0], v[0], f[0], energy, identity};
    FRX_TRY(whole->get_state(engine, 0, n_rep, &forces));
    FRX_TRY(whole->unpack(engine, n, slot));
    FRX_TRY(whole->get_state(engine, 0, n_rep, &all));
    for (int k = 0; k < n; k++) memcpy(f[slot[k]], old[slot[k]], sizeof f[slot[k]]);
    return whole->set_state(engine, 0, n_rep, &all);
}

/* ---- measuring ---- */

struct finding {
    double off[N_RUNG];                /* relative deviation of <U_k> */
    double energy_sigma, energy_error; /* worst rung: deviation in standard errors, relative standard error */
    double acceptance_sigma;           /* worst pair: average probability */
    double count_sigma;                /* worst pair: swaps per event, expected a/2 */
    double round_trips;                /* observed / predicted for perfect exploration */
};

/* Sums over blocks of events, per ladder, and their statistics. Blocks are far longer than the correlation
 * time (a few events). */
struct record {
    int n;
    double energy[N_RUNG][N_LADDER * MAX_BLOCK];
    double acceptance[N_PAIR][N_LADDER * MAX_BLOCK];
    double swaps[N_PAIR][N_LADDER * MAX_BLOCK];
};

static void mean_and_error(int n, const double *block, double *mean, double *error) {
    double sum = 0, squares = 0;
    for (int b = 0; b < n; b++) sum += block[b];
    *mean = sum / n;
    for (int b = 0; b < n; b++) squares += (block[b] - *mean) * (block[b] - *mean);
    *error = sqrt(squares / (n - 1) / n);
}

static void add_event(struct record *record, int first_block, const struct frx_exchange_view *view) {
    for (int l = 0; l < N_LADDER; l++) {
        for (int k = 0; k < N_RUNG; k++)
            record->energy[k][first_block + l] += view->energy[l * N_RUNG + k] / BLOCK;
        for (int p = 0; p < N_PAIR; p++) {
            record->acceptance[p][first_block + l] += view->swap[l].probability[p] / BLOCK;
            record->swaps[p][first_block + l] += (double)view->swap[l].n_accept[p] / BLOCK;
        }
    }
}

/* 2 I_x(n, n) with x = 1/(1+R), n = d/2: the binomial tail sum. */
static double exact_acceptance(void) {
    const int n = REPLICAS_N_DOF / 2;
    const double x = 1 / (1 + REPLICAS_RATIO);
    double sum = 0;
    for (int j = n; j < 2 * n; j++)
        sum +=
            exp(lgamma(2 * n) - lgamma(j + 1) - lgamma(2 * n - j) + j * log(x) + (2 * n - 1 - j) * log1p(-x));
    return 2 * sum;
}

static struct finding judge(const struct record *record) {
    struct finding f = {0};
    double mean, error;
    for (int k = 0; k < N_RUNG; k++) {
        const double exact = 0.5 * REPLICAS_N_DOF * FRX_BOLTZMANN * REPLICAS_T_MIN * pow(REPLICAS_RATIO, k);
        mean_and_error(record->n, record->energy[k], &mean, &error);
        f.energy_sigma = fmax(f.energy_sigma, fabs(mean - exact) / error);
        f.off[k] = mean / exact - 1;
        f.energy_error = fmax(f.energy_error, error / exact);
    }
    for (int p = 0; p < N_PAIR; p++) {
        mean_and_error(record->n, record->acceptance[p], &mean, &error);
        f.acceptance_sigma = fmax(f.acceptance_sigma, fabs(mean - exact_acceptance()) / error);
        mean_and_error(record->n, record->swaps[p], &mean, &error);
        f.count_sigma = fmax(f.count_sigma, fabs(mean - exact_acceptance() / 2) / (error + 1e-6));
    }
    return f;
}

enum index { INDEX_RIGHT, INDEX_SAME_PARITY, INDEX_SAME_KEY };

static struct finding run_ladder(const char *name, const struct frx_engine_class *engine_class,
                                 enum index index, int n_block) {
    const struct replicas_plan plan = {.parent = MPI_COMM_WORLD,
                                       .engine_class = engine_class,
                                       .precision = FRX_TEST_PRECISION,
                                       .n_ladder = N_LADDER,
                                       .n_rung = N_RUNG,
                                       .options = {.scheme = FRX_SCHEME_EVEN_ODD, .seed = 2024}};
    struct record *record = calloc(1, sizeof *record);
    struct replicas run;
    enum frx_status status = replicas_start(&plan, &run);
    if (record)
        record->n = n_block * N_LADDER;
    else
        status = FRX_ERR_MEMORY;
    for (int64_t b = 0; b < N_TRANSIENT + n_block * BLOCK && status == FRX_OK; b++) {
        if (b == N_TRANSIENT) frx_statistics_reset(frx_exchange_statistics(run.exchange));
        const int64_t event = index == INDEX_SAME_PARITY ? 2 * b : index == INDEX_SAME_KEY ? b & 1 : b;
        status = replicas_advance(&run, b, event);
        if (status == FRX_OK && b >= N_TRANSIENT)
            add_event(record, (int)((b - N_TRANSIENT) / BLOCK) * N_LADDER, frx_exchange_look(run.exchange));
    }
    CHECK_OK(status);
    if (status != FRX_OK) { /* what nothing was measured of cannot be judged, nor can the controls */
        MPI_Finalize();
        exit(frx_check_result());
    }
    double acceptance[N_PAIR];
    for (int p = 0; p < N_PAIR; p++) acceptance[p] = exact_acceptance();
    struct finding finding = judge(record);
    finding.round_trips =
        frx_statistics_round_trip_rate(frx_exchange_statistics(run.exchange), FRX_ALL_LADDERS) /
        frx_predicted_round_trip_rate(FRX_SCHEME_EVEN_ODD, N_RUNG, acceptance);
    printf("%-18s <U> off by", name);
    for (int k = 0; k < N_RUNG; k++) printf(" %+.2f", 100 * finding.off[k]);
    printf(" %%, at worst %.1f standard errors (of up to %.3f %%); acceptance %.1f, swaps %.1f standard "
           "errors off; "
           "%.2f of the predicted round trips\n",
           finding.energy_sigma, 100 * finding.energy_error, finding.acceptance_sigma, finding.count_sigma,
           finding.round_trips);
    replicas_clear(&run);
    free(record);
    return finding;
}

static int passes(struct finding f) {
    return f.energy_sigma < 4 && f.acceptance_sigma < 4 && f.count_sigma < 4;
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    if (test_skips_gpu(whole)) {
        MPI_Finalize();
        return FRX_TEST_SKIP;
    }
    CHECK_NEAR(exact_acceptance(), 0.65324, 5e-6);

    const struct finding right = run_ladder("as it should be", whole, INDEX_RIGHT, 180);
    CHECK(passes(right), "the right exchange fails");
    CHECK(right.energy_error < 0.001, "standard error %.3f %% of <U>", 100 * right.energy_error);
    CHECK(right.round_trips > 0.5 && right.round_trips < 1,
          "energies are remembered between events, but not for long: %.2f of the predicted round trips",
          right.round_trips);

    enum { SHORT = 12 }; /* blocks: enough to see a defect, not enough to see one where there is none */
    CHECK(passes(run_ladder("short", whole, INDEX_RIGHT, SHORT)), "a short right run fails");
    CHECK(!passes(run_ladder("same parity", whole, INDEX_SAME_PARITY, SHORT)),
          "one parity for all events passes");
    CHECK(!passes(run_ladder("same key", whole, INDEX_SAME_KEY, SHORT)), "a reused random key passes");
    struct frx_engine_class broken = *whole;
    broken.create = create_and_count;
    broken.set_temperatures = no_rescale;
    CHECK(!passes(run_ladder("no rescale", &broken, INDEX_RIGHT, SHORT)), "no rescale passes");
    broken.set_temperatures = inverted_rescale;
    CHECK(!passes(run_ladder("inverted rescale", &broken, INDEX_RIGHT, SHORT)), "an inverted rescale passes");
    broken.unpack = stale_force;
    CHECK(!passes(run_ladder("inverted and stale", &broken, INDEX_RIGHT, SHORT)), "both together pass");
    broken.set_temperatures = whole->set_temperatures;
    CHECK(!passes(run_ladder("stale force", &broken, INDEX_RIGHT, SHORT)), "a stale force passes");
    MPI_Finalize();
    return frx_check_result();
}
