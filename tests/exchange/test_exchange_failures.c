/* What fails on one rank fails on all, with the same code and words, and nobody hangs. */
#include "check.h"
#include "harmonic_engine.h"
#include "replicas.h"

#include <stdlib.h>
#include <string.h>

enum { N_LADDER = 3, N_RUNG = 5, N_SLOT = N_LADDER * N_RUNG };

static int world_rank, world_size;

enum stage { CREATE, PROPAGATE, GET_STATE, PACK, UNPACK, SET_TEMPERATURES, TRANSPORT, N_STAGE };

static const struct frx_engine_class *const sound = &frx_harmonic_engine;
static enum stage failing_stage;
static int failing; /* this rank, now */

/* All ranks together, each with some of the slots. */
static struct replicas_plan plan_with(const struct frx_engine_class *engine_class) {
    return (struct replicas_plan){.parent = MPI_COMM_WORLD,
                                  .engine_class = engine_class,
                                  .n_ladder = N_LADDER,
                                  .n_rung = N_RUNG,
                                  .options = {.seed = 5}};
}

static enum frx_status fault(enum stage stage) {
    if (!failing || stage != failing_stage) return FRX_OK;
    return FRX_FAIL(FRX_ERR_DEVICE, "stage %d broke on %d", (int)stage, world_rank);
}

static enum frx_status bad_create(const struct frx_system *system, const struct frx_engine_options *options,
                                  struct frx_engine **engine) {
    FRX_TRY(fault(CREATE));
    return sound->create(system, options, engine);
}

static enum frx_status bad_propagate(struct frx_engine *engine, int64_t step, int n_step) {
    FRX_TRY(sound->propagate(engine, step, n_step));
    return fault(PROPAGATE);
}

static enum frx_status bad_get_state(struct frx_engine *engine, int first, int n,
                                     const struct frx_state_view *state) {
    FRX_TRY(fault(GET_STATE));
    return sound->get_state(engine, first, n, state);
}

static enum frx_status bad_pack(struct frx_engine *engine, int n, const int *slot) {
    FRX_TRY(fault(PACK));
    return sound->pack(engine, n, slot);
}

static enum frx_status bad_unpack(struct frx_engine *engine, int n, const int *slot) {
    FRX_TRY(fault(UNPACK));
    return sound->unpack(engine, n, slot);
}

static enum frx_status bad_set_temperatures(struct frx_engine *engine, const double *beta,
                                            const double *velocity_scale) {
    FRX_TRY(fault(SET_TEMPERATURES));
    return sound->set_temperatures(engine, beta, velocity_scale);
}

static enum frx_status bad_transport(struct frx_engine *engine, size_t *packed_bytes, void **send_buffer,
                                     void **receive_buffer, void **stream) {
    FRX_TRY(fault(TRANSPORT));
    return sound->transport(engine, packed_bytes, send_buffer, receive_buffer, stream);
}

static struct frx_engine_class breakable(void) {
    struct frx_engine_class class = *sound;
    class.create = bad_create;
    class.propagate = bad_propagate;
    class.get_state = bad_get_state;
    class.pack = bad_pack;
    class.unpack = bad_unpack;
    class.set_temperatures = bad_set_temperatures;
    class.transport = bad_transport;
    return class;
}

/* All ranks return this failure of rank `first`. */
static void check_agreed(enum frx_status status, enum frx_status expected, int first, const char *words) {
    char message[FRX_MESSAGE_SIZE], prefix[32] = "";
    if (world_size > 1) snprintf(prefix, sizeof prefix, "rank %d: ", first);
    CHECK_FAILS(status, expected, words);
    CHECK(strncmp(frx_error_message(), prefix, strlen(prefix)) == 0, "%s", frx_error_message());
    snprintf(message, sizeof message, "%s", frx_error_message());
    MPI_Bcast(message, sizeof message, MPI_BYTE, 0, MPI_COMM_WORLD);
    CHECK(strcmp(message, frx_error_message()) == 0, "\"%s\", but rank 0 says \"%s\"", frx_error_message(),
          message);
}

/* Stages of one event or of the start fail on one rank, or on it and all above. */
static void broken_engines(void) {
    static const struct {
        enum stage stage;
        int at_start;
    } cases[] = {{CREATE, 1},    {GET_STATE, 1}, {TRANSPORT, 1}, {SET_TEMPERATURES, 1}, {PROPAGATE, 0},
                 {GET_STATE, 0}, {PACK, 0},      {UNPACK, 0},    {SET_TEMPERATURES, 0}};
    const struct frx_engine_class engine_class = breakable();
    const struct replicas_plan plan = plan_with(&engine_class);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int first = 0; first < world_size; first++)
            for (int others = 0; others < 2; others++) {
                const int chosen = others ? world_rank >= first : world_rank == first;
                char words[64];
                failing_stage = cases[i].stage;
                failing = chosen && cases[i].at_start;
                snprintf(words, sizeof words, "stage %d broke on %d", (int)failing_stage, first);
                struct replicas run;
                enum frx_status status = replicas_start(&plan, &run);
                for (int e = 0; e < 4 && !cases[i].at_start && status == FRX_OK; e++) {
                    failing = chosen && e == 3;
                    status = replicas_advance(&run, e, e);
                    CHECK(status == FRX_OK || e == 3, "event %d", e);
                }
                check_agreed(status, FRX_ERR_DEVICE, first, words);
                failing = 0;
                replicas_clear(&run);
            }
}

/* Configurations that never arrive, though everybody says that all is well. */
static int n_lost;

static enum frx_status losing_unpack(struct frx_engine *engine, int n, const int *slot) {
    if (!failing || n == 0) return sound->unpack(engine, n, slot);
    n_lost += n;
    return FRX_OK;
}

/* The next event tells, on all ranks, before anything of it moves. */
static void lost_configurations(void) {
    struct frx_engine_class engine_class = *sound;
    engine_class.unpack = losing_unpack;
    const struct replicas_plan plan = plan_with(&engine_class);
    for (int loser = 0; loser < world_size; loser++) {
        struct replicas run;
        CHECK_OK(replicas_start(&plan, &run));
        n_lost = failing = 0;
        for (int e = 0; e < 4; e++) CHECK_OK(replicas_advance(&run, e, e));
        int lost = 0, e = 4;
        failing = world_rank == loser;
        for (; !lost && e < 20; e++) {
            CHECK_OK(replicas_advance(&run, e, e));
            MPI_Allreduce(&n_lost, &lost, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
        }
        failing = 0;
        CHECK(lost > 0, "nothing was sent to rank %d", loser);
        check_agreed(replicas_advance(&run, e, e), FRX_ERR_COMM, loser, "lost a configuration");
        replicas_clear(&run);
    }
}

/* A GPU is waited for once in an event, although the check above asks it who is where. */
static int n_wait;

static enum frx_status counted_get_state(struct frx_engine *engine, int first, int n,
                                         const struct frx_state_view *state) {
    n_wait++;
    return sound->get_state(engine, first, n, state);
}

static enum frx_status counted_energies(struct frx_engine *engine, double *energy) {
    n_wait++;
    return sound->energies(engine, energy);
}

static void one_wait(void) {
    struct frx_engine_class engine_class = *sound;
    engine_class.get_state = counted_get_state;
    engine_class.energies = counted_energies;
    const struct replicas_plan plan = plan_with(&engine_class);
    struct replicas run;
    CHECK_OK(replicas_start(&plan, &run));
    n_wait = 0;
    for (int e = 0; e < 10; e++) CHECK_OK(replicas_advance(&run, e, e));
    CHECK(n_wait == 10, "10 events waited for the engine %d times", n_wait);
    replicas_clear(&run);
}

/* A replica whose energy is not finite stays where it is; the others go on. */
static enum frx_status nan_energy(struct frx_engine *engine, int first, int n,
                                  const struct frx_state_view *state) {
    FRX_TRY(sound->get_state(engine, first, n, state));
    if (state->energy && world_rank == world_size - 1) state->energy[0] = NAN;
    return FRX_OK;
}

static void energy_not_finite(void) {
    struct frx_engine_class engine_class = *sound;
    engine_class.get_state = nan_energy;
    const struct replicas_plan plan = plan_with(&engine_class);
    struct replicas run;
    CHECK_OK(replicas_start(&plan, &run));
    int slot, n;
    CHECK_OK(frx_slots_of_rank(N_SLOT, world_size, world_size - 1, &slot, &n));
    for (int e = 0; e < 20; e++) {
        CHECK_OK(replicas_advance(&run, e, e));
        CHECK(frx_exchange_look(run.exchange)->identity_of_slot[slot] == (uint32_t)slot, "slot %d moved",
              slot);
    }
    const struct frx_statistics *statistics = frx_exchange_statistics(run.exchange);
    int64_t n_accept = 0;
    for (int p = 0; p < N_LADDER * (N_RUNG - 1); p++) n_accept += statistics->n_accept[p];
    CHECK(n_accept > 20, "the others swap: %d", (int)n_accept);
    replicas_clear(&run);
}

/* Flags of all ranks are or-ed, also in an event that fails. */
static void flags(void) {
    const struct replicas_plan plan = plan_with(sound);
    struct replicas run;
    CHECK_OK(replicas_start(&plan, &run));
    uint32_t flag = UINT32_C(1) << (8 * world_rank), all = 0;
    for (int r = 0; r < world_size; r++) all |= UINT32_C(1) << (8 * r);
    CHECK_OK(frx_exchange_attempt(run.exchange, FRX_OK, 0, &flag));
    CHECK(flag == all, "%08x", flag);
    flag = UINT32_C(2) << (8 * world_rank);
    const enum frx_status mine =
        world_rank == world_size - 1 ? FRX_FAIL(FRX_ERR_DIVERGED, "replica gone") : FRX_OK;
    check_agreed(frx_exchange_attempt(run.exchange, mine, 1, &flag), FRX_ERR_DIVERGED, world_size - 1,
                 "replica gone");
    CHECK(flag == all << 1, "%08x", flag);
    replicas_clear(&run);
}

/* Arguments that cannot be. */
static void refusals(void) {
    struct replicas_plan plan = {.parent = MPI_COMM_WORLD,
                                 .engine_class = sound,
                                 .n_ladder = 1,
                                 .n_rung = world_size - 1,
                                 .options = {.seed = 5}};
    struct replicas run;
    if (world_size > 1) {
        CHECK_FAILS(replicas_start(&plan, &run), FRX_ERR_ARGUMENT, "ranks for");
        replicas_clear(&run);
    }
    plan.n_ladder = N_LADDER;
    plan.n_rung = N_RUNG;
    int rung_of_slot[N_SLOT];
    for (int g = 0; g < N_SLOT; g++) rung_of_slot[g] = g % N_RUNG;
    rung_of_slot[1] = 0;
    plan.options.rung_of_slot = rung_of_slot;
    plan.options.move = FRX_MOVE_TEMPERATURES;
    CHECK_FAILS(replicas_start(&plan, &run), FRX_ERR_ARGUMENT, "slot 1 cannot be at rung 0");
    replicas_clear(&run);
    rung_of_slot[1] = N_RUNG;
    CHECK_FAILS(replicas_start(&plan, &run), FRX_ERR_ARGUMENT, "slot 1 cannot be at rung 5");
    replicas_clear(&run);
    rung_of_slot[0] = 1;
    rung_of_slot[1] = 0;
    CHECK_OK(replicas_start(&plan, &run));
    replicas_clear(&run);
    plan.options.move = FRX_MOVE_CONFIGURATIONS;
    CHECK_FAILS(replicas_start(&plan, &run), FRX_ERR_ARGUMENT, "temperatures do not move");
    replicas_clear(&run);
    plan.options.rung_of_slot = NULL;
    plan.options.seed = UINT64_MAX;
    CHECK_FAILS(replicas_start(&plan, &run), FRX_ERR_ARGUMENT, "seed");
    replicas_clear(&run);

    /* An engine whose identities were never set counts them from 0 on every rank. */
    plan.options.seed = 5;
    CHECK_OK(replicas_start(&plan, &run));
    frx_exchange_destroy(run.exchange);
    uint32_t identity = 0;
    const struct frx_state_view zero = {.identity = &identity};
    for (int i = 0; i < run.n_local; i++) CHECK_OK(sound->set_state(run.engine, i, 1, &zero));
    CHECK_FAILS(frx_exchange_create(&run.comm, &run.ladder, sound, run.engine, &plan.options, &run.exchange),
                FRX_ERR_ARGUMENT, "has identity 0: taken");
    replicas_clear(&run);
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &world_rank);
    MPI_Comm_size(MPI_COMM_WORLD, &world_size);
    broken_engines();
    lost_configurations();
    one_wait();
    energy_not_finite();
    flags();
    refusals();
    MPI_Finalize();
    return frx_check_result();
}
