#include "restart.h"

#include "engines.h"
#include "file_info.h"
#include "trajectory.h"
#include "user_error.h"
#include "version.h"

#include <stdlib.h>
#include <string.h>

/* ---- configurations ---- */

/* A slot in the checkpoint: positions, velocities, forces [n_bead][3], energy, identity. */
static size_t slot_width(const struct frx_session *session) {
    return 9 * (size_t)session->system.n_bead + 2;
}

/* The parts of one slot's numbers. */
static struct frx_state_view slot_view(const struct frx_session *session, double *slot, uint32_t *identity) {
    const size_t n = 3 * (size_t)session->system.n_bead;
    return (struct frx_state_view){.positions = slot,
                                   .velocities = slot + n,
                                   .forces = slot + 2 * n,
                                   .energy = slot + 3 * n,
                                   .identity = identity};
}

static enum frx_status read_engine(const struct frx_session *session, double *slots) {
    const size_t width = slot_width(session);
    for (int r = 0; r < session->n_local; r++) {
        double *slot = slots + (size_t)r * width;
        uint32_t identity = 0;
        const struct frx_state_view view = slot_view(session, slot, &identity);
        FRX_TRY(session->engine_class->get_state(session->engine, r, 1, &view));
        slot[width - 1] = identity;
    }
    return FRX_OK;
}

enum frx_status frx_restart_engine(const struct frx_restart *restart, const struct frx_session *session,
                                   int *rung_of_slot) {
    const size_t width = slot_width(session), n_slot = (size_t)session->n_slot;
    FRX_TRY(frx_checkpoint_copy(&restart->checkpoint, "rungs", rung_of_slot, n_slot * sizeof *rung_of_slot));
    const void *part;
    size_t n_byte;
    FRX_TRY(frx_checkpoint_find(&restart->checkpoint, "slots", &part, &n_byte));
    double *slot = malloc(width * sizeof *slot);
    if (!slot) return FRX_FAIL(FRX_ERR_MEMORY, "out of memory for a configuration");
    enum frx_status status = FRX_OK;
    if (n_byte != n_slot * width * sizeof *slot)
        status = FRX_FAIL(FRX_ERR_FORMAT, "the checkpoint has %zu bytes of configurations, expected %zu",
                          n_byte, n_slot * width * sizeof *slot);
    for (int r = 0; r < session->n_local && status == FRX_OK; r++) {
        memcpy(slot, (const double *)part + (size_t)(session->first_slot + r) * width, width * sizeof *slot);
        if (!(slot[width - 1] >= 0 && slot[width - 1] < session->n_slot)) {
            status = FRX_FAIL(FRX_ERR_FORMAT, "the checkpoint has a replica %g of %d", slot[width - 1],
                              session->n_slot);
            break;
        }
        uint32_t identity = (uint32_t)slot[width - 1];
        const struct frx_state_view view = slot_view(session, slot, &identity);
        status = session->engine_class->set_state(session->engine, r, 1, &view);
    }
    free(slot);
    return status;
}

enum frx_status frx_restart_ladder(const struct frx_restart *restart, struct frx_session *session) {
    struct frx_ladder *ladder = &session->ladder;
    return frx_checkpoint_copy(&restart->checkpoint, "ladder", ladder->beta,
                               (size_t)ladder->n_rung * sizeof *ladder->beta);
}

/* ---- sums ---- */

#define N_SUM 10

/* Statistics and tally as parts; returns how many. */
static int list_sums(struct frx_statistics *s, const struct frx_tally *tally,
                     struct frx_checkpoint_part part[N_SUM]) {
    part[0] =
        (struct frx_checkpoint_part){"tally", tally->sum, 3 * (size_t)tally->n_rung * sizeof *tally->sum};
    if (!s) return 1;
    const size_t n_rung = (size_t)s->n_rung, n_replica = (size_t)s->n_ladder * n_rung;
    const size_t pairs = (size_t)s->n_ladder * (n_rung - 1) * sizeof(int64_t),
                 replicas = n_replica * sizeof(int64_t);
    const struct frx_checkpoint_part list[] = {{"statistics/probability_sum", s->probability_sum, pairs},
                                               {"statistics/n_attempt", s->n_attempt, pairs},
                                               {"statistics/n_accept", s->n_accept, pairs},
                                               {"statistics/n_up", s->n_up, replicas},
                                               {"statistics/n_down", s->n_down, replicas},
                                               {"statistics/label", s->label, n_replica * sizeof *s->label},
                                               {"statistics/n_round_trip", s->n_round_trip, replicas},
                                               {"statistics/n_restart", s->n_restart, replicas},
                                               {"statistics/residence", s->residence, replicas * n_rung}};
    memcpy(part + 1, list, sizeof list);
    return N_SUM;
}

enum frx_status frx_restart_sums(const struct frx_restart *restart, struct frx_statistics *statistics,
                                 struct frx_tally *tally) {
    struct frx_checkpoint_part part[N_SUM];
    const int n = list_sums(statistics, tally, part);
    for (int p = 0; p < n; p++) /* the arrays are not const: they are those of the arguments */
        FRX_TRY(
            frx_checkpoint_copy(&restart->checkpoint, part[p].name, (void *)part[p].data, part[p].n_byte));
    if (!statistics) return FRX_OK;
    return frx_checkpoint_copy(&restart->checkpoint, "statistics/n_event", &statistics->n_event,
                               sizeof statistics->n_event);
}

/* ---- read ---- */

/* What the numbers depend on beyond config and system; a part of the checkpoint, as text. */
static void describe_machine(const struct frx_session *session, char text[64]) {
    snprintf(text, 64, "engine %s, %s precision", session->engine_class->name,
             frx_precision_name(session->engine_options.precision));
}

static enum frx_status copy_text(const struct frx_checkpoint *checkpoint, const char *name, char **text) {
    const void *part;
    size_t n_byte;
    FRX_TRY(frx_checkpoint_find(checkpoint, name, &part, &n_byte));
    *text = strndup(part, n_byte);
    return *text ? FRX_OK : FRX_FAIL(FRX_ERR_MEMORY, "out of memory for a checkpoint");
}

static enum frx_status check_same_run(const struct frx_session *session, const char *config,
                                      const char *system, const char *machine) {
    char here[64];
    describe_machine(session, here);
    if (strcmp(system, session->system.content_sha256) != 0)
        return frx_config_error(&session->config, "system",
                                "system: %s is not the file that the run was started with (SHA-256 %.12s.., "
                                "not %.12s..)",
                                session->config.system, session->system.content_sha256, system);
    FRX_TRY(frx_config_check_unchanged(&session->config, config));
    if (strcmp(machine, here) != 0)
        return frx_user_error("the run was started with %s; this is %s, which would not go on bit for bit",
                              machine, here);
    return FRX_OK;
}

static enum frx_status check_run(const struct frx_session *session, const struct frx_restart *restart) {
    char *config = NULL, *system = NULL, *machine = NULL;
    enum frx_status status = copy_text(&restart->checkpoint, "config", &config);
    if (status == FRX_OK) status = copy_text(&restart->checkpoint, "system_sha256", &system);
    if (status == FRX_OK) status = copy_text(&restart->checkpoint, "machine", &machine);
    if (status == FRX_OK) status = check_same_run(session, config, system, machine);
    free(config), free(system), free(machine);
    FRX_TRY(status);
    if (session->config.n_timesteps < restart->counts.step)
        return frx_config_error(&session->config, "n_timesteps",
                                "n_timesteps: %lld steps are fewer than the %lld made already",
                                (long long)session->config.n_timesteps, (long long)restart->counts.step);
    return FRX_OK;
}

/* Rows that are committed: as the journal says, which was written last, or as the checkpoint says where the
 * journal is damaged or lost. Segments of jobs that were killed at once are there and have none. */
static enum frx_status count_rows(const struct frx_session *session, struct frx_restart *restart) {
    const void *part;
    size_t n_byte;
    FRX_TRY(frx_checkpoint_find(&restart->checkpoint, "segments", &part, &n_byte));
    const int n_saved = (int)(n_byte / sizeof *restart->segment);
    const int64_t(*saved)[2] = part;
    if (n_saved > restart->n_segment)
        return FRX_FAIL(FRX_ERR_FORMAT, "the checkpoint knows %d segments, but there are only %d", n_saved,
                        restart->n_segment);
    int64_t n_adapting;
    FRX_TRY(frx_checkpoint_copy(&restart->checkpoint, "n_adapting", &n_adapting, sizeof n_adapting));
    restart->n_adapting = (int)n_adapting;
    if (restart->counts.step < frx_session_adapt_steps(session)) {
        /* Nothing that is made while a ladder is adapted is a result: leave out what came after the
         * checkpoint, which may be of either kind, and make all of it again. */
        memset(restart->segment, 0, (size_t)restart->n_segment * sizeof *restart->segment);
        memcpy(restart->segment, saved, (size_t)n_saved * sizeof *restart->segment);
        return FRX_OK;
    }
    for (int k = 0; k < 2; k++) {
        restart->skip[k] = -restart->counts.row[k];
        for (int s = 0; s < restart->n_segment; s++) {
            int64_t *row = &restart->segment[s][k];
            if (s < n_saved && *row < saved[s][k]) *row = saved[s][k];
            restart->skip[k] += *row;
        }
        if (restart->skip[k] < 0)
            return FRX_FAIL(FRX_ERR_FORMAT, "the checkpoint counts more rows than the segments have");
    }
    return FRX_OK;
}

/* Without a checkpoint: a run that was killed before it wrote its first one made no step, and may be started
 * again. But nothing that somebody may still want is replaced. */
static enum frx_status begin_again(const struct frx_session *session, struct frx_restart *restart) {
    restart->from_nothing = 1;
    if (restart->n_segment == 0) return FRX_OK;
    struct frx_file_info info;
    const enum frx_status status = frx_file_info_read(session->config.output, &info);
    const int has_rows = status != FRX_OK || info.n_frame > 0 || info.n_exchange > 0;
    if (status == FRX_OK) frx_file_info_clear(&info);
    if (!has_rows) return FRX_OK;
    return frx_user_error("%s holds a run without a checkpoint: it cannot be continued; start again with "
                          "--overwrite, or choose another output",
                          session->config.output);
}

static enum frx_status interpret(const struct frx_session *session, struct frx_restart *restart) {
    if (!restart->found) return session->comm->rank == 0 ? begin_again(session, restart) : FRX_OK;
    FRX_TRY(frx_checkpoint_copy(&restart->checkpoint, "counts", &restart->counts, sizeof restart->counts));
    FRX_TRY(count_rows(session, restart));
    return check_run(session, restart);
}

/* What is in the directory, on all ranks. */
static enum frx_status look_around(const struct frx_session *session, struct frx_restart *restart) {
    const struct frx_comm *comm = session->comm;
    if (comm->rank == 0) restart->n_segment = frx_run_count_segments(session->config.output);
    FRX_MPI(MPI_Bcast(&restart->n_segment, 1, MPI_INT, 0, comm->mpi));
    const size_t n = (size_t)restart->n_segment;
    restart->segment = calloc(n + 1, sizeof *restart->segment);
    FRX_TRY(frx_agree(
        comm, restart->segment ? FRX_OK : FRX_FAIL(FRX_ERR_MEMORY, "out of memory for %zu segments", n)));
    if (comm->rank == 0) /* a failure leaves zeros */
        (void)!frx_run_read_committed(session->config.output, restart->n_segment, restart->segment);
    FRX_MPI(MPI_Bcast(restart->segment, 2 * restart->n_segment, MPI_INT64_T, 0, comm->mpi));
    return FRX_OK;
}

enum frx_status frx_restart_read(const struct frx_session *session, struct frx_restart *restart) {
    *restart = (struct frx_restart){0};
    FRX_TRY(frx_checkpoint_read(session->comm->mpi, session->config.output, &restart->checkpoint));
    restart->found = restart->checkpoint.n_byte > 0;
    FRX_TRY(look_around(session, restart));
    FRX_TRY(frx_agree_on_input(session->comm, interpret(session, restart)));
    FRX_MPI(MPI_Bcast(&restart->from_nothing, 1, MPI_INT, 0, session->comm->mpi));
    if (restart->from_nothing) restart->n_segment = 0;
    return FRX_OK;
}

void frx_restart_clear(struct frx_restart *restart) {
    frx_checkpoint_clear(&restart->checkpoint);
    free(restart->segment);
    *restart = (struct frx_restart){0};
}

/* ---- write ---- */

/* Configurations of all slots on rank 0. */
static enum frx_status gather_slots(const struct frx_session *session, const double *own, double *all) {
    const struct frx_comm *comm = session->comm;
    int *count = calloc(2 * (size_t)comm->size, sizeof *count);
    enum frx_status status = count ? FRX_OK : FRX_FAIL(FRX_ERR_MEMORY, "out of memory for a checkpoint");
    status = frx_agree(comm, status);
    if (!count || status != FRX_OK) {
        free(count);
        return status;
    }
    for (int p = 0; p < comm->size && status == FRX_OK; p++)
        status = frx_slots_of_rank(session->n_slot, comm->size, p, &count[comm->size + p], &count[p]);
    MPI_Datatype slot;
    MPI_Type_contiguous((int)slot_width(session), MPI_DOUBLE, &slot);
    MPI_Type_commit(&slot);
    if (status == FRX_OK)
        MPI_Gatherv(own, session->n_local, slot, all, count, count + comm->size, slot, 0, comm->mpi);
    MPI_Type_free(&slot);
    free(count);
    return status;
}

static enum frx_status write_parts(const struct frx_restart_content *content, const double *slots) {
    const struct frx_session *session = content->session;
    const size_t n_slot = (size_t)session->n_slot;
    struct frx_statistics *statistics = content->exchange ? frx_exchange_statistics(content->exchange) : NULL;
    char *config = frx_config_text(&session->config), machine[64];
    int *rung = malloc(n_slot * sizeof *rung);
    describe_machine(session, machine);
    enum frx_status status = FRX_OK;
    if (!config || !rung) {
        status = FRX_FAIL(FRX_ERR_MEMORY, "out of memory for a checkpoint");
    } else {
        for (int g = 0; g < session->n_slot; g++)
            rung[g] = content->exchange ? frx_exchange_look(content->exchange)->rung_of_slot[g]
                                        : g % session->ladder.n_rung;
        const int64_t n_adapting = content->n_adapting;
        struct frx_checkpoint_part part[11 + N_SUM] = {
            {"generator", "flashrex " FRX_VERSION, sizeof "flashrex " FRX_VERSION},
            {"config", config, strlen(config)},
            {"system_sha256", session->system.content_sha256, strlen(session->system.content_sha256)},
            {"machine", machine, strlen(machine)},
            {"counts", &content->counts, sizeof content->counts},
            {"segments", content->segment, (size_t)content->n_segment * sizeof *content->segment},
            {"n_adapting", &n_adapting, sizeof n_adapting},
            {"ladder", session->ladder.beta, (size_t)session->ladder.n_rung * sizeof *session->ladder.beta},
            {"rungs", rung, n_slot * sizeof *rung},
            {"slots", slots, n_slot * slot_width(session) * sizeof *slots}};
        int n = 10;
        if (statistics)
            part[n++] = (struct frx_checkpoint_part){"statistics/n_event", &statistics->n_event,
                                                     sizeof statistics->n_event};
        n += list_sums(statistics, content->tally, part + n);
        status = frx_checkpoint_make(session->config.output, n, part);
    }
    free(config);
    free(rung);
    return status;
}

enum frx_status frx_restart_write(const struct frx_restart_content *content) {
    const struct frx_session *session = content->session;
    const size_t width = slot_width(session);
    const int is_writer = session->comm->rank == 0;
    double *own = malloc((size_t)session->n_local * width * sizeof *own), *all = NULL;
    if (is_writer) all = malloc((size_t)session->n_slot * width * sizeof *all);
    enum frx_status status =
        own && (all || !is_writer)
            ? read_engine(session, own)
            : FRX_FAIL(FRX_ERR_MEMORY, "out of memory for a checkpoint of %d replicas", session->n_slot);
    status = frx_agree(session->comm, status);
    if (status == FRX_OK) status = gather_slots(session, own, all);
    if (status == FRX_OK) status = frx_agree(session->comm, is_writer ? write_parts(content, all) : FRX_OK);
    if (status == FRX_OK)
        status =
            frx_agree(session->comm, is_writer ? frx_checkpoint_publish(session->config.output) : FRX_OK);
    free(own);
    free(all);
    return status;
}
