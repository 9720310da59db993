#include "summary.h"

#include "engines.h"
#include "json.h"
#include "print.h"
#include "units.h"
#include "version.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PATH_SIZE 4096

/* What is said of one rung, pooled over ladders. */
struct rung {
    double kelvin, mean, deviation, acceptance, up_fraction;
    int64_t n_energy;
    int n_visitor; /* replicas that have been here */
};

static struct rung *make_rungs(const struct frx_summary *summary) {
    const struct frx_statistics *s = summary->statistics;
    const int n_rung = summary->session->ladder.n_rung;
    struct rung *rung = calloc((size_t)n_rung, sizeof *rung);
    double *acceptance = malloc(2 * (size_t)n_rung * sizeof *acceptance);
    if (!rung || !acceptance) {
        free(rung), free(acceptance);
        return NULL;
    }
    double *up = acceptance + n_rung;
    for (int k = 0; k < n_rung; k++) acceptance[k] = up[k] = NAN;
    if (s) {
        frx_statistics_acceptance(s, FRX_ALL_LADDERS, acceptance);
        frx_statistics_up_fraction(s, FRX_ALL_LADDERS, up);
    }
    for (int k = 0; k < n_rung; k++) {
        rung[k].kelvin = frx_session_kelvin(summary->session, k);
        rung[k].n_energy = frx_tally_read(summary->tally, k, &rung[k].mean, &rung[k].deviation);
        rung[k].acceptance = acceptance[k];
        rung[k].up_fraction = up[k];
        for (int r = 0; s && r < s->n_ladder * n_rung; r++)
            rung[k].n_visitor += s->residence[(size_t)r * (size_t)n_rung + (size_t)k] > 0;
    }
    free(acceptance);
    return rung;
}

static double ns_per_day(const struct frx_summary *summary) {
    return summary->seconds > 0
               ? frx_session_ns(summary->session, summary->n_step) / summary->seconds * FRX_S_PER_DAY
               : 0;
}

static int64_t sum(int n, const int64_t *value) {
    int64_t total = 0;
    for (int i = 0; i < n; i++) total += value[i];
    return total;
}

/* One cell of the table; a dash where there is no number. */
static void cell(FILE *out, int width, int precision, double value) {
    if (isfinite(value))
        fprintf(out, "%*.*f", width, precision, value);
    else
        fprintf(out, "%*s", width, "-");
}

static void print_rungs(const struct frx_summary *summary, const struct rung *rung, FILE *out) {
    const int n_rung = summary->session->ladder.n_rung, mixes = summary->statistics && n_rung > 1;
    fprintf(out, "\n%6s %9s %15s %10s", "rung", "T (K)", "<U> (kcal/mol)", "sd");
    if (mixes) fprintf(out, " %12s %12s %10s", "accept next", "from cold", "visitors");
    fputc('\n', out);
    for (int k = 0; k < n_rung; k++) {
        fprintf(out, "%6d %9.2f ", k, rung[k].kelvin);
        cell(out, 15, 3, rung[k].mean);
        cell(out, 11, 3, rung[k].deviation);
        if (mixes) {
            cell(out, 13, 3, k + 1 < n_rung ? rung[k].acceptance : NAN);
            cell(out, 13, 2, rung[k].up_fraction);
            fprintf(out, " %6d/%d", rung[k].n_visitor, summary->session->n_slot);
        }
        fputc('\n', out);
    }
}

/* Round trips seen and predicted, per exchange event and ladder, and the barrier. */
static void mixing_numbers(const struct frx_summary *summary, const struct rung *rung, double *barrier,
                           double *observed, double *predicted) {
    const int n_rung = summary->session->ladder.n_rung;
    double *acceptance = calloc(2 * (size_t)n_rung, sizeof *acceptance);
    *barrier = *observed = *predicted = NAN;
    if (!acceptance) return;
    double *to_rung = acceptance + n_rung;
    for (int k = 0; k + 1 < n_rung; k++) acceptance[k] = rung[k].acceptance;
    frx_barrier(n_rung, acceptance, to_rung);
    *barrier = to_rung[n_rung - 1];
    *observed = frx_statistics_round_trip_rate(summary->statistics, FRX_ALL_LADDERS);
    *predicted =
        frx_predicted_round_trip_rate((enum frx_scheme)summary->session->config.scheme, n_rung, acceptance);
    free(acceptance);
}

static void print_mixing(const struct frx_summary *summary, const struct rung *rung, FILE *out) {
    const struct frx_statistics *s = summary->statistics;
    double barrier, observed, predicted;
    mixing_numbers(summary, rung, &barrier, &observed, &predicted);
    char number[FRX_NUMBER_SIZE], events[FRX_NUMBER_SIZE];
    const int64_t n_trip = sum(summary->session->n_slot, s->n_round_trip);
    fprintf(out, "\n%s round trip%s in %s exchange events", frx_number(n_trip, number),
            n_trip == 1 ? "" : "s", frx_number(s->n_event, events));
    if (isfinite(predicted))
        fprintf(out, "; %.1f if replicas forgot their energy between events",
                predicted * (double)s->n_event * s->n_ladder);
    fprintf(out, "; barrier %.2f\n", barrier);
}

void frx_summary_print(const struct frx_summary *summary, FILE *out) {
    struct rung *rung = make_rungs(summary);
    if (!rung) return; /* out of memory at the very end: the data are safe */
    char steps[FRX_NUMBER_SIZE], time[FRX_NUMBER_SIZE], all[FRX_NUMBER_SIZE], each[FRX_NUMBER_SIZE],
        wall[FRX_NUMBER_SIZE], frames[FRX_NUMBER_SIZE];
    const double rate = ns_per_day(summary);
    print_rungs(summary, rung, out);
    if (summary->statistics && summary->session->ladder.n_rung > 1 && summary->statistics->n_event)
        print_mixing(summary, rung, out);
    else
        fputc('\n', out);
    fprintf(out, "%s steps, %s ns for each replica, in %s: %s ns/day (%s each)\n",
            frx_number(summary->n_step, steps),
            frx_figure(frx_session_ns(summary->session, summary->n_step), time),
            frx_duration(summary->seconds, wall), frx_figure(rate * summary->session->n_slot, all),
            frx_figure(rate, each));
    fprintf(out, "%s frames in %s\n", frx_number(summary->n_frame, frames), summary->session->config.output);
    free(rung);
}

static void write_exchange(const struct frx_summary *summary, const struct rung *rung,
                           struct frx_json *json) {
    const struct frx_statistics *s = summary->statistics;
    double barrier, observed, predicted;
    mixing_numbers(summary, rung, &barrier, &observed, &predicted);
    frx_json_object(json, "exchange");
    frx_json_text(json, "scheme", frx_config_word(&summary->session->config, "exchange_scheme"));
    frx_json_text(json, "move", frx_config_word(&summary->session->config, "move"));
    frx_json_integer(json, "events", s->n_event);
    frx_json_integer(json, "round_trips", sum(summary->session->n_slot, s->n_round_trip));
    frx_json_real(json, "round_trips_per_event", observed);
    frx_json_real(json, "round_trips_per_event_predicted", predicted);
    frx_json_real(json, "barrier", barrier);
    frx_json_close(json);
}

static void write_json(const struct frx_summary *summary, const struct rung *rung, FILE *out) {
    const struct frx_session *session = summary->session;
    const int n_rung = session->ladder.n_rung;
    struct frx_json json = frx_json_begin(out);
    frx_json_text(&json, "flashrex", FRX_VERSION);
    frx_json_text(&json, "commit", FRX_VERSION_COMMIT);
    frx_json_text(&json, "status",
                  summary->status == FRX_OK                ? "finished"
                  : summary->status == FRX_ERR_INTERRUPTED ? "interrupted"
                                                           : "failed");
    if (summary->status != FRX_OK) frx_json_text(&json, "error", frx_error_message());
    frx_json_text(&json, "system", session->config.system);
    frx_json_text(&json, "system_sha256", session->system.content_sha256);
    frx_json_text(&json, "engine", session->engine_class->name);
    frx_json_text(&json, "precision", frx_precision_name(session->engine_options.precision));
    frx_json_integer(&json, "ranks", session->comm->size);
    frx_json_integer(&json, "threads_per_rank", session->engine_options.n_thread);
    frx_json_integer(&json, "replicas", session->n_slot);
    frx_json_integer(&json, "ladders", session->ladder.n_ladder);
    frx_json_integer(&json, "steps", summary->n_step);
    frx_json_integer(&json, "frames", summary->n_frame);
    frx_json_real(&json, "ns_per_replica", frx_session_ns(session, summary->n_step));
    frx_json_real(&json, "wall_seconds", summary->seconds);
    frx_json_real(&json, "ns_per_day", ns_per_day(summary) * session->n_slot);
    frx_json_real(&json, "ns_per_day_per_replica", ns_per_day(summary));
    if (summary->statistics) write_exchange(summary, rung, &json);
    frx_json_array(&json, "rungs");
    for (int k = 0; k < n_rung; k++) {
        frx_json_object(&json, NULL);
        frx_json_real(&json, "temperature", rung[k].kelvin);
        frx_json_integer(&json, "energies", rung[k].n_energy);
        frx_json_real(&json, "energy_mean", rung[k].mean);
        frx_json_real(&json, "energy_sd", rung[k].deviation);
        frx_json_real(&json, "acceptance_to_next", k + 1 < n_rung ? rung[k].acceptance : NAN);
        frx_json_real(&json, "up_fraction", rung[k].up_fraction);
        frx_json_integer(&json, "visitors", rung[k].n_visitor);
        frx_json_close(&json);
    }
    frx_json_end(&json);
}

void frx_summary_discard(const char *directory) {
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s/summary.json", directory);
    remove(path); /* usually there is none */
}

enum frx_status frx_summary_write(const struct frx_summary *summary, const char *directory) {
    char path[PATH_SIZE], temporary[PATH_SIZE];
    snprintf(path, sizeof path, "%s/summary.json", directory);
    snprintf(temporary, sizeof temporary, "%s/.summary.json.new", directory);
    struct rung *rung = make_rungs(summary);
    if (!rung) return FRX_FAIL(FRX_ERR_MEMORY, "out of memory for the summary");
    FILE *out = fopen(temporary, "w");
    int failed = !out;
    if (out) {
        write_json(summary, rung, out);
        failed = ferror(out) != 0;
        failed |= fclose(out) != 0;
    }
    const int error = errno;
    free(rung);
    if (!failed && rename(temporary, path) == 0) return FRX_OK;
    if (out) remove(temporary);
    return FRX_FAIL(FRX_ERR_IO, "cannot write %s: %s", path, strerror(failed ? error : errno));
}
