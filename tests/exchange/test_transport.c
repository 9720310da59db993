/* Configurations go where the permutation says, whole, between any ranks. */
#include "check.h"
#include "harmonic_engine.h"
#include "ladder.h"
#include "make_system.h"
#include "rng.h"
#include "transport.h"

#include <stdlib.h>
#include <string.h>

enum { N_BEAD = 3, N_DOF = 3 * N_BEAD, MAX_SLOT = 13 };

static struct frx_comm comm;
static struct frx_system system_of_test;

static struct frx_engine *make_engine(int n_rep) {
    const struct frx_engine_options options = {.n_rep = n_rep, .timestep = 0.001, .friction = 1, .seed = 1};
    struct frx_engine *engine = NULL;
    CHECK_OK(frx_harmonic_engine.create(&system_of_test, &options, &engine));
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
    CHECK_OK(frx_harmonic_engine.set_state(engine, slot, 1, &state));
}

static void check_marks(struct frx_engine *engine, int slot, uint32_t expected) {
    double x[N_DOF], v[N_DOF], f[N_DOF], energy;
    uint32_t identity;
    const struct frx_state_view state = {x, v, f, &energy, &identity};
    CHECK_OK(frx_harmonic_engine.get_state(engine, slot, 1, &state));
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
    CHECK_OK(
        frx_transport_create(&comm, &frx_transport_mpi, &frx_harmonic_engine, engine, n_slot, &transport));
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
    frx_harmonic_engine.destroy(engine);
}

static void refusals(void) {
    struct frx_engine *engine = make_engine(1);
    struct frx_transport *transport = NULL;
    struct frx_engine_class on_device = frx_harmonic_engine;
    on_device.memory = FRX_MEMORY_DEVICE;
    on_device.name = "elsewhere";
    CHECK_FAILS(frx_transport_create(&comm, &frx_transport_mpi, &on_device, engine, comm.size, &transport),
                FRX_ERR_UNSUPPORTED, "transport MPI cannot reach the buffers of engine elsewhere");
    CHECK_FAILS(frx_transport_create(&comm, &frx_transport_mpi, &frx_harmonic_engine, engine, comm.size - 1,
                                     &transport),
                FRX_ERR_ARGUMENT, "ranks for");
    frx_harmonic_engine.destroy(engine);
    if (comm.size == 1) return;

    /* Another molecule on the last rank. */
    struct frx_system other = system_of_test;
    const struct frx_engine_options options = {.n_rep = 1, .timestep = 0.001, .friction = 1, .seed = 1};
    if (comm.rank == comm.size - 1) other.n_bead--, other.prior->n_term--;
    CHECK_OK(frx_harmonic_engine.create(&other, &options, &engine));
    CHECK_FAILS(
        frx_transport_create(&comm, &frx_transport_mpi, &frx_harmonic_engine, engine, comm.size, &transport),
        FRX_ERR_COMM, "on one rank and");
    if (comm.rank == comm.size - 1) other.prior->n_term++;
    frx_harmonic_engine.destroy(engine);
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    CHECK_OK(frx_comm_create(MPI_COMM_WORLD, &comm));
    struct frx_test_model model = frx_test_model_default();
    model.n_bead = N_BEAD;
    model.n_hidden = 0;
    model.priors = FRX_TEST_PRIORS_HARMONIC;
    frx_test_system_make(&model, &system_of_test);
    for (int n_slot = comm.size; n_slot <= MAX_SLOT; n_slot++) permutations(n_slot);
    refusals();
    frx_system_clear(&system_of_test);
    frx_comm_destroy(&comm);
    MPI_Finalize();
    return frx_check_result();
}
