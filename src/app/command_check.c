/* flashrex check */
#include "command.h"
#include "evaluate.h"
#include "exchange.h"
#include "pdb.h"
#include "print.h"
#include "session.h"
#include "trajectory.h"
#include "trial.h"
#include "units.h"

#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRIAL_SECONDS 2.0

/* What the run will need, and what was found. */
struct plan {
    double host_bytes, device_bytes; /* of the rank that needs most */
    double buffer_bytes;             /* for output, likewise */
    int64_t n_frame, n_exchange, file_bytes;
    int fewest, most; /* replicas on a rank */
    struct frx_verification verification;
    double steps_per_second; /* of every replica, on the slowest rank */
};

static enum frx_status plan_memory(const struct frx_session *session, struct plan *plan) {
    const struct frx_config *config = &session->config;
    size_t host = 0, device = 0;
    FRX_TRY(frx_agree(session->comm, session->engine_class->plan(&session->system, &session->engine_options,
                                                                 &host, &device)));
    const struct frx_trajectory_options options = {
        .system = &session->system, .n_ladder = session->ladder.n_ladder, .n_rung = session->ladder.n_rung};
    plan->n_frame = config->save_interval ? config->n_timesteps / config->save_interval : 0;
    plan->n_exchange = config->exchange_interval ? config->n_timesteps / config->exchange_interval : 0;
    int64_t buffer = 0;
    frx_trajectory_plan(&options, plan->n_frame, plan->n_exchange, &plan->file_bytes, &buffer);
    double most[4] = {(double)host, (double)device, (double)buffer * session->n_local, session->n_local};
    int fewest = session->n_local;
    FRX_MPI(MPI_Allreduce(MPI_IN_PLACE, most, 4, MPI_DOUBLE, MPI_MAX, session->comm->mpi));
    FRX_MPI(MPI_Allreduce(MPI_IN_PLACE, &fewest, 1, MPI_INT, MPI_MIN, session->comm->mpi));
    plan->host_bytes = most[0];
    plan->device_bytes = most[1];
    plan->buffer_bytes = most[2];
    plan->most = (int)most[3];
    plan->fewest = fewest;
    return FRX_OK;
}

/* A short run without exchange and output, from the real start at the real temperatures. */
static enum frx_status try_out(struct frx_session *session, struct plan *plan) {
    const struct frx_engine_class *engine_class = session->engine_class;
    const struct frx_exchange_options options = frx_session_exchange_options(session);
    struct frx_exchange *exchange = NULL; /* for the temperatures that it sets */
    struct frx_trial trial = {0};
    FRX_TRY(frx_session_start(session));
    FRX_TRY(frx_exchange_create(session->comm, &session->ladder, engine_class, session->engine, &options,
                                &exchange));
    enum frx_status status = engine_class->draw_velocities(session->engine);
    if (status == FRX_OK)
        status = frx_trial_run(engine_class, session->engine, session->n_local, session->system.n_bead, 0,
                               TRIAL_SECONDS, 0, &trial);
    status = frx_agree(session->comm, status);
    frx_exchange_destroy(exchange);
    FRX_TRY(status);
    plan->steps_per_second = trial.steps_per_second / session->n_local;
    FRX_MPI(MPI_Allreduce(MPI_IN_PLACE, &plan->steps_per_second, 1, MPI_DOUBLE, MPI_MIN, session->comm->mpi));
    return FRX_OK;
}

static void print_plan(const struct frx_session *session, const struct plan *plan, FILE *out) {
    char a[FRX_NUMBER_SIZE], b[FRX_NUMBER_SIZE];
    if (plan->fewest == plan->most)
        fprintf(out, "  per rank  %d replica%s", plan->most, plan->most == 1 ? "" : "s");
    else
        fprintf(out, "  per rank  %d or %d replicas", plan->fewest, plan->most);
    fprintf(out, ", %s of memory", frx_bytes(plan->host_bytes + plan->buffer_bytes, a));
    if (plan->device_bytes > 0) fprintf(out, " and %s on the GPU", frx_bytes(plan->device_bytes, a));
    fprintf(out, "\n  results   %s: %s frame%s", frx_bytes((double)plan->file_bytes, a),
            frx_number(plan->n_frame, b), plan->n_frame == 1 ? "" : "s");
    fprintf(out, " and %s exchange event%s\n", frx_number(plan->n_exchange, b),
            plan->n_exchange == 1 ? "" : "s");
    if (session->system.known_answer)
        fprintf(out, "  verified  known answer met: energy within %.1e, forces within %.1e\n",
                plan->verification.energy_error, plan->verification.force_error);
    else
        fprintf(out, "  verified  no: there is no known answer in the system file\n");
    const double ns_per_day = plan->steps_per_second * session->config.dt / FRX_PS_PER_NS * FRX_S_PER_DAY;
    fprintf(out, "  speed     %s ns/day", frx_figure(ns_per_day * session->n_slot, a));
    fprintf(out, " (%s each)\n  time      about %s\n", frx_figure(ns_per_day, a),
            frx_duration((double)session->config.n_timesteps / plan->steps_per_second, b));
}

/* There must be a folder to write to: the output, or the one that `run` will make it in. Local. */
static enum frx_status check_output(const struct frx_session *session, FILE *out) {
    const char *output = session->config.output;
    char *copy = strdup(output);
    if (!copy) return FRX_FAIL(FRX_ERR_MEMORY, "out of memory for a path");
    const int exists = access(output, F_OK) == 0;
    const char *folder = exists ? output : dirname(copy);
    struct stat found;
    enum frx_status status = FRX_OK;
    if (stat(folder, &found) == 0 && !S_ISDIR(found.st_mode))
        status = FRX_FAIL(FRX_ERR_IO, "cannot write to %s: it is not a folder", folder);
    else if (access(folder, W_OK | X_OK) != 0)
        status = FRX_FAIL(FRX_ERR_IO, "cannot write to %s: %s", folder, strerror(errno));
    else if (exists && frx_run_count_segments(output) > 0)
        fprintf(out, "  warning: %s holds a run already: `flashrex run` needs --continue or --overwrite\n",
                output);
    free(copy);
    return status;
}

static enum frx_status check(struct frx_session *session) {
    struct plan plan = {0};
    const int speaks = session->comm->rank == 0;
    enum frx_status status = FRX_OK;
    if (speaks) {
        frx_session_describe(session, stdout);
        double shift[3];
        status = check_output(session, stdout);
        if (status == FRX_OK)
            status = frx_pdb_place(session->system.structures, session->system.n_bead, shift);
        fflush(stdout);
    }
    FRX_TRY(frx_agree(session->comm, status));
    FRX_TRY(plan_memory(session, &plan));
    if (session->system.known_answer)
        FRX_TRY(frx_agree(session->comm, frx_verify(&session->system, session->engine_options.n_thread,
                                                    &plan.verification)));
    FRX_TRY(try_out(session, &plan));
    if (speaks) print_plan(session, &plan, stdout);
    return FRX_OK;
}

static enum frx_status run(const struct frx_invocation *invocation) {
    struct frx_session session;
    enum frx_status status =
        frx_session_open(invocation->comm, invocation->n_argument, invocation->argument, &session);
    if (status == FRX_OK) status = check(&session);
    frx_session_close(&session);
    return status;
}

static const struct frx_option option[] = {{0}};

const struct frx_command frx_command_check = {
    .name = "check",
    .summary = "is everything in order, what will a run need, how long will it take?",
    .usage = "CONFIG [key=value ...]",
    .text =
        "Reads config and system as `flashrex run` would, evaluates the system's known-answer frame, and\n"
        "tries out the first steps for two seconds. Nothing is written. Start it with the same mpirun or\n"
        "srun as the run itself to see the plan for that many ranks.\n\n"
        "Examples:\n"
        "  flashrex check chignolin.yaml\n"
        "  mpirun -n 4 flashrex check chignolin.yaml n_ladders=8\n",
    .min_argument = 1,
    .max_argument = 1000,
    .option = option,
    .run = run};
