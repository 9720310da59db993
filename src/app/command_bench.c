/* flashrex bench */
#include "command.h"
#include "engines.h"
#include "json.h"
#include "print.h"
#include "system_file.h"
#include "trial.h"
#include "units.h"
#include "version.h"

#include <math.h>
#include <string.h>

#define BENCH_SECONDS 3.0 /* for steps, and again for force evaluations */

struct bench {
    const char *path;
    const struct frx_system *system;
    const struct frx_engine_class *engine_class;
    struct frx_engine_options options;
    struct frx_trial trial, stages;     /* speed, and where the time goes */
    double steps_each, ns_per_day_each; /* of one replica, per second and per day */
};

static void print_text(const struct bench *bench, FILE *out) {
    const struct frx_trial *trial = &bench->trial;
    const struct frx_engine_report *report = &trial->report;
    char a[FRX_NUMBER_SIZE], b[FRX_NUMBER_SIZE];
    fprintf(out, "system             %s, %d beads\n", bench->path, bench->system->n_bead);
    fprintf(out, "engine             %s\n", report->description);
    fprintf(out, "replicas           %d\n", bench->options.n_rep);
    fprintf(out, "force evaluations  %s /s\n", frx_figure(trial->evaluations_per_second, a));
    fprintf(out, "whole steps        %s /s (%s /s each)\n", frx_figure(trial->steps_per_second, a),
            frx_figure(bench->steps_each, b));
    fprintf(out, "simulated time     %s ns/day at %g fs (%s ns/day each)\n",
            frx_figure(bench->ns_per_day_each * bench->options.n_rep, a), bench->options.timestep * 1000,
            frx_figure(bench->ns_per_day_each, b));
    fprintf(out, "memory             %s", frx_bytes((double)report->host_bytes, a));
    if (report->device_bytes) fprintf(out, ", GPU %s", frx_bytes((double)report->device_bytes, a));
    fputc('\n', out);
    if (report->n_knot)
        fprintf(out, "filter tables      %d knots, error %.1e in value, %.1e in slope\n", report->n_knot,
                report->table_error_value, report->table_error_slope);
    const struct frx_engine_report *stages = &bench->stages.report;
    double sum = 0;
    for (int i = 0; i < stages->n_stage; i++) sum += stages->stage[i].seconds;
    fprintf(out, "\n%-18s %12s %8s\n", "stage", "us per step", "share");
    for (int i = 0; i < stages->n_stage; i++) {
        if (stages->stage[i].seconds == 0) continue; /* the engine has other stages for this system */
        fprintf(out, "%-18s %12.2f %6.1f %%\n", stages->stage[i].name,
                stages->stage[i].seconds * 1e6 / (double)bench->stages.n_step,
                100 * stages->stage[i].seconds / sum);
    }
}

static void print_json(const struct bench *bench, FILE *out) {
    const struct frx_trial *trial = &bench->trial;
    const struct frx_engine_report *report = &trial->report;
    struct frx_json json = frx_json_begin(out);
    frx_json_text(&json, "flashrex", FRX_VERSION);
    frx_json_text(&json, "commit", FRX_VERSION_COMMIT);
    frx_json_text(&json, "system", bench->path);
    frx_json_integer(&json, "beads", bench->system->n_bead);
    frx_json_text(&json, "engine", bench->engine_class->name);
    frx_json_text(&json, "description", report->description);
    frx_json_text(&json, "precision", frx_precision_name(bench->options.precision));
    frx_json_integer(&json, "threads", bench->options.n_thread);
    frx_json_integer(&json, "replicas", bench->options.n_rep);
    frx_json_integer(&json, "steps", trial->n_step);
    frx_json_real(&json, "timestep_ps", bench->options.timestep);
    frx_json_real(&json, "force_evaluations_per_second", trial->evaluations_per_second);
    frx_json_real(&json, "steps_per_second", trial->steps_per_second);
    frx_json_real(&json, "ns_per_day", bench->ns_per_day_each * bench->options.n_rep);
    frx_json_real(&json, "ns_per_day_per_replica", bench->ns_per_day_each);
    frx_json_integer(&json, "host_bytes", (int64_t)report->host_bytes);
    frx_json_integer(&json, "device_bytes", (int64_t)report->device_bytes);
    frx_json_integer(&json, "table_knots", report->n_knot);
    frx_json_real(&json, "table_error_value", report->table_error_value);
    frx_json_real(&json, "table_error_slope", report->table_error_slope);
    frx_json_object(&json, "seconds_per_step");
    for (int i = 0; i < bench->stages.report.n_stage; i++)
        frx_json_real(&json, bench->stages.report.stage[i].name,
                      bench->stages.report.stage[i].seconds / (double)bench->stages.n_step);
    frx_json_end(&json);
}

/* A trial of a fresh engine. */
static enum frx_status try_engine(const struct bench *bench, const struct frx_engine_options *options,
                                  int64_t n_step, int with_evaluations, struct frx_trial *trial) {
    const struct frx_engine_class *engine_class = bench->engine_class;
    const struct frx_system *system = bench->system;
    struct frx_engine *engine = NULL;
    FRX_TRY(engine_class->create(system, options, &engine));
    /* Every replica starts, as the engine makes it, from the first structure: others may be strained. */
    enum frx_status status = engine_class->draw_velocities(engine);
    if (status == FRX_OK)
        status = frx_trial_run(engine_class, engine, options->n_rep, system->n_bead, n_step, BENCH_SECONDS,
                               with_evaluations, trial);
    engine_class->destroy(engine);
    return status;
}

static enum frx_status measure(struct bench *bench, int64_t n_step) {
    FRX_TRY(try_engine(bench, &bench->options, n_step, 1, &bench->trial));
    bench->stages = bench->trial;
    if (bench->engine_class->memory ==
        FRX_MEMORY_DEVICE) { /* timing stages slows a GPU: apart from the rest */
        struct frx_engine_options options = bench->options;
        options.time_stages = 1;
        FRX_TRY(try_engine(bench, &options, n_step, 0, &bench->stages));
    }
    bench->steps_each = bench->trial.steps_per_second / bench->options.n_rep;
    bench->ns_per_day_each = bench->steps_each * bench->options.timestep / FRX_PS_PER_NS * FRX_S_PER_DAY;
    return FRX_OK;
}

static enum frx_status run(const struct frx_invocation *invocation) {
    struct frx_system system = {0};
    struct bench bench = {.path = invocation->argument[0], .system = &system};
    int engine, precision;
    long n_rep, n_step, n_thread;
    FRX_TRY(frx_option_choice(invocation, "--engine", frx_engine_words, FRX_CONFIG_ENGINE_AUTO, &engine));
    FRX_TRY(frx_option_choice(invocation, "--precision", frx_precision_words, FRX_CONFIG_PRECISION_AUTO,
                              &precision));
    FRX_TRY(frx_option_integer(invocation, "--replicas", 1, FRX_MAX_REPLICA, 64, &n_rep));
    FRX_TRY(frx_option_integer(invocation, "--steps", 1, 1000000000, 0, &n_step));
    FRX_TRY(frx_option_integer(invocation, "--threads", 1, 4096, FRX_AUTO, &n_thread));
    FRX_TRY(frx_engine_choose((enum frx_config_engine)engine, 0, &bench.engine_class));
    bench.options =
        (struct frx_engine_options){.n_rep = (int)n_rep,
                                    .precision = frx_precision_choose((enum frx_config_precision)precision),
                                    .timestep = 0.004,
                                    .friction = 1.0,
                                    .seed = 1,
                                    .n_thread = frx_threads_choose(invocation->comm, n_thread)};
    enum frx_status status = frx_system_read(bench.path, &system);
    if (status == FRX_OK) status = measure(&bench, n_step);
    if (status == FRX_OK) (frx_option_value(invocation, "--json") ? print_json : print_text)(&bench, stdout);
    frx_system_clear(&system);
    return status;
}

static const struct frx_option option[] = {{"--replicas", "N", "replicas in the batch (default 64)", 0},
                                           {"--steps", "N", "steps to time (default: 3 s worth)", 0},
                                           {"--engine", "NAME", "cpu, cuda or auto (default)", 0},
                                           {"--precision", "NAME", "double, single (default) or mixed", 0},
                                           {"--threads", "N", "CPU threads (default: as many as cores)", 0},
                                           {"--json", NULL, "print JSON instead of text", 0},
                                           {0}};

const struct frx_command frx_command_bench = {
    .name = "bench",
    .summary = "how fast does this machine simulate a system?",
    .usage = "SYSTEM [options]",
    .text =
        "Runs replicas of a system at 300 K with 4 fs steps, without exchange and output, and tells force\n"
        "evaluations per second (energy and forces of one replica), whole steps per second (of all\n"
        "replicas together), ns per day, where the time goes, and the error of the filter tables.\n\n"
        "Examples:\n"
        "  flashrex bench chignolin.h5\n"
        "  flashrex bench homeodomain.h5 --replicas 16 --precision double --threads 1\n"
        "  flashrex bench homeodomain.h5 --engine cuda --json > bench.json\n",
    .min_argument = 1,
    .max_argument = 1,
    .one_rank = 1,
    .option = option,
    .run = run};
