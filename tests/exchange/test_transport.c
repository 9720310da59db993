/* Configurations go where the permutation says, whole, between any ranks. */
#include "check.h"
#include "gpus.h"
#include "ladder.h"
#include "make_system.h"
#include "rng.h"
#include "transport.h"
#include FRX_TEST_ENGINE_HEADER

#include <stdlib.h>
#include <string.h>

enum { N_BEAD = 3, N_DOF = 3 * N_BEAD, MAX_SLOT = 13 };

static struct frx_comm comm;
static struct frx_system system_of_test;
static const struct frx_engine_class *const engine_class = &FRX_TEST_ENGINE;
static const struct frx_transport_class *transport_class;

static struct frx_engine *make_engine(int n_rep) {
    const struct frx_engine_options options = {.n_rep = n_rep,
                                               .precision = FRX_PRECISION_SINGLE,
                                               .timestep = 0.001,
                                               .friction = 1,
                                               .seed = 1,
                                               .device = test_gpu_of_rank(&comm)};
    struct frx_engine *engine = NULL;
    CHECK_OK(engine_class->create(&system_of_test, &options, &engine));
    return engine;
}

/* A number for every coordinate of every replica, exact in any precision. */
static double mark(uint32_t identity, int kind, int coordinate) {
    return (kind + 1) * 1000 + identity * 16 + coordinate;
}

static void set_marks(struct frx_engine *engine, int slot, uint32_t identity) {
    double x[N_DOF], v[N_DOF], f[N_DOF], energy = mark(identity, 3, 0);
    for (int a = 0; a < N_DOF; a++) {
        x[a] = mark(identity, 0, a);
        v[a] = mark(identity, 1, a);
        f[a] = mark(identity, 2, a);
    }
    const struct frx_state_view state = {x, v, f, &energy, &identity};
    CHECK_OK(engine_class->set_state(engine, slot, 1, &state));
}

static void check_marks(struct frx_engine *engine, int slot, uint32_t expected) {
    double x[N_DOF], v[N_DOF], f[N_DOF], energy;
    uint32_t identity;
    const struct frx_state_view state = {x, v, f, &energy, &identity};
    CHECK_OK(engine_class->get_state(engine, slot, 1, &state));
    CHECK(identity == expected, "replica %u in the place of %u", identity, expected);
    CHECK(energy == mark(expected, 3, 0), "energy %g of replica %u", energy, expected);
    for (int a = 0; a < N_DOF; a++)
        CHECK(x[a] == mark(expected, 0, a) && v[a] == mark(expected, 1, a) && f[a] == mark(expected, 2, a),
              "coordinate %d of replica %u: %g %g %g", a, expected, x[a], v[a], f[a]);
}

/* kind 0: nothing moves, 1: all go round by one, 2: reversed, else: at random */
static void make_permutation(int n, uint64_t kind, int *from) {
    for (int i = 0; i < n; i++) from[i] = kind == 1 ? (i + 1) % n : kind == 2 ? n - 1 - i : i;
    for (int i = n - 1; i > 0 && kind > 2; i--) {
        const int j =
            (int)frx_mulhi32(frx_rng_draw(9, FRX_RNG_TEST, 0, kind, (uint32_t)i).v[0], (uint32_t)i + 1);
        const int kept = from[i];
        from[i] = from[j];
        from[j] = kept;
    }
}

static void permutations(int n_slot) {
    int first, n;
    CHECK_OK(frx_slots_of_rank(n_slot, comm.size, comm.rank, &first, &n));
    struct frx_engine *engine = make_engine(n);
    struct frx_transport *transport = NULL;
    CHECK_OK(frx_transport_create(&comm, transport_class, engine_class, engine, n_slot, &transport));
    uint32_t expected[MAX_SLOT], next[MAX_SLOT];
    for (int g = 0; g < n_slot; g++) expected[g] = (uint32_t)g;
    for (int i = 0; i < n; i++) set_marks(engine, i, expected[first + i]);
    for (uint64_t kind = 0; kind < 60; kind++) {
        int from[MAX_SLOT];
        make_permutation(n_slot, kind, from);
        CHECK_OK(frx_transport_move(transport, from));
        for (int g = 0; g < n_slot; g++) next[g] = expected[from[g]];
        memcpy(expected, next, sizeof next);
        for (int i = 0; i < n; i++) check_marks(engine, i, expected[first + i]);
    }
    frx_transport_destroy(transport);
    engine_class->destroy(engine);
}

static void refusals(void) {
    struct frx_engine *engine = make_engine(1);
    struct frx_transport *transport = NULL;
    struct frx_engine_class elsewhere = *engine_class;
    elsewhere.memory = engine_class->memory == FRX_MEMORY_HOST ? FRX_MEMORY_DEVICE : FRX_MEMORY_HOST;
    elsewhere.name = "elsewhere";
    CHECK_FAILS(frx_transport_create(&comm, transport_class, &elsewhere, engine, comm.size, &transport),
                FRX_ERR_UNSUPPORTED, "cannot reach the buffers of engine elsewhere");
    CHECK_FAILS(frx_transport_create(&comm, transport_class, engine_class, engine, comm.size - 1, &transport),
                FRX_ERR_ARGUMENT, "ranks for");
    engine_class->destroy(engine);
    if (comm.size == 1) return;

    /* Another molecule on the last rank. */
    struct frx_system other = system_of_test;
    const struct frx_engine_options options = {.n_rep = 1,
                                               .precision = FRX_PRECISION_SINGLE,
                                               .timestep = 0.001,
                                               .friction = 1,
                                               .seed = 1,
                                               .device = test_gpu_of_rank(&comm)};
    if (comm.rank == comm.size - 1) other.n_bead--, other.prior->n_term--;
    CHECK_OK(engine_class->create(&other, &options, &engine));
    CHECK_FAILS(frx_transport_create(&comm, transport_class, engine_class, engine, comm.size, &transport),
                FRX_ERR_COMM, "on one rank and");
    if (comm.rank == comm.size - 1) other.prior->n_term++;
    engine_class->destroy(engine);
}

/* The last rank does not take part in a move: who waits for it gives up in time, and the GPUs can go on. */
static void silent_peer(void) {
    setenv("FRX_TRANSPORT_TIMEOUT", "2", 1);
    const int n_slot = 2 * comm.size;
    struct frx_engine *engine = make_engine(2);
    struct frx_transport *transport = NULL;
    CHECK_OK(frx_transport_create(&comm, transport_class, engine_class, engine, n_slot, &transport));
    int from[MAX_SLOT];
    make_permutation(n_slot, 1, from); /* all ranks need their neighbours */
    CHECK_OK(frx_transport_move(transport, from));
    if (comm.rank == comm.size - 2) { /* expects something of the last */
        CHECK_FAILS(frx_transport_move(transport, from), FRX_ERR_COMM, "within 2 s");
        CHECK_FAILS(frx_transport_move(transport, from), FRX_ERR_COMM, "failed before");
    } else if (comm.rank < comm.size - 2) {
        (void)!frx_transport_move(transport, from); /* small messages may leave all the same */
    }
    frx_transport_destroy(transport);
    for (int i = 0; i < 2; i++) set_marks(engine, i, (uint32_t)i); /* the GPU is free again */
    for (int i = 0; i < 2; i++) check_marks(engine, i, (uint32_t)i);
    engine_class->destroy(engine);
    unsetenv("FRX_TRANSPORT_TIMEOUT");
}

static void timeouts(void) {
    double seconds;
    CHECK_OK(frx_transport_timeout(&seconds));
    CHECK(seconds > 1, "%g s", seconds);
    setenv("FRX_TRANSPORT_TIMEOUT", "2.5", 1);
    CHECK_OK(frx_transport_timeout(&seconds));
    CHECK(seconds == 2.5, "%g s", seconds);
    static const char *const wrong[] = {"", "0", "-1", "nan", "inf", "2 s"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        setenv("FRX_TRANSPORT_TIMEOUT", wrong[i], 1);
        CHECK_FAILS(frx_transport_timeout(&seconds), FRX_ERR_ARGUMENT, "not a number of seconds");
    }
    unsetenv("FRX_TRANSPORT_TIMEOUT");
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    CHECK_OK(frx_comm_create(MPI_COMM_WORLD, &comm));
    struct frx_test_model model = frx_test_model_default();
    model.n_bead = N_BEAD;
    model.n_hidden = 0;
    model.priors = FRX_TEST_PRIORS_HARMONIC;
    frx_test_system_make(&model, &system_of_test);
    const int skipped = test_skips_gpu(engine_class);
    int n_tried = 0;
    for (int t = 0; frx_transports[t] && !skipped; t++) {
        transport_class = frx_transports[t];
        if (!test_transport_works(transport_class, engine_class, comm.size)) continue;
        if (comm.rank == 0) printf("transport %s\n", transport_class->name);
        for (int n_slot = comm.size; n_slot <= MAX_SLOT; n_slot++) permutations(n_slot);
        refusals();
        if (strcmp(transport_class->name, "nccl") == 0 && comm.size > 1) silent_peer();
        n_tried++;
    }
    CHECK(skipped || n_tried > 0, "no transport for engine %s", engine_class->name);
    timeouts();
    frx_system_clear(&system_of_test);
    frx_comm_destroy(&comm);
    MPI_Finalize();
    return frx_check_result() ? 1 : skipped ? FRX_TEST_SKIP : 0;
}
