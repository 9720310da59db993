/* flashrex run */
#include "command.h"
#include "diverged.h"
#include "fault.h"
#include "interrupt.h"
#include "print.h"
#include "progress.h"
#include "restart.h"
#include "run_lock.h"
#include "run_loop.h"
#include "session.h"
#include "summary.h"
#include "user_error.h"
#include "version.h"
#include "watchdog.h"
#include "whereabouts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Seconds that a job which goes on waits for the one before it to be gone. */
#define PATIENCE 10

/* How the command line wants it. */
struct wish {
    int overwrite, go_on;
    double stop_time; /* MPI_Wtime; 0: none */
    const char *stop_reason;
    enum frx_progress_mode mode;
};

/* Start the run's newest segment. */
static enum frx_status create_trajectory(struct frx_run *run, int overwrite) {
    const struct frx_session *session = run->session;
    char *config = frx_config_text(&session->config);
    const struct frx_trajectory_options options = {
        .system = &session->system,
        .system_path = session->config.system,
        .n_ladder = session->ladder.n_ladder,
        .n_rung = session->ladder.n_rung,
        .beta = session->ladder.beta,
        .n_local = session->n_local,
        .timestep = session->config.dt,
        .seed = (uint64_t)session->config.seed,
        .config = config,
        .generator = "flashrex " FRX_VERSION,
        .build = FRX_VERSION_COMMIT "\n" FRX_BUILD_TYPE ", " FRX_BUILD_COMPILER "\n" FRX_BUILD_TARGET
                                    "\n" FRX_BUILD_LIBRARIES "\nCUDA " FRX_BUILD_CUDA,
        .overwrite = overwrite,
        .adapting = run->adapting,
        .n_adapting = run->n_adapting,
        .n_previous = run->n_segment - 1,
        .previous = (const int64_t(*)[2])run->segment,
        .skip = {run->skip[0], run->skip[1]}};
    enum frx_status status =
        frx_agree(session->comm,
                  config ? FRX_OK : FRX_FAIL(FRX_ERR_MEMORY, "out of memory for the text of the config"));
    if (status == FRX_OK)
        status =
            frx_trajectory_create(session->comm->mpi, session->config.output, &options, &run->trajectory);
    free(config);
    if (status == FRX_ERR_EXISTS)
        frx_error_add("continue it with --continue, replace it with --overwrite, or choose another output");
    return status;
}

/* Engine and exchange at the first step or, if a restart was found, as it says. rung_of_slot [n_slot]. */
static enum frx_status create_exchange(struct frx_session *session, const struct frx_restart *restart,
                                       int *rung_of_slot, struct frx_tally *tally,
                                       struct frx_exchange **exchange) {
    struct frx_exchange_options options = frx_session_exchange_options(session);
    if (restart->found) {
        FRX_TRY(frx_agree(session->comm, frx_restart_ladder(restart, session)));
        FRX_TRY(frx_agree(session->comm, frx_restart_engine(restart, session, rung_of_slot)));
        options.rung_of_slot = rung_of_slot;
    }
    options.transport = frx_fault_transport(options.transport);
    FRX_TRY(frx_exchange_create(session->comm, &session->ladder, session->engine_class, session->engine,
                                &options, exchange));
    if (!restart->found)
        return frx_agree(session->comm, session->engine_class->draw_velocities(session->engine));
    struct frx_statistics *statistics =
        frx_session_exchanges(session) ? frx_exchange_statistics(*exchange) : NULL;
    return frx_agree(session->comm, frx_restart_sums(restart, statistics, tally));
}

/* Write what is left. */
static enum frx_status close_trajectory(struct frx_run *run) {
    enum frx_status saved = FRX_OK;
    if (run->trajectory) {
        int64_t *present = run->segment[run->n_segment - 1];
        saved = frx_trajectory_commit(run->trajectory);
        frx_trajectory_committed(run->trajectory, &present[0], &present[1]);
        const enum frx_status closed = frx_trajectory_close(run->trajectory);
        if (saved == FRX_OK) saved = closed;
        run->trajectory = NULL;
    }
    return saved;
}

/* Frames on the disk, in all segments that are not from adapting the ladder. */
static int64_t count_frames(const struct frx_run *run) {
    int64_t n_frame = 0;
    for (int s = run->adapting ? run->n_segment : run->n_adapting; s < run->n_segment; s++)
        n_frame += run->segment[s][0];
    return n_frame;
}

/* The ladder is adapted: what follows goes into another segment, with temperatures that stay. */
static enum frx_status finish_adaptation(struct frx_run *run, enum frx_progress_mode mode) {
    const struct frx_session *session = run->session;
    FRX_TRY(close_trajectory(run));
    run->adapting = 0;
    run->n_adapting = run->n_segment++;
    run->end_step = session->config.n_timesteps;
    if (session->comm->rank == 0 && mode != FRX_PROGRESS_QUIET) {
        frx_progress_clear(run->progress);
        printf("  adapted   ");
        for (int k = 0; k < session->ladder.n_rung; k++)
            printf("%s%.2f", k ? ", " : "", frx_session_kelvin(session, k));
        printf(" K\n");
        fflush(stdout);
    }
    return create_trajectory(run, 0);
}

/* All steps, first those that adapt the ladder. */
static enum frx_status make_steps(struct frx_run *run, enum frx_progress_mode mode) {
    if (run->adapting) {
        FRX_TRY(frx_run_loop(run));
        FRX_TRY(finish_adaptation(run, mode));
    }
    return frx_run_loop(run);
}

static enum frx_status run_and_report(struct frx_run *run, double seconds_before,
                                      enum frx_progress_mode mode) {
    struct frx_session *session = run->session;
    struct frx_progress progress;
    frx_progress_start(session, mode, seconds_before, &progress);
    run->progress = &progress;
    frx_clock_start(&run->clock);
    enum frx_status status = make_steps(run, mode);
    frx_watchdog_at(run->watchdog, FRX_AT_END, run->step);
    frx_whereabouts_add(session, run->exchange ? frx_exchange_look(run->exchange) : NULL, run->step, status);
    if (status == FRX_ERR_DIVERGED) frx_diverged_save(session);
    if (status == FRX_ERR_DIVERGED) frx_error_add("try a smaller dt, or other starting structures");
    const double seconds = frx_progress_seconds(&progress);
    frx_progress_clear(&progress);

    /* What was saved stays readable, however the run ended; its own failure is the one to report. */
    char message[FRX_MESSAGE_SIZE];
    snprintf(message, sizeof message, "%s", frx_error_message());
    const enum frx_status timed = frx_clock_stop(&run->clock, session->comm);
    enum frx_status saved = close_trajectory(run);
    if (saved == FRX_OK) saved = timed;
    if (status == FRX_OK)
        status = saved;
    else
        frx_error_set(message);

    const struct frx_summary summary = {.session = session,
                                        .statistics =
                                            run->exchange ? frx_exchange_statistics(run->exchange) : NULL,
                                        .tally = run->tally,
                                        .clock = &run->clock,
                                        .n_step = run->step,
                                        .n_frame = count_frames(run),
                                        .seconds = seconds,
                                        .status = status};
    enum frx_status written = FRX_OK;
    if (session->comm->rank == 0) {
        snprintf(message, sizeof message, "%s", frx_error_message());
        if (mode != FRX_PROGRESS_QUIET) frx_summary_print(&summary, stdout);
        written = frx_summary_write(&summary, session->config.output);
        if (status != FRX_OK) frx_error_set(message);
    }
    return status == FRX_OK ? frx_agree(session->comm, written) : status;
}

/* The segments that count, with room for the two that this job may write. */
static enum frx_status list_segments(const struct frx_restart *restart, struct frx_run *run) {
    const size_t n = (size_t)restart->n_segment;
    run->n_segment = restart->n_segment + 1;
    run->n_adapting = restart->n_adapting;
    run->segment = calloc(n + 2, sizeof *run->segment);
    if (!run->segment) return FRX_FAIL(FRX_ERR_MEMORY, "out of memory for a list of segments");
    if (n > 0) memcpy(run->segment, restart->segment, n * sizeof *run->segment);
    return FRX_OK;
}

static enum frx_status make_run(struct frx_session *session, const struct frx_restart *restart,
                                const struct wish *wish, struct frx_run *run,
                                struct frx_exchange **exchange) {
    int *rung_of_slot = malloc((size_t)session->n_slot * sizeof *rung_of_slot);
    enum frx_status status = rung_of_slot ? frx_tally_create(session->ladder.n_rung, run->tally)
                                          : FRX_FAIL(FRX_ERR_MEMORY, "out of memory for a run");
    if (status == FRX_OK) status = list_segments(restart, run);
    status = frx_agree(session->comm, status);
    if (status == FRX_OK) status = create_exchange(session, restart, rung_of_slot, run->tally, exchange);
    free(rung_of_slot);
    FRX_TRY(status);
    run->exchange = frx_session_exchanges(session) ? *exchange : NULL;
    run->step = restart->counts.step;
    memcpy(run->row, restart->counts.row, sizeof run->row);
    memcpy(run->skip, restart->skip, sizeof run->skip);
    run->adapting = run->step < frx_session_adapt_steps(session);
    run->end_step = run->adapting ? frx_session_adapt_steps(session) : session->config.n_timesteps;
    run->stop_time = wish->stop_time;
    run->stop_reason = wish->stop_reason;
    if (run->step == session->config.n_timesteps) return FRX_OK; /* nothing left to write */
    FRX_TRY(create_trajectory(run, wish->overwrite || restart->from_nothing));
    if (session->comm->rank == 0) frx_summary_discard(session->config.output);
    return FRX_OK;
}

static enum frx_status run_session(struct frx_session *session, const struct frx_restart *restart,
                                   const struct wish *wish) {
    struct frx_tally tally = {0};
    struct frx_run run = {.session = session, .tally = &tally};
    struct frx_exchange *exchange = NULL;
    FRX_TRY(frx_agree_on_input(session->comm, frx_fault_read(session->comm->rank)));
    session->engine_class = frx_fault_engine(session->engine_class);
    FRX_TRY(frx_watchdog_start(session, &run.watchdog));
    enum frx_status status = frx_session_start(session);
    if (status == FRX_OK) status = make_run(session, restart, wish, &run, &exchange);
    if (exchange) frx_watchdog_tell(run.watchdog, frx_exchange_look(exchange));
    if (status == FRX_OK) status = run_and_report(&run, restart->counts.seconds, wish->mode);
    frx_watchdog_tell(run.watchdog, NULL);
    frx_exchange_destroy(exchange);
    frx_watchdog_stop(run.watchdog);
    frx_tally_clear(&tally);
    free(run.segment);
    return status;
}

static void describe_restart(const struct frx_restart *restart, FILE *out) {
    char number[FRX_NUMBER_SIZE];
    if (restart->checkpoint.is_previous)
        fprintf(out, "  warning: %s; going on from the checkpoint before it\n", restart->checkpoint.notice);
    if (restart->found)
        fprintf(out, "  continue  after %s steps, in segment %d\n", frx_number(restart->counts.step, number),
                restart->n_segment + 1);
}

static enum frx_status open_and_run(const struct frx_invocation *invocation, const struct wish *wish,
                                    struct frx_session *session, struct frx_restart *restart,
                                    struct frx_run_lock *lock) {
    FRX_TRY(frx_session_open(invocation->comm, invocation->n_argument, invocation->argument, session));
    frx_interrupt_watch(); /* before what takes long: a job that has just begun may be told to stop */
    enum frx_status locked = FRX_OK;
    if (invocation->comm->rank == 0)
        locked = frx_run_lock(session->config.output, wish->go_on ? PATIENCE : 0, lock);
    FRX_TRY(frx_agree_on_input(invocation->comm, locked));
    if (wish->go_on) FRX_TRY(frx_restart_read(session, restart));
    if (invocation->comm->rank == 0 && wish->mode != FRX_PROGRESS_QUIET) {
        frx_session_describe(session, stdout);
        describe_restart(restart, stdout);
        fflush(stdout);
    }
    return run_session(session, restart, wish);
}

/* Hours, or H:MM:SS, or D-HH:MM:SS as Slurm writes it. */
static enum frx_status parse_time(const char *text, double *seconds) {
    int day = 0, hour, minute, second, n = 0;
    if (sscanf(text, "%9d-%9d:%2d:%2d%n", &day, &hour, &minute, &second, &n) < 4 || text[n]) {
        n = 0;
        day = 0;
        if (sscanf(text, "%9d:%2d:%2d%n", &hour, &minute, &second, &n) < 3) n = 0;
    }
    if (n > 0 && !text[n] && day >= 0 && hour >= 0 && minute >= 0 && second >= 0) {
        *seconds = ((day * 24.0 + hour) * 60 + minute) * 60 + second;
    } else {
        char *end;
        *seconds = strtod(text, &end) * 3600;
        if (end == text || *end) *seconds = 0;
    }
    if (*seconds > 0 && *seconds < 1e9) return FRX_OK;
    return frx_user_error("--max-time: '%s' is not possible; it must be hours, as in 23.5, or 23:30:00",
                          text);
}

/* Newer versions of Slurm say when the job will end. Leave time for a checkpoint: a minute, or a tenth of a
 * short job. */
static void read_slurm_end(struct wish *wish) {
    const char *text = getenv("SLURM_JOB_END_TIME");
    char *end = NULL;
    const double left = text ? difftime((time_t)strtoll(text, &end, 10), time(NULL)) : 0;
    if (!end || end == text || *end || left <= 0) return;
    const double stop = MPI_Wtime() + left - (left < 600 ? left / 10 : 60);
    if (wish->stop_time > 0 && wish->stop_time < stop) return;
    wish->stop_time = stop;
    wish->stop_reason = "the end of the Slurm job";
}

static enum frx_status read_wish(const struct frx_invocation *invocation, struct wish *wish) {
    const char *max_time = frx_option_value(invocation, "--max-time");
    double seconds;
    int mode;
    FRX_TRY(frx_option_choice(invocation, "--progress", frx_progress_words, FRX_PROGRESS_AUTO, &mode));
    wish->mode = (enum frx_progress_mode)mode;
    wish->overwrite = frx_option_value(invocation, "--overwrite") != NULL;
    wish->go_on = frx_option_value(invocation, "--continue") != NULL;
    if (wish->overwrite && wish->go_on)
        return frx_user_error("--continue and --overwrite exclude each other");
    if (max_time) {
        FRX_TRY(parse_time(max_time, &seconds));
        wish->stop_time = MPI_Wtime() + seconds;
        wish->stop_reason = "--max-time";
    }
    read_slurm_end(wish);
    return FRX_OK;
}

/* Whether a message is about a lack of space. */
static int is_full(const char *message) {
    return strstr(message, strerror(ENOSPC)) || strstr(message, strerror(EDQUOT)) ||
           strstr(message, strerror(EFBIG)) || strstr(message, "is the disk full?");
}

static enum frx_status run(const struct frx_invocation *invocation) {
    struct wish wish = {.stop_reason = "the end of its time"};
    struct frx_session session = {0};
    struct frx_restart restart = {0};
    struct frx_run_lock lock = {0};
    FRX_TRY(read_wish(invocation, &wish));
    const enum frx_status status = open_and_run(invocation, &wish, &session, &restart, &lock);
    if (status == FRX_ERR_IO && is_full(frx_error_message()))
        frx_error_add(
            "free some space, or ask for more, then go on with --continue: what was saved before is intact");
    frx_run_unlock(&lock);
    frx_restart_clear(&restart);
    frx_session_close(&session);
    return status;
}

static const struct frx_option option[] = {
    {"--continue", NULL, "go on from the checkpoint in the folder, or start if there is no run", 0},
    {"--max-time", "TIME", "stop with a checkpoint after so many hours (23.5) or H:MM:SS", 0},
    {"--overwrite", NULL, "replace the results of an earlier run in the same folder", 0},
    {"--progress", "HOW", "live, lines, quiet, or auto (live on a terminal)", 0},
    {0}};

const struct frx_command frx_command_run = {
    .name = "run",
    .summary = "sample by replica exchange, as a config says",
    .usage = "CONFIG [key=value ...] [options]",
    .text =
        "CONFIG is a YAML file; `flashrex help config` explains every key. Values given as key=value\n"
        "on the command line win over the file's. Results go into the folder `output`: trajectories\n"
        "per temperature (T_*.h5md, system.pdb), all numbers (segment_0001.h5) and summary.json.\n\n"
        "A run that was stopped or killed goes on with --continue as if nothing had happened, bit for\n"
        "bit, on any number of ranks; with a larger n_timesteps a finished one becomes longer.\n\n"
        "Under mpirun or srun the replicas are shared among the ranks; the results are the same, bit\n"
        "for bit, on any number of them. A first Ctrl-C (SIGTERM, SIGUSR1) ends the run within a second,\n"
        "with a checkpoint and exit code 75; a second one kills it.\n\n"
        "Examples:\n"
        "  flashrex run chignolin.yaml\n"
        "  flashrex run chignolin.yaml seed=2 output=second-run n_timesteps=1e5\n"
        "  flashrex run chignolin.yaml temperatures='[300, 330, 363]' dt=0.002 output=test\n"
        "  mpirun -n 4 flashrex run chignolin.yaml --progress live\n"
        "  flashrex run chignolin.yaml --continue n_timesteps=2e6 --max-time 23:30:00\n",
    .min_argument = 1,
    .max_argument = 1000,
    .option = option,
    .run = run};
