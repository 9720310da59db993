#include "session.h"

#include "engines.h"
#include "print.h"
#include "system_file.h"
#include "units.h"
#include "version.h"

#include <stdlib.h>
#include <string.h>

/* Configurations travel through host memory only, so far. Moving temperatures instead is the same physics,
 * bit by bit. */
static enum frx_status choose_move(struct frx_session *session) {
    struct frx_config *config = &session->config;
    if (session->engine_class->memory == frx_transport_mpi.memory || config->move == FRX_MOVE_TEMPERATURES)
        return FRX_OK;
    if (frx_config_is_given(config, "move"))
        return frx_config_error(config, "move",
                                "move: configurations is not possible with engine %s; use temperatures, "
                                "which gives the same results",
                                session->engine_class->name);
    config->move = FRX_MOVE_TEMPERATURES;
    return FRX_OK;
}

static enum frx_status lay_out(struct frx_session *session) {
    const struct frx_config *config = &session->config;
    const struct frx_comm *comm = session->comm;
    FRX_TRY(frx_ladder_create_kelvin((int)config->n_ladders, config->temperatures.n,
                                     config->temperatures.value, &session->ladder));
    session->n_slot = frx_ladder_n_slot(&session->ladder);
    if (comm->size > session->n_slot)
        return frx_config_error(config, "n_ladders",
                                "%d ranks for %d replicas: a rank would have nothing to do; start "
                                "at most %d ranks",
                                comm->size, session->n_slot, session->n_slot);
    FRX_TRY(
        frx_slots_of_rank(session->n_slot, comm->size, comm->rank, &session->first_slot, &session->n_local));
    if (config->start != FRX_AUTO && config->start >= session->system.n_structure)
        return frx_config_error(config, "start",
                                "start: %lld is not there; the system has structures 0 to %d",
                                (long long)config->start, session->system.n_structure - 1);
    FRX_TRY(frx_engine_choose((enum frx_config_engine)config->engine, &session->engine_class));
    return choose_move(session);
}

enum frx_status frx_agree_on_input(const struct frx_comm *comm, enum frx_status status) {
    char message[FRX_MESSAGE_SIZE];
    snprintf(message, sizeof message, "%s", frx_error_message());
    const enum frx_status agreed = frx_agree(comm, status);
    if (status != FRX_OK) frx_error_set(message);
    return agreed;
}

enum frx_status frx_session_open(const struct frx_comm *comm, int n_argument, char *const *argument,
                                 struct frx_session *session) {
    memset(session, 0, sizeof *session);
    session->comm = comm;
    FRX_TRY(frx_agree_on_input(comm,
                               frx_config_load(argument[0], n_argument - 1, argument + 1, &session->config)));
    FRX_TRY(frx_agree_on_input(comm, frx_system_read(session->config.system, &session->system)));
    FRX_TRY(frx_agree_on_input(comm, lay_out(session)));
    const struct frx_config *config = &session->config;
    session->engine_options = (struct frx_engine_options){
        .n_rep = session->n_local,
        .precision = frx_precision_choose((enum frx_config_precision)config->precision),
        .timestep = config->dt,
        .friction = config->friction,
        .seed = (uint64_t)config->seed,
        .n_thread = frx_threads_choose(comm, config->n_threads),
        .device = comm->local_rank};
    return FRX_OK;
}

static enum frx_status start_engine(struct frx_session *session) {
    const struct frx_engine_class *engine_class = session->engine_class;
    const struct frx_system *system = &session->system;
    FRX_TRY(engine_class->create(system, &session->engine_options, &session->engine));
    for (int r = 0; r < session->n_local; r++) {
        uint32_t identity = (uint32_t)(session->first_slot + r);
        const size_t structure = session->config.start == FRX_AUTO ? identity % (uint32_t)system->n_structure
                                                                   : (size_t)session->config.start;
        const struct frx_state_view state = {
            .positions = system->structures + structure * 3 * (size_t)system->n_bead, .identity = &identity};
        FRX_TRY(engine_class->set_state(session->engine, r, 1, &state));
    }
    return engine_class->recentre(session->engine);
}

enum frx_status frx_session_start(struct frx_session *session) {
    return frx_agree(session->comm, start_engine(session));
}

void frx_session_close(struct frx_session *session) {
    if (session->engine_class) session->engine_class->destroy(session->engine);
    frx_ladder_clear(&session->ladder);
    frx_system_clear(&session->system);
    frx_config_clear(&session->config);
    memset(session, 0, sizeof *session);
}

struct frx_exchange_options frx_session_exchange_options(const struct frx_session *session) {
    return (struct frx_exchange_options){.scheme = (enum frx_scheme)session->config.scheme,
                                         .move = (enum frx_move)session->config.move,
                                         .seed = (uint64_t)session->config.seed,
                                         .transport = &frx_transport_mpi};
}

double frx_session_ns(const struct frx_session *session, int64_t n_step) {
    return (double)n_step * session->config.dt / FRX_PS_PER_NS;
}

int frx_session_exchanges(const struct frx_session *session) {
    return session->config.exchange_interval > 0;
}

static void describe_model(const struct frx_system *system, FILE *out) {
    int n_term = 0;
    for (int p = 0; p < system->n_prior; p++) n_term += system->prior[p].n_term;
    char number[FRX_NUMBER_SIZE];
    const struct frx_network *network = system->network;
    if (network)
        fprintf(out, "SchNet: %d interactions, %d features, %d filters, cutoff %g A; ",
                network->n_interaction, network->n_hidden, network->n_filter, network->r_cut);
    fprintf(out, "%d prior%s with %s terms\n", system->n_prior, system->n_prior == 1 ? "" : "s",
            frx_number(n_term, number));
}

static void warn(const struct frx_session *session, FILE *out) {
    const struct frx_config *config = &session->config;
    const int n_rung = session->ladder.n_rung;
    if (config->friction == 0)
        fprintf(out, "  warning: friction 0 means no thermostat: replicas keep their energy, and averages "
                     "are not those "
                     "of their temperature\n");
    if (n_rung > 1 && config->exchange_interval == 0)
        fprintf(out,
                "  warning: exchange_interval 0: the temperatures run side by side and never exchange\n");
    if (n_rung > 1 && config->exchange_interval > config->n_timesteps)
        fprintf(out, "  warning: exchange_interval is longer than the run: nothing will be exchanged\n");
    if (config->save_interval == 0 || config->save_interval > config->n_timesteps)
        fprintf(out, "  warning: no frame will be saved%s\n",
                config->save_interval ? ": save_interval is longer than the run" : "");
}

void frx_session_describe(const struct frx_session *session, FILE *out) {
    const struct frx_config *config = &session->config;
    const struct frx_reals *kelvin = &config->temperatures;
    char number[FRX_NUMBER_SIZE];
    const int n_thread = session->engine_options.n_thread;
    fprintf(out, "flashrex %s\n  system    %s, %d beads\n  model     ", FRX_VERSION, config->system,
            session->system.n_bead);
    describe_model(&session->system, out);
    fprintf(out, "  replicas  %d: ", session->n_slot);
    if (kelvin->n == 1)
        fprintf(out, "%g K", kelvin->value[0]);
    else
        fprintf(out, "%d temperatures from %g to %g K", kelvin->n, kelvin->value[0],
                kelvin->value[kelvin->n - 1]);
    if (session->ladder.n_ladder > 1) fprintf(out, " in %d ladders", session->ladder.n_ladder);
    fprintf(out, "\n  machine   %d rank%s with %d thread%s%s, engine %s, %s precision\n", session->comm->size,
            session->comm->size == 1 ? "" : "s", n_thread, n_thread == 1 ? "" : "s",
            session->comm->size == 1 ? "" : " each", session->engine_class->name,
            frx_precision_name(session->engine_options.precision));
    fprintf(out, "  length    %s steps of %g ps, %g ns for each replica\n",
            frx_number(config->n_timesteps, number), config->dt,
            frx_session_ns(session, config->n_timesteps));
    if (frx_session_exchanges(session))
        fprintf(out, "  exchange  every %s steps, %s\n", frx_number(config->exchange_interval, number),
                frx_config_word(config, "exchange_scheme"));
    fprintf(out, "  output    %s", config->output);
    if (config->save_interval)
        fprintf(out, ", a frame every %s steps", frx_number(config->save_interval, number));
    fputc('\n', out);
    warn(session, out);
}
