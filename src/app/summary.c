#include "summary.h"

#include "adapt.h"
#include "durable.h"
#include "engines.h"
#include "json.h"
#include "mixing.h"
#include "print.h"
#include "units.h"
#include "version.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PATH_SIZE       4096
#define ADAPTATION_SIZE 96

/* What is said of one rung, pooled over ladders. */
struct rung {
    double kelvin, mean, deviation;
    int64_t n_energy;
    int n_visitor; /* replicas that have been here */
};

/* All that is said. */
struct content {
    struct rung *rung;        /* [n_rung] */
    struct frx_mixing mixing; /* zeroed: no exchange */
    int is_stuck;
    char advice[FRX_ADVICE_SIZE];
    char adaptation[ADAPTATION_SIZE]; /* where a run stopped before its ladder was adapted, else "" */
};

static void clear_content(struct content *content) {
    free(content->rung);
    frx_mixing_clear(&content->mixing);
}

/* Which round the numbers are of. */
static void describe_adaptation(const struct frx_summary *summary, char text[ADAPTATION_SIZE]) {
    const struct frx_config *config = &summary->session->config;
    if (summary->n_step >= frx_session_adapt_steps(summary->session)) return;
    snprintf(text, ADAPTATION_SIZE, "round %d of %d of adapting the ladder, of which nothing is counted",
             frx_adapt_n_round(summary->n_step / config->exchange_interval) + 1, (int)config->adapt_ladder);
}

static enum frx_status make_content(const struct frx_summary *summary, struct content *content) {
    const struct frx_statistics *s = summary->statistics;
    const int n_rung = summary->session->ladder.n_rung;
    *content = (struct content){.rung = calloc((size_t)n_rung, sizeof *content->rung)};
    if (!content->rung) return FRX_FAIL(FRX_ERR_MEMORY, "out of memory for the summary");
    for (int k = 0; k < n_rung; k++) {
        struct rung *rung = &content->rung[k];
        rung->kelvin = frx_session_kelvin(summary->session, k);
        rung->n_energy = frx_tally_read(summary->tally, k, &rung->mean, &rung->deviation);
        for (int r = 0; s && r < s->n_ladder * n_rung; r++)
            rung->n_visitor += s->residence[(size_t)r * (size_t)n_rung + (size_t)k] > 0;
    }
    if (!s) return FRX_OK;
    FRX_TRY(frx_mixing_read(summary->session, s, FRX_ALL_LADDERS, &content->mixing));
    describe_adaptation(summary, content->adaptation);
    content->is_stuck =
        !content->adaptation[0] && frx_mixing_advice(summary->session, &content->mixing, content->advice);
    return FRX_OK;
}

static double ns_per_day(const struct frx_summary *summary) {
    return summary->seconds > 0
               ? frx_session_ns(summary->session, summary->n_step) / summary->seconds * FRX_S_PER_DAY
               : 0;
}

/* One cell of the table; a dash where there is no number. */
static void cell(FILE *out, int width, int precision, double value) {
    if (isfinite(value))
        fprintf(out, "%*.*f", width, precision, value);
    else
        fprintf(out, "%*s", width, "-");
}

/* In 80 columns. */
static void print_rungs(const struct frx_summary *summary, const struct content *content, FILE *out) {
    const struct frx_mixing *mixing = &content->mixing;
    const int n_rung = summary->session->ladder.n_rung, mixes = mixing->n_rung > 1;
    fprintf(out, "\n%4s %7s %15s %7s", "rung", "T (K)", "<U> (kcal/mol)", "sd");
    if (mixes) fprintf(out, " %12s %8s %10s %9s", "accept next", "barrier", "from cold", "visitors");
    fputc('\n', out);
    for (int k = 0; k < n_rung; k++) {
        const struct rung *rung = &content->rung[k];
        char visitors[FRX_NUMBER_SIZE];
        fprintf(out, "%4d %7.2f", k, rung->kelvin);
        cell(out, 16, 3, rung->mean);
        cell(out, 8, 3, rung->deviation);
        if (mixes) {
            cell(out, 13, 3, k + 1 < n_rung ? mixing->acceptance[k] : NAN);
            cell(out, 9, 2, mixing->barrier[k]);
            cell(out, 11, 2, mixing->up_fraction[k]);
            snprintf(visitors, sizeof visitors, "%d/%d", rung->n_visitor, summary->session->n_slot);
            fprintf(out, " %9s", visitors);
        }
        fputc('\n', out);
    }
}

static void print_mixing(const struct content *content, FILE *out) {
    const struct frx_mixing *m = &content->mixing;
    char trips[FRX_NUMBER_SIZE], restarts[FRX_NUMBER_SIZE], events[FRX_NUMBER_SIZE];
    fprintf(out, "\n%s round trip%s and %s tempered restart%s in %s exchange events",
            frx_number(m->n_round_trip, trips), m->n_round_trip == 1 ? "" : "s",
            frx_number(m->n_restart, restarts), m->n_restart == 1 ? "" : "s", frx_number(m->n_event, events));
    fprintf(out, "; barrier %.2f\n", m->barrier[m->n_rung - 1]);
    if (isfinite(m->predicted))
        fprintf(out, "%.1f round trips if replicas forgot their energy between events\n",
                m->predicted * (double)m->n_event * m->n_ladder);
    if (content->is_stuck) fprintf(out, "warning: %s\n", content->advice);
    const int n_enough = frx_mixing_enough(m);
    if (!content->is_stuck && n_enough)
        fprintf(out,
                "%d rungs are more than this ladder needs: %d would do, where `flashrex ladder` places\n"
                "them; n_ladders makes use of the others\n",
                m->n_rung, n_enough);
}

/* Of this job's time. */
static void print_shares(const struct frx_summary *summary, FILE *out) {
    const struct frx_clock *clock = summary->clock;
    const double wait = 100 * frx_clock_share(clock, FRX_ACTIVITY_WAIT);
    fprintf(out, "time: steps %.1f %%, exchange %.1f %%", 100 * frx_clock_share(clock, FRX_ACTIVITY_STEPS),
            100 * frx_clock_share(clock, FRX_ACTIVITY_EXCHANGE) + wait);
    if (summary->session->comm->size > 1) fprintf(out, " (waiting for other ranks %.1f %%)", wait);
    fprintf(out, ", output %.1f %%\n", 100 * frx_clock_share(clock, FRX_ACTIVITY_OUTPUT));
}

void frx_summary_print(const struct frx_summary *summary, FILE *out) {
    struct content content;
    if (make_content(summary, &content) != FRX_OK) { /* out of memory at the very end: the data are safe */
        clear_content(&content);
        return;
    }
    char steps[FRX_NUMBER_SIZE], time[FRX_NUMBER_SIZE], all[FRX_NUMBER_SIZE], each[FRX_NUMBER_SIZE],
        wall[FRX_NUMBER_SIZE], frames[FRX_NUMBER_SIZE];
    const double rate = ns_per_day(summary);
    print_rungs(summary, &content, out);
    if (content.adaptation[0]) fprintf(out, "\nThis is %s.", content.adaptation);
    if (content.mixing.n_rung > 1 && content.mixing.n_event > 0)
        print_mixing(&content, out);
    else
        fputc('\n', out);
    fprintf(out, "%s steps, %s ns for each replica, in %s: %s ns/day (%s each)\n",
            frx_number(summary->n_step, steps),
            frx_figure(frx_session_ns(summary->session, summary->n_step), time),
            frx_duration(summary->seconds, wall), frx_figure(rate * summary->session->n_slot, all),
            frx_figure(rate, each));
    print_shares(summary, out);
    fprintf(out, "%s frame%s in %s\n", frx_number(summary->n_frame, frames), summary->n_frame == 1 ? "" : "s",
            summary->session->config.output);
    clear_content(&content);
}

static void write_replicas(const struct frx_statistics *s, struct frx_json *json) {
    frx_json_array(json, "replicas");
    for (int r = 0; r < s->n_ladder * s->n_rung; r++) {
        frx_json_object(json, NULL);
        frx_json_integer(json, "ladder", r / s->n_rung);
        frx_json_integer(json, "round_trips", s->n_round_trip[r]);
        frx_json_integer(json, "tempered_restarts", s->n_restart[r]);
        frx_json_close(json);
    }
    frx_json_close(json);
}

static void write_exchange(const struct frx_summary *summary, const struct content *content,
                           struct frx_json *json) {
    const struct frx_mixing *m = &content->mixing;
    frx_json_object(json, "exchange");
    frx_json_text(json, "scheme", frx_config_word(&summary->session->config, "exchange_scheme"));
    frx_json_text(json, "move", frx_config_word(&summary->session->config, "move"));
    frx_json_integer(json, "events", m->n_event);
    frx_json_integer(json, "round_trips", m->n_round_trip);
    frx_json_real(json, "round_trips_per_event", m->observed);
    frx_json_real(json, "round_trips_per_event_predicted", m->predicted);
    frx_json_integer(json, "tempered_restarts", m->n_restart);
    frx_json_real(json, "barrier", m->n_event ? m->barrier[m->n_rung - 1] : NAN);
    if (content->is_stuck) frx_json_text(json, "warning", content->advice);
    frx_json_array(json, "pairs");
    for (int p = 0; p < m->n_rung - 1; p++) {
        frx_json_object(json, NULL);
        frx_json_real(json, "acceptance", m->acceptance[p]);
        frx_json_real(json, "barrier", m->barrier[p + 1]);
        frx_json_real(json, "barrier_density", m->density[p]);
        frx_json_close(json);
    }
    frx_json_close(json);
    write_replicas(summary->statistics, json);
    frx_json_close(json);
}

static void write_shares(const struct frx_clock *clock, struct frx_json *json) {
    const double wait = frx_clock_share(clock, FRX_ACTIVITY_WAIT);
    frx_json_object(json, "time_share");
    frx_json_real(json, "steps", frx_clock_share(clock, FRX_ACTIVITY_STEPS));
    frx_json_real(json, "exchange", frx_clock_share(clock, FRX_ACTIVITY_EXCHANGE) + wait);
    frx_json_real(json, "exchange_waiting", wait);
    frx_json_real(json, "output", frx_clock_share(clock, FRX_ACTIVITY_OUTPUT));
    frx_json_real(json, "other", frx_clock_share(clock, FRX_ACTIVITY_OTHER));
    frx_json_close(json);
}

static void write_json(const struct frx_summary *summary, const struct content *content, FILE *out) {
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
    if (content->adaptation[0]) frx_json_text(&json, "adapting", content->adaptation);
    frx_json_text(&json, "system", session->config.system);
    frx_json_text(&json, "system_sha256", session->system.content_sha256);
    frx_json_text(&json, "engine", session->engine_class->name);
    frx_json_text(&json, "precision", frx_precision_name(session->engine_options.precision));
    frx_json_integer(&json, "ranks", session->comm->size);
    frx_json_text(&json, "gpus",
                  session->engine_class->memory == FRX_MEMORY_DEVICE ? session->devices.text : "");
    frx_json_text(&json, "transport", session->transport->name);
    frx_json_integer(&json, "threads_per_rank", session->engine_options.n_thread);
    frx_json_integer(&json, "replicas", session->n_slot);
    frx_json_integer(&json, "ladders", session->ladder.n_ladder);
    frx_json_integer(&json, "steps", summary->n_step);
    frx_json_integer(&json, "frames", summary->n_frame);
    frx_json_real(&json, "ns_per_replica", frx_session_ns(session, summary->n_step));
    frx_json_real(&json, "wall_seconds", summary->seconds);
    frx_json_real(&json, "ns_per_day", ns_per_day(summary) * session->n_slot);
    frx_json_real(&json, "ns_per_day_per_replica", ns_per_day(summary));
    write_shares(summary->clock, &json);
    if (summary->statistics) write_exchange(summary, content, &json);
    frx_json_array(&json, "rungs");
    for (int k = 0; k < n_rung; k++) {
        frx_json_object(&json, NULL);
        const struct rung *rung = &content->rung[k];
        const struct frx_mixing *mixing = &content->mixing;
        frx_json_real(&json, "temperature", rung->kelvin);
        frx_json_integer(&json, "energies", rung->n_energy);
        frx_json_real(&json, "energy_mean", rung->mean);
        frx_json_real(&json, "energy_sd", rung->deviation);
        frx_json_real(&json, "acceptance_to_next", k + 1 < mixing->n_rung ? mixing->acceptance[k] : NAN);
        frx_json_real(&json, "up_fraction", mixing->n_rung ? mixing->up_fraction[k] : NAN);
        frx_json_integer(&json, "visitors", rung->n_visitor);
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
    struct content content;
    const enum frx_status made = make_content(summary, &content);
    if (made != FRX_OK) {
        clear_content(&content);
        return made;
    }
    FILE *out = fopen(temporary, "w");
    if (out) write_json(summary, &content, out);
    enum frx_status status = out ? frx_durable_close(out, path)
                                 : FRX_FAIL(FRX_ERR_IO, "cannot create %s: %s", path, strerror(errno));
    clear_content(&content);
    if (status == FRX_OK && rename(temporary, path) != 0)
        status = FRX_FAIL(FRX_ERR_IO, "cannot rename %s to %s: %s", temporary, path, strerror(errno));
    if (status == FRX_OK) return frx_durable_names(directory);
    if (out) remove(temporary);
    return status;
}
