#include "session.h"

#include "adapt.h"
#include "engines.h"
#include "print.h"
#include "same_input.h"
#include "system_file.h"
#include "units.h"
#include "version.h"

#include <stdlib.h>
#include <string.h>

/* The transport that reaches the engine's memory and is called `name`; NULL: any but NCCL. */
static const struct frx_transport_class *find_transport(const struct frx_session *session, const char *name) {
    for (int t = 0; frx_transports[t]; t++) {
        const int is_nccl = strcmp(frx_transports[t]->name, "nccl") == 0;
        if (frx_transports[t]->memory == session->engine_class->memory && is_nccl == (name != NULL))
            return frx_transports[t];
    }
    return NULL;
}

/* NCCL needs a GPU for each rank. Within one rank everything is copied on its GPU, whatever the transport. */
static enum frx_status choose_transport(struct frx_session *session) {
    const struct frx_config *config = &session->config;
    const struct frx_transport_class *nccl = find_transport(session, "nccl");
    const int wanted = config->transport == FRX_CONFIG_TRANSPORT_NCCL;
    if (wanted && session->engine_class->memory == FRX_MEMORY_HOST)
        return frx_config_error(config, "transport", "transport: nccl is between GPUs, but the engine is %s",
                                session->engine_class->name);
    if (wanted && !nccl)
        return frx_config_error(config, "transport", "transport: nccl is not in this build; mpi is");
    if (wanted && session->devices.is_shared)
        return frx_config_error(config, "transport",
                                "transport: nccl needs a GPU for each rank; there are %d for %d",
                                session->devices.n_gpu, session->comm->size);
    const int can = nccl && !session->devices.is_shared && session->comm->size > 1;
    const int takes = wanted || (config->transport == FRX_CONFIG_TRANSPORT_AUTO && can);
    session->transport = takes ? nccl : find_transport(session, NULL);
    return FRX_OK;
}

/* The same engine on all ranks, each on its GPU. */
static enum frx_status choose_engine(struct frx_session *session) {
    const struct frx_config *config = &session->config;
    const enum frx_config_engine wanted = (enum frx_config_engine)config->engine;
    if (wanted != FRX_CONFIG_ENGINE_CPU)
        FRX_TRY(frx_devices_choose(session->comm, config->share_gpus != 0, &session->devices));
    FRX_TRY(frx_agree_on_input(session->comm,
                               frx_engine_choose(wanted, session->devices.device, &session->engine_class)));
    const int on_gpu = session->engine_class->memory == FRX_MEMORY_DEVICE;
    int anywhere = on_gpu;
    FRX_MPI(MPI_Allreduce(MPI_IN_PLACE, &anywhere, 1, MPI_INT, MPI_MAX, session->comm->mpi));
    FRX_TRY(frx_agree(session->comm, on_gpu == anywhere ? FRX_OK
                                                        : FRX_FAIL(FRX_ERR_DEVICE,
                                                                   "this rank's GPU is not usable, those of "
                                                                   "others are; the engine cpu needs none")));
    return frx_agree_on_input(session->comm, choose_transport(session));
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
    return FRX_OK;
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
    FRX_TRY(frx_same_session(session));
    FRX_TRY(frx_agree_on_input(comm, lay_out(session)));
    FRX_TRY(choose_engine(session));
    const struct frx_config *config = &session->config;
    session->engine_options = (struct frx_engine_options){
        .n_rep = session->n_local,
        .precision = frx_precision_choose((enum frx_config_precision)config->precision),
        .timestep = config->dt,
        .friction = config->friction,
        .seed = (uint64_t)config->seed,
        .n_thread = frx_threads_choose(comm, config->n_threads),
        .device = session->devices.device};
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
                                         .transport = session->transport};
}

int64_t frx_session_adapt_steps(const struct frx_session *session) {
    const struct frx_config *config = &session->config;
    return frx_adapt_n_event((int)config->adapt_ladder) * config->exchange_interval;
}

double frx_session_kelvin(const struct frx_session *session, int rung) {
    const double beta = session->ladder.beta[rung], given = session->config.temperatures.value[rung];
    return beta == FRX_BETA_OF_KELVIN(given) ? given : FRX_KELVIN_OF_BETA(beta);
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
    if (session->engine_class->memory == FRX_MEMORY_DEVICE && session->devices.n_model > 1)
        fprintf(out,
                "  warning: GPUs of different models: results repeat bit for bit on GPUs of one model only, "
                "and the slowest one sets the pace\n");
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
    if (session->engine_class->memory == FRX_MEMORY_DEVICE)
        fprintf(out, "  GPUs      %s%s\n", session->devices.text,
                session->devices.is_shared ? ", shared" : "");
    fprintf(out, "  length    %s steps of %g ps, %g ns for each replica\n",
            frx_number(config->n_timesteps, number), config->dt,
            frx_session_ns(session, config->n_timesteps));
    if (frx_session_exchanges(session) && kelvin->n > 1)
        fprintf(out, "  exchange  every %s steps, %s%s%s\n", frx_number(config->exchange_interval, number),
                frx_config_word(config, "exchange_scheme"),
                session->comm->size > 1 && config->move == FRX_MOVE_CONFIGURATIONS ? ", by " : "",
                session->comm->size > 1 && config->move == FRX_MOVE_CONFIGURATIONS ? session->transport->name
                                                                                   : "");
    if (config->adapt_ladder)
        fprintf(out, "  adapt     the ladder during the first %s steps, %g ns, which do not count\n",
                frx_number(frx_session_adapt_steps(session), number),
                frx_session_ns(session, frx_session_adapt_steps(session)));
    fprintf(out, "  output    %s", config->output);
    if (config->save_interval)
        fprintf(out, ", a frame every %s steps", frx_number(config->save_interval, number));
    fputc('\n', out);
    warn(session, out);
}
