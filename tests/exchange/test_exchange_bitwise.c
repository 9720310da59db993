/* The same run on any number of ranks, with either move, any transport and in two pieces, to the last bit. */
#include "check.h"
#include "gpus.h"
#include "replicas.h"
#include FRX_TEST_ENGINE_HEADER

#include <stdlib.h>
#include <string.h>

enum { N_LADDER = 3, N_RUNG = 5, N_SLOT = N_LADDER * N_RUNG, N_EVENT = 60 };

static int world_rank, world_size;

static MPI_Comm first_ranks(int size) {
    MPI_Comm some;
    MPI_Comm_split(MPI_COMM_WORLD, world_rank < size ? 0 : MPI_UNDEFINED, 0, &some);
    return some;
}

/* FNV-1a, 64 bits */
static uint64_t digest(uint64_t hash, const void *data, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) hash = (hash ^ ((const unsigned char *)data)[i]) * 0x100000001b3u;
    return hash;
}

struct digests {
    uint64_t decisions; /* energies, permutations and identities of all events, by place */
    uint64_t states;    /* final positions, velocities, forces, energies, by identity */
    uint64_t sums;      /* statistics */
    int64_t n_accept;
};

static uint64_t digest_of_event(uint64_t hash, const struct frx_exchange_view *view) {
    hash = digest(hash, view->energy, N_SLOT * sizeof *view->energy);
    hash = digest(hash, view->energy_identity, N_SLOT * sizeof *view->energy_identity);
    hash = digest(hash, view->identity_of_place, N_SLOT * sizeof *view->identity_of_place);
    for (int l = 0; l < N_LADDER; l++) hash = digest(hash, view->swap[l].from, N_RUNG * sizeof(int));
    return hash;
}

/* A sum over replicas, so that it does not matter where they are. */
static uint64_t digest_of_states(struct replicas *run) {
    uint64_t sum = 0, total;
    for (int i = 0; i < run->n_local; i++) {
        struct {
            double x[REPLICAS_N_DOF], v[REPLICAS_N_DOF], f[REPLICAS_N_DOF], energy;
            uint64_t identity;
        } replica;
        uint32_t identity;
        const struct frx_state_view view = {replica.x, replica.v, replica.f, &replica.energy, &identity};
        CHECK_OK(run->engine_class->get_state(run->engine, i, 1, &view));
        replica.identity = identity;
        sum += digest(0xcbf29ce484222325u, &replica, sizeof replica);
    }
    MPI_Allreduce(&sum, &total, 1, MPI_UINT64_T, MPI_SUM, run->comm.mpi);
    return total;
}

static uint64_t digest_of_statistics(const struct frx_statistics *s) {
    const size_t n_pair = N_LADDER * (N_RUNG - 1);
    uint64_t hash = digest(1, s->probability_sum, n_pair * sizeof *s->probability_sum);
    hash = digest(hash, s->n_accept, n_pair * sizeof *s->n_accept);
    hash = digest(hash, s->n_up, N_SLOT * sizeof *s->n_up);
    hash = digest(hash, s->n_restart, N_SLOT * sizeof *s->n_restart);
    return digest(hash, s->residence, N_SLOT * N_RUNG * sizeof *s->residence);
}

/* What the engine thinks is where must be what the exchange thinks. */
static void check_books(struct replicas *run) {
    const struct frx_exchange_view *view = frx_exchange_look(run->exchange);
    CHECK(view->n_local == run->n_local, "%d slots", view->n_local);
    for (int i = 0; i < run->n_local; i++) {
        const int slot = view->first_slot + i, rung = view->rung_of_slot[slot];
        const int place = slot / N_RUNG * N_RUNG + rung;
        uint32_t identity;
        const struct frx_state_view state = {.identity = &identity};
        CHECK_OK(run->engine_class->get_state(run->engine, i, 1, &state));
        CHECK(identity == view->identity_of_slot[slot] && identity == view->identity_of_place[place] &&
                  view->slot_of_place[place] == slot,
              "slot %d: replica %u, on the books %u", slot, identity, view->identity_of_slot[slot]);
    }
}

/* The decisions are those of swap.h for this seed, ladder, event and these energies. */
static void check_decisions(const struct replicas *run, const struct replicas_plan *plan, int event) {
    const struct frx_exchange_view *view = frx_exchange_look(run->exchange);
    for (int l = 0; l < N_LADDER; l++) {
        int from[N_RUNG], n_attempt[N_RUNG], n_accept[N_RUNG];
        double probability[N_RUNG];
        struct frx_swap swap = {from, probability, n_attempt, n_accept};
        frx_swap_decide(plan->options.scheme, plan->options.seed, l, event, N_RUNG, run->ladder.beta,
                        view->energy + l * N_RUNG, &swap);
        CHECK(memcmp(from, view->swap[l].from, sizeof from) == 0, "event %d, ladder %d", event, l);
        for (int k = 0; k < N_RUNG; k++)
            CHECK(view->identity_of_place[l * N_RUNG + k] == view->energy_identity[l * N_RUNG + from[k]],
                  "event %d, ladder %d, rung %d", event, l, k);
    }
}

/* What a comparison is made with, and how much of it. */
struct kind {
    const char *name;
    int with_network;
    enum frx_precision precision;
    int n_scheme, n_event;
};

static struct digests run_digests(struct kind kind, int size, enum frx_scheme scheme, enum frx_move move,
                                  const struct frx_transport_class *transport, uint64_t seed) {
    struct digests result = {0};
    MPI_Comm some = first_ranks(size);
    if (some == MPI_COMM_NULL) return result;
    const struct replicas_plan plan = {
        .parent = some,
        .engine_class = &FRX_TEST_ENGINE,
        .n_ladder = N_LADDER,
        .n_rung = N_RUNG,
        .with_network = kind.with_network,
        .precision = kind.precision,
        .options = {.scheme = scheme, .move = move, .seed = seed, .transport = transport}};
    struct replicas run;
    CHECK_OK(replicas_start(&plan, &run));
    for (int e = 0; e < kind.n_event && run.exchange; e++) {
        CHECK_OK(replicas_advance(&run, e, e));
        if (e % 3 == 1) continue; /* nobody has to look */
        result.decisions = digest_of_event(result.decisions, frx_exchange_look(run.exchange));
        check_books(&run);
        check_decisions(&run, &plan, e);
    }
    if (run.exchange) {
        const struct frx_statistics *statistics = frx_exchange_statistics(run.exchange);
        result.states = digest_of_states(&run);
        result.sums = digest_of_statistics(statistics);
        for (int p = 0; p < N_LADDER * (N_RUNG - 1); p++) result.n_accept += statistics->n_accept[p];
    }
    replicas_clear(&run);
    MPI_Comm_free(&some);
    return result;
}

/* Rank 0 compares; it is part of every run. Other ranks' books are compared among themselves by their sum. */
static void same_everywhere(struct kind kind) {
    static const enum frx_scheme schemes[] = {FRX_SCHEME_EVEN_ODD, FRX_SCHEME_STOCHASTIC_EVEN_ODD,
                                              FRX_SCHEME_GIBBS};
    uint64_t decisions[3];
    for (int s = 0; s < kind.n_scheme; s++) {
        struct digests reference = run_digests(kind, 1, schemes[s], FRX_MOVE_CONFIGURATIONS,
                                               test_transport(&FRX_TEST_ENGINE, 1, 0), 5);
        MPI_Bcast(&reference, sizeof reference, MPI_BYTE, 0, MPI_COMM_WORLD);
        decisions[s] = reference.decisions;
        CHECK(reference.n_accept > kind.n_event, "only %d swaps", (int)reference.n_accept);
        for (int size = 1; size <= world_size; size++)
            for (int t = 0, last = 0; !last; t++) { /* every transport, then temperatures */
                const struct frx_transport_class *transport = test_transport(&FRX_TEST_ENGINE, size, t);
                last = !transport;
                const struct digests d =
                    run_digests(kind, size, schemes[s],
                                transport ? FRX_MOVE_CONFIGURATIONS : FRX_MOVE_TEMPERATURES, transport, 5);
                CHECK(world_rank >= size || memcmp(&d, &reference, sizeof d) == 0,
                      "%s, scheme %d, %d ranks, by %s differs: decisions %d, states %d, statistics %d",
                      kind.name, s, size, transport ? transport->name : "temperatures",
                      d.decisions != reference.decisions, d.states != reference.states,
                      d.sums != reference.sums);
            }
    }
    for (int s = 1; s < kind.n_scheme; s++) CHECK(decisions[s] != decisions[s - 1], "schemes differ");
    const struct digests other = run_digests(kind, world_size, FRX_SCHEME_EVEN_ODD, FRX_MOVE_CONFIGURATIONS,
                                             test_transport(&FRX_TEST_ENGINE, world_size, 0), 6);
    CHECK(other.decisions != decisions[0], "seeds differ");
}

/* A run with move: temperatures goes on where it stopped. */
static void continuation(enum frx_precision precision) {
    const struct replicas_plan plan = {.parent = MPI_COMM_WORLD,
                                       .engine_class = &FRX_TEST_ENGINE,
                                       .n_ladder = N_LADDER,
                                       .n_rung = N_RUNG,
                                       .precision = precision,
                                       .options = {.move = FRX_MOVE_TEMPERATURES, .seed = 5}};
    struct replicas run;
    CHECK_OK(replicas_start(&plan, &run));
    uint64_t whole = 0, halves = 0;
    for (int e = 0; e < N_EVENT; e++) {
        CHECK_OK(replicas_advance(&run, e, e));
        whole = digest_of_event(whole, frx_exchange_look(run.exchange));
    }
    replicas_clear(&run);

    CHECK_OK(replicas_start(&plan, &run));
    for (int e = 0; e < N_EVENT; e++) {
        if (e == N_EVENT / 2) {
            int rung_of_slot[N_SLOT];
            memcpy(rung_of_slot, frx_exchange_look(run.exchange)->rung_of_slot, sizeof rung_of_slot);
            frx_exchange_destroy(run.exchange);
            struct frx_exchange_options options = plan.options;
            options.rung_of_slot = rung_of_slot;
            CHECK_OK(frx_exchange_create(&run.comm, &run.ladder, run.engine_class, run.engine, &options,
                                         &run.exchange));
        }
        CHECK_OK(replicas_advance(&run, e, e));
        halves = digest_of_event(halves, frx_exchange_look(run.exchange));
    }
    replicas_clear(&run);
    CHECK(whole == halves, "a new exchange over the same replicas goes on differently");
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &world_rank);
    MPI_Comm_size(MPI_COMM_WORLD, &world_size);
    const int skipped = test_skips_gpu(&FRX_TEST_ENGINE);
    if (!skipped) {
        same_everywhere((struct kind){"oscillators", 0, FRX_TEST_PRECISION, 3, N_EVENT});
#ifdef FRX_TEST_NETWORK
        same_everywhere((struct kind){"network", 1, FRX_TEST_PRECISION, 1, 12});
        same_everywhere((struct kind){"another precision", 1, FRX_TEST_OTHER_PRECISION, 1, 12});
#endif
        continuation(FRX_TEST_PRECISION);
    }
    MPI_Finalize();
    return skipped ? FRX_TEST_SKIP : frx_check_result();
}
