/* flashrex run */
#include "command.h"
#include "interrupt.h"
#include "progress.h"
#include "run_loop.h"
#include "session.h"
#include "summary.h"
#include "version.h"

#include <stdlib.h>
#include <string.h>

/* The whole config as text, to be kept with the results; NULL when out of memory. */
static char *config_text(const struct frx_config *config) {
    char *text = NULL;
    size_t n_byte = 0;
    FILE *out = open_memstream(&text, &n_byte);
    if (!out) return NULL;
    frx_config_write(config, out);
    return fclose(out) == 0 ? text : NULL;
}

/* Add to the error message what the user can do about it. */
static void advise(const char *what) {
    char message[FRX_MESSAGE_SIZE];
    snprintf(message, sizeof message, "%.*s; %s", FRX_MESSAGE_SIZE - 120, frx_error_message(), what);
    frx_error_set(message);
}

static enum frx_status create_trajectory(const struct frx_session *session, int overwrite,
                                         struct frx_trajectory **trajectory) {
    char *config = config_text(&session->config);
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
        .overwrite = overwrite};
    enum frx_status status =
        frx_agree(session->comm,
                  config ? FRX_OK : FRX_FAIL(FRX_ERR_MEMORY, "out of memory for the text of the config"));
    if (status == FRX_OK)
        status = frx_trajectory_create(session->comm->mpi, session->config.output, &options, trajectory);
    free(config);
    if (status == FRX_ERR_EXISTS) advise("choose another output, or replace it with --overwrite");
    return status;
}

static enum frx_status create_exchange(struct frx_session *session, struct frx_exchange **exchange) {
    const struct frx_exchange_options options = frx_session_exchange_options(session);
    FRX_TRY(frx_exchange_create(session->comm, &session->ladder, session->engine_class, session->engine,
                                &options, exchange));
    return frx_agree(session->comm, session->engine_class->draw_velocities(session->engine));
}

static enum frx_status run_and_report(struct frx_run *run, enum frx_progress_mode mode) {
    struct frx_session *session = run->session;
    struct frx_progress progress;
    frx_interrupt_watch();
    frx_progress_start(session, mode, &progress);
    run->progress = &progress;
    enum frx_status status = frx_run_loop(run);
    if (status == FRX_ERR_DIVERGED) advise("try a smaller dt, or other starting structures");
    const double seconds = frx_progress_seconds(&progress);
    frx_progress_clear(&progress);
    if (!run->exchange) frx_tally_reduce(session->comm, run->tally); /* each rank counted its own */

    /* What was saved stays readable, however the run ended; its own failure is the one to report. */
    char message[FRX_MESSAGE_SIZE];
    snprintf(message, sizeof message, "%s", frx_error_message());
    int64_t n_frame, n_exchange;
    enum frx_status saved = frx_trajectory_commit(run->trajectory);
    frx_trajectory_committed(run->trajectory, &n_frame, &n_exchange);
    const enum frx_status closed = frx_trajectory_close(run->trajectory);
    run->trajectory = NULL;
    if (saved == FRX_OK) saved = closed;
    if (status == FRX_OK)
        status = saved;
    else
        frx_error_set(message);

    const struct frx_summary summary = {.session = session,
                                        .statistics =
                                            run->exchange ? frx_exchange_statistics(run->exchange) : NULL,
                                        .tally = run->tally,
                                        .n_step = run->step,
                                        .n_frame = n_frame,
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

static enum frx_status run_session(struct frx_session *session, int overwrite, enum frx_progress_mode mode) {
    struct frx_run run = {.session = session};
    struct frx_tally tally = {0};
    struct frx_exchange *exchange = NULL;
    FRX_TRY(frx_session_start(session));
    enum frx_status status = create_exchange(session, &exchange);
    if (status == FRX_OK) status = frx_agree(session->comm, frx_tally_create(session->ladder.n_rung, &tally));
    if (status == FRX_OK) status = create_trajectory(session, overwrite, &run.trajectory);
    if (status == FRX_OK) {
        if (session->comm->rank == 0) frx_summary_discard(session->config.output);
        run.exchange = frx_session_exchanges(session) ? exchange : NULL;
        run.tally = &tally;
        status = run_and_report(&run, mode);
    }
    frx_exchange_destroy(exchange);
    frx_tally_clear(&tally);
    return status;
}

static enum frx_status run(const struct frx_invocation *invocation) {
    int mode;
    FRX_TRY(frx_option_choice(invocation, "--progress", frx_progress_words, FRX_PROGRESS_AUTO, &mode));
    struct frx_session session;
    enum frx_status status =
        frx_session_open(invocation->comm, invocation->n_argument, invocation->argument, &session);
    if (status == FRX_OK) {
        if (invocation->comm->rank == 0 && mode != FRX_PROGRESS_QUIET) {
            frx_session_describe(&session, stdout);
            fflush(stdout);
        }
        status = run_session(&session, frx_option_value(invocation, "--overwrite") != NULL,
                             (enum frx_progress_mode)mode);
    }
    frx_session_close(&session);
    return status;
}

static const struct frx_option option[] = {
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
        "Under mpirun or srun the replicas are shared among the ranks; the results are the same, bit\n"
        "for bit, on any number of them. A first Ctrl-C (SIGTERM, SIGUSR1) ends the run after the present\n"
        "block, with everything saved and exit code 75; a second one kills it.\n\n"
        "Examples:\n"
        "  flashrex run chignolin.yaml\n"
        "  flashrex run chignolin.yaml seed=2 output=second-run n_timesteps=1e5\n"
        "  flashrex run chignolin.yaml temperatures='[300, 330, 363]' dt=0.002 output=test\n"
        "  mpirun -n 4 flashrex run chignolin.yaml --progress live\n",
    .min_argument = 1,
    .max_argument = 1000,
    .option = option,
    .run = run};
