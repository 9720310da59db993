/* flashrex ladder */
#include "adapt.h"
#include "command.h"
#include "json.h"
#include "pilot.h"
#include "print.h"
#include "units.h"
#include "user_error.h"
#include "version.h"

#include <math.h>
#include <stdlib.h>

#define ROUNDS     9    /* 1,022 exchanges */
#define MAX_ROUNDS 20   /* two million */
#define ROUGH      0.01 /* a pilot with pairs below has seen too little */
#define FEW        100  /* exchanges below which a pilot says little */

/* The ladder that comes out. */
struct plan {
    int n_rung;
    double acceptance;  /* of every pair */
    double round_trips; /* per event */
    double *kelvin;     /* [n_rung] */
};

/* ---- planning ---- */

/* Predicted acceptance of every pair of a ladder of so many rungs. */
static double acceptance_with(const struct frx_pilot *pilot, int n_rung) {
    return frx_acceptance_of_length(pilot->barrier / (n_rung - 1));
}

/* The smallest number of rungs whose pairs are accepted as often as this. */
static int rungs_for(const struct frx_pilot *pilot, double acceptance) {
    const double n_pair = ceil(pilot->barrier / frx_length_of_acceptance(acceptance) - 1e-9);
    return n_pair < 1 ? 2 : n_pair >= FRX_MAX_RUNG ? FRX_MAX_RUNG : 1 + (int)n_pair;
}

/* Round trips per event of one ladder, if replicas forget their energy between events. */
static double round_trips_with(const struct frx_session *session, const struct frx_pilot *pilot, int n_rung) {
    double acceptance[FRX_MAX_RUNG];
    for (int p = 0; p < n_rung - 1; p++) acceptance[p] = acceptance_with(pilot, n_rung);
    return frx_predicted_round_trip_rate((enum frx_scheme)session->config.scheme, n_rung, acceptance);
}

/* Temperatures to a hundredth of a kelvin, or finer where they are close; the ends as they were given. */
static void round_temperatures(const struct frx_session *session, struct plan *plan) {
    const struct frx_reals *given = &session->config.temperatures;
    double unit = 0.01;
    for (int k = 1; k < plan->n_rung; k++)
        while (plan->kelvin[k] - plan->kelvin[k - 1] < 100 * unit && unit > 1e-8) unit /= 10;
    for (int k = 1; k < plan->n_rung - 1; k++) plan->kelvin[k] = round(plan->kelvin[k] / unit) * unit;
    plan->kelvin[0] = given->value[0];
    plan->kelvin[plan->n_rung - 1] = given->value[given->n - 1];
}

static enum frx_status make_plan(const struct frx_session *session, const struct frx_pilot *pilot, int n_rung,
                                 struct plan *plan) {
    *plan = (struct plan){.n_rung = n_rung,
                          .acceptance = acceptance_with(pilot, n_rung),
                          .round_trips = round_trips_with(session, pilot, n_rung),
                          .kelvin = malloc((size_t)n_rung * sizeof *plan->kelvin)};
    if (!plan->kelvin) return FRX_FAIL(FRX_ERR_MEMORY, "out of memory for %d temperatures", n_rung);
    FRX_TRY(
        frx_place_rungs(session->ladder.n_rung, session->ladder.beta, pilot->length, n_rung, plan->kelvin));
    for (int k = 0; k < n_rung; k++) plan->kelvin[k] = FRX_KELVIN_OF_BETA(plan->kelvin[k]);
    round_temperatures(session, plan);
    return FRX_OK;
}

/* ---- output ---- */

static void print_pilot(const struct frx_session *session, const struct frx_pilot *pilot, FILE *out) {
    const struct frx_mixing *m = &pilot->mixing;
    char number[FRX_NUMBER_SIZE];
    fprintf(out, "\nWhat the pilot found in its last %s exchanges:\n\n", frx_number(m->n_event, number));
    fprintf(out, "%4s %7s %15s %7s %12s %8s %19s\n", "rung", "T (K)", "<U> (kcal/mol)", "sd", "accept next",
            "barrier", "density (kcal/mol)");
    double barrier = 0;
    for (int k = 0; k < m->n_rung; k++) {
        double mean, deviation;
        frx_tally_read(&pilot->tally, k, &mean, &deviation);
        fprintf(out, "%4d %7.2f %15.3f %7.3f ", k, frx_session_kelvin(session, k), mean, deviation);
        if (k + 1 < m->n_rung)
            fprintf(out, "%12.3f %8.2f %19.3f\n", m->acceptance[k], barrier,
                    pilot->length[k] / (session->ladder.beta[k] - session->ladder.beta[k + 1]));
        else
            fprintf(out, "%12s %8.2f %19s\n", "-", barrier, "-");
        if (k + 1 < m->n_rung) barrier += pilot->length[k];
    }
}

static void print_row(const struct frx_session *session, const struct frx_pilot *pilot, int n_rung,
                      int chosen, FILE *out) {
    const double rate = 1000 * round_trips_with(session, pilot, n_rung);
    fprintf(out, "%s%6d %12.2f ", n_rung == chosen ? "->" : "  ", n_rung, acceptance_with(pilot, n_rung));
    if (isfinite(rate))
        fprintf(out, "%16.1f %16.2f\n", rate, rate / n_rung);
    else
        fprintf(out, "%16s %16s\n", "-", "-");
}

/* Numbers of rungs for a range of acceptances, and the chosen one among them. */
static void print_choices(const struct frx_session *session, const struct frx_pilot *pilot,
                          const struct plan *plan, FILE *out) {
    static const double wanted[] = {0.2, 0.3, 0.4, 0.5, 0.6, 0.7};
    fprintf(out,
            "\nWith other numbers of rungs (round trips per 1,000 exchanges, if replicas forget their\n"
            "energy between them):\n\n%8s %12s %16s %16s\n",
            "rungs", "acceptance", "of all replicas", "of each");
    int last = 0, shown = 0;
    for (size_t w = 0; w < sizeof wanted / sizeof *wanted; w++) {
        const int n_rung = rungs_for(pilot, wanted[w]);
        if (!shown && plan->n_rung < n_rung) print_row(session, pilot, plan->n_rung, plan->n_rung, out);
        shown |= plan->n_rung <= n_rung;
        if (n_rung > last) print_row(session, pilot, n_rung, plan->n_rung, out);
        last = n_rung;
    }
    if (!shown) print_row(session, pilot, plan->n_rung, plan->n_rung, out);
}

/* Whether the numbers are rough, and then why and what helps. */
static int describe_roughness(const struct frx_pilot *pilot, char text[FRX_ADVICE_SIZE]) {
    const struct frx_mixing *m = &pilot->mixing;
    if (m->n_rung > 1 && m->acceptance[m->weakest] < ROUGH)
        snprintf(
            text, FRX_ADVICE_SIZE,
            "pair %d-%d of the pilot was accepted with %.2g only, so these numbers are rough; give it more "
            "rungs, as in ladder.n_rungs=%d, or these temperatures",
            m->weakest, m->weakest + 1, m->acceptance[m->weakest], rungs_for(pilot, FRX_GOOD_ACCEPTANCE));
    else if (m->n_event < FEW)
        snprintf(text, FRX_ADVICE_SIZE,
                 "%d exchanges are few, so these numbers are rough; make --rounds larger", (int)m->n_event);
    else
        return 0;
    return 1;
}

/* What else the user should know. */
static void print_remarks(const struct frx_session *session, const struct frx_pilot *pilot,
                          const struct plan *plan, FILE *out) {
    char rough[FRX_ADVICE_SIZE];
    if (describe_roughness(pilot, rough)) fprintf(out, "\nwarning: %s\n", rough);
    const int n_enough = rungs_for(pilot, FRX_GOOD_ACCEPTANCE);
    if (plan->acceptance > FRX_TOO_GOOD_ACCEPTANCE && plan->n_rung >= 2 * n_enough)
        fprintf(
            out,
            "\n%d replicas are more than a ladder needs: n_ladders: %d with %d rungs each would do more\n",
            plan->n_rung, plan->n_rung / n_enough, n_enough);
    if (session->config.n_ladders > 1)
        fprintf(out, "\n%lld ladders of these are %lld replicas\n", (long long)session->config.n_ladders,
                (long long)session->config.n_ladders * plan->n_rung);
}

static void print_text(const struct frx_session *session, const struct frx_pilot *pilot,
                       const struct plan *plan, FILE *out) {
    print_pilot(session, pilot, out);
    fprintf(out, "\nBarrier %.2f: %d rungs are accepted with %.2f, when they are placed so:\n\n",
            pilot->barrier, plan->n_rung, plan->acceptance);
    fputs("temperatures: [", out);
    for (int k = 0; k < plan->n_rung; k++) fprintf(out, "%s%.10g", k ? ", " : "", plan->kelvin[k]);
    fputs("]\n", out);
    print_choices(session, pilot, plan, out);
    print_remarks(session, pilot, plan, out);
}

static void print_json(const struct frx_session *session, const struct frx_pilot *pilot,
                       const struct plan *plan, FILE *out) {
    const struct frx_mixing *m = &pilot->mixing;
    char rough[FRX_ADVICE_SIZE];
    struct frx_json json = frx_json_begin(out);
    frx_json_text(&json, "flashrex", FRX_VERSION);
    frx_json_text(&json, "commit", FRX_VERSION_COMMIT);
    if (describe_roughness(pilot, rough)) frx_json_text(&json, "warning", rough);
    frx_json_real(&json, "barrier", pilot->barrier);
    frx_json_integer(&json, "rungs", plan->n_rung);
    frx_json_real(&json, "acceptance", plan->acceptance);
    frx_json_real(&json, "round_trips_per_event", plan->round_trips);
    frx_json_array(&json, "temperatures");
    for (int k = 0; k < plan->n_rung; k++) frx_json_real(&json, NULL, plan->kelvin[k]);
    frx_json_close(&json);
    frx_json_object(&json, "pilot");
    frx_json_integer(&json, "steps", pilot->n_step);
    frx_json_real(&json, "wall_seconds", pilot->seconds);
    frx_json_integer(&json, "exchanges_measured", m->n_event);
    frx_json_array(&json, "rungs");
    for (int k = 0; k < m->n_rung; k++) {
        const int has_next = k + 1 < m->n_rung;
        double mean, deviation;
        frx_tally_read(&pilot->tally, k, &mean, &deviation);
        frx_json_object(&json, NULL);
        frx_json_real(&json, "temperature", frx_session_kelvin(session, k));
        frx_json_real(&json, "energy_mean", mean);
        frx_json_real(&json, "energy_sd", deviation);
        frx_json_real(&json, "acceptance_to_next", has_next ? m->acceptance[k] : NAN);
        frx_json_real(&json, "barrier_to_next", has_next ? pilot->length[k] : NAN);
        frx_json_close(&json);
    }
    frx_json_end(&json);
}

/* ---- command ---- */

struct wish {
    long n_round, n_replica; /* n_replica 0: as many as the acceptance needs */
    double acceptance;
    int is_json;
    enum frx_progress_mode mode;
};

static enum frx_status read_wish(const struct frx_invocation *invocation, struct wish *wish) {
    const char *acceptance = frx_option_value(invocation, "--acceptance");
    int mode;
    FRX_TRY(frx_option_integer(invocation, "--rounds", 1, MAX_ROUNDS, ROUNDS, &wish->n_round));
    FRX_TRY(frx_option_integer(invocation, "--replicas", 2, FRX_MAX_RUNG, 0, &wish->n_replica));
    FRX_TRY(frx_option_choice(invocation, "--progress", frx_progress_words, FRX_PROGRESS_AUTO, &mode));
    wish->mode = (enum frx_progress_mode)mode;
    wish->is_json = frx_option_value(invocation, "--json") != NULL;
    if (wish->is_json && wish->mode == FRX_PROGRESS_AUTO) wish->mode = FRX_PROGRESS_QUIET;
    wish->acceptance = FRX_GOOD_ACCEPTANCE;
    if (!acceptance) return FRX_OK;
    if (wish->n_replica)
        return frx_user_error("--acceptance and --replicas exclude each other: one follows from the other");
    char *end;
    wish->acceptance = strtod(acceptance, &end);
    if (end != acceptance && !*end && wish->acceptance >= 0.01 && wish->acceptance <= 0.99) return FRX_OK;
    return frx_user_error("--acceptance: '%s' is not possible; it must be a number from 0.01 to 0.99",
                          acceptance);
}

static enum frx_status check_session(const struct frx_session *session) {
    const struct frx_config *config = &session->config;
    if (session->ladder.n_rung < 2)
        return frx_config_error(config, "temperatures",
                                "a ladder needs its two ends, as in temperatures: [300, 450], and better "
                                "some rungs between");
    if (config->exchange_interval == 0)
        return frx_config_error(config, "exchange_interval",
                                "exchange_interval is 0: a pilot has to exchange");
    return FRX_OK;
}

static enum frx_status plan_ladder(struct frx_session *session, const struct wish *wish,
                                   struct frx_pilot *pilot, struct plan *plan) {
    const int speaks = session->comm->rank == 0;
    FRX_TRY(frx_agree_on_input(session->comm, check_session(session)));
    if (speaks && !wish->is_json) {
        char events[FRX_NUMBER_SIZE], steps[FRX_NUMBER_SIZE];
        const int64_t n_event = frx_adapt_n_event((int)wish->n_round);
        printf(
            "flashrex %s\n  pilot     %s exchanges of %d rungs from %g to %g K, %s steps; nothing is saved\n",
            FRX_VERSION, frx_number(n_event, events), session->ladder.n_rung, frx_session_kelvin(session, 0),
            frx_session_kelvin(session, session->ladder.n_rung - 1),
            frx_number(n_event * session->config.exchange_interval, steps));
        fflush(stdout);
    }
    FRX_TRY(frx_pilot_run(session, (int)wish->n_round, wish->mode, pilot));
    const int n_rung = wish->n_replica ? (int)wish->n_replica : rungs_for(pilot, wish->acceptance);
    FRX_TRY(frx_agree(session->comm, make_plan(session, pilot, n_rung, plan)));
    if (speaks) (wish->is_json ? print_json : print_text)(session, pilot, plan, stdout);
    return FRX_OK;
}

static enum frx_status run(const struct frx_invocation *invocation) {
    struct wish wish = {0};
    struct frx_session session = {0};
    struct frx_pilot pilot = {0};
    struct plan plan = {0};
    FRX_TRY(read_wish(invocation, &wish));
    enum frx_status status =
        frx_session_open(invocation->comm, invocation->n_argument, invocation->argument, &session);
    if (status == FRX_OK) status = plan_ladder(&session, &wish, &pilot, &plan);
    free(plan.kelvin);
    frx_pilot_clear(&pilot);
    frx_session_close(&session);
    return status;
}

static const struct frx_option option[] = {
    {"--acceptance", "A", "acceptance that neighbours should have (default 0.45)", 0},
    {"--replicas", "N", "place this many temperatures instead", 0},
    {"--rounds", "N", "length of the pilot: rounds of 2, 4, 8, .. exchanges (default 9)", 0},
    {"--json", NULL, "print JSON instead of text", 0},
    {"--progress", "HOW", "live, lines, quiet, or auto (live on a terminal)", 0},
    {0}};

const struct frx_command frx_command_ladder = {
    .name = "ladder",
    .summary = "which temperatures should a run have?",
    .usage = "CONFIG [key=value ...] [options]",
    .text =
        "Makes a short pilot run between the coldest and the hottest temperature of the config, moving the\n"
        "ones between to equal acceptance, and tells how many temperatures are needed, where to put them,\n"
        "and how well they will exchange. Nothing is written. The line `temperatures: [...]` goes into the\n"
        "config as it is.\n\n"
        "A longer pilot is more accurate. It starts where the run would start: what takes longer than the\n"
        "pilot, such as folding, is not in its numbers; `adapt_ladder` in the config lets the run itself\n"
        "place its temperatures.\n\n"
        "Examples:\n"
        "  flashrex ladder chignolin.yaml\n"
        "  flashrex ladder chignolin.yaml --acceptance 0.3\n"
        "  mpirun -n 4 flashrex ladder chignolin.yaml --replicas 16 --rounds 12\n"
        "  flashrex ladder chignolin.yaml --json ladder='{t_min: 280, t_max: 500, n_rungs: 12}' > "
        "ladder.json\n",
    .min_argument = 1,
    .max_argument = 1000,
    .option = option,
    .run = run};
