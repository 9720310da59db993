#include "exchange.h"

#include "rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What a rank puts into a gather: status, flags, then one number per slot. */
enum { RECORD_STATUS, RECORD_FLAGS, RECORD_NUMBERS };

struct frx_exchange {
    const struct frx_comm *comm;
    const struct frx_ladder *ladder;
    const struct frx_engine_class *engine_class;
    struct frx_engine *engine;
    enum frx_scheme scheme;
    enum frx_move move;
    uint64_t seed;
    struct frx_transport *transport; /* NULL with move: temperatures */
    struct frx_statistics statistics;

    struct frx_exchange_view view;                                    /* of these: */
    int *rung_of_slot, *slot_of_place;                                /* [n_slot] */
    uint32_t *identity_of_slot, *identity_of_place, *energy_identity; /* [n_slot] */
    double *energy;                                                   /* [n_slot] */
    struct frx_swap *swap;                                            /* [n_ladder] */
    int *from, *n_attempt, *n_accept;                                 /* [n_slot], in swap */
    double *probability;                                              /* [n_slot], in swap */

    int *origin, *old_slot_of_place;         /* [n_slot] */
    double *beta, *velocity_scale, *of_slot; /* [n_slot] */
    int n_record;
    double *record, *all_records; /* [n_record], [size][n_record] */
};

static enum frx_status allocate(struct frx_exchange *x) {
    const size_t n_slot = (size_t)x->view.n_slot, n_record = (size_t)x->n_record;
    int **ints[] = {&x->rung_of_slot, &x->slot_of_place,    &x->from, &x->n_attempt, &x->n_accept,
                    &x->origin,       &x->old_slot_of_place};
    uint32_t **identities[] = {&x->identity_of_slot, &x->identity_of_place, &x->energy_identity};
    double **reals[] = {&x->energy, &x->probability, &x->beta, &x->velocity_scale, &x->of_slot};
    int complete = 1;
    for (size_t i = 0; i < sizeof ints / sizeof ints[0]; i++)
        complete &= (*ints[i] = calloc(n_slot, sizeof(int))) != NULL;
    for (size_t i = 0; i < sizeof identities / sizeof identities[0]; i++)
        complete &= (*identities[i] = calloc(n_slot, sizeof(uint32_t))) != NULL;
    for (size_t i = 0; i < sizeof reals / sizeof reals[0]; i++)
        complete &= (*reals[i] = calloc(n_slot, sizeof(double))) != NULL;
    x->swap = calloc((size_t)x->view.n_ladder, sizeof *x->swap);
    x->record = calloc(n_record, sizeof *x->record);
    x->all_records = calloc((size_t)x->comm->size * n_record, sizeof *x->all_records);
    if (!complete || !x->swap || !x->record || !x->all_records)
        return FRX_FAIL(FRX_ERR_MEMORY, "no memory for the exchange of %d replicas", x->view.n_slot);
    for (int l = 0; l < x->view.n_ladder; l++) {
        const int place = l * x->view.n_rung;
        x->swap[l] = (struct frx_swap){.from = x->from + place,
                                       .probability = x->probability + place,
                                       .n_attempt = x->n_attempt + place,
                                       .n_accept = x->n_accept + place};
    }
    x->view.rung_of_slot = x->rung_of_slot;
    x->view.slot_of_place = x->slot_of_place;
    x->view.identity_of_slot = x->identity_of_slot;
    x->view.identity_of_place = x->identity_of_place;
    x->view.energy = x->energy;
    x->view.energy_identity = x->energy_identity;
    x->view.swap = x->swap;
    return frx_statistics_create(x->view.n_ladder, x->view.n_rung, &x->statistics);
}

/* Tell everybody this rank's status, flags and the numbers of its slots (in x->record), and learn everybody
 * else's: of_slot [n_slot]. Fails everywhere if it fails anywhere. */
static enum frx_status gather(struct frx_exchange *x, enum frx_status status, uint32_t *flags,
                              double *of_slot) {
    const int size = x->comm->size;
    x->record[RECORD_STATUS] = status;
    x->record[RECORD_FLAGS] = flags ? *flags : 0;
    FRX_MPI(MPI_Allgather(x->record, x->n_record, MPI_DOUBLE, x->all_records, x->n_record, MPI_DOUBLE,
                          x->comm->mpi));
    int failed = 0;
    for (int p = 0; p < size; p++) {
        const double *record = x->all_records + (size_t)p * (size_t)x->n_record;
        int first, n;
        FRX_TRY(frx_slots_of_rank(x->view.n_slot, size, p, &first, &n));
        failed |= record[RECORD_STATUS] != FRX_OK;
        if (flags) *flags |= (uint32_t)record[RECORD_FLAGS];
        memcpy(of_slot + first, record + RECORD_NUMBERS, (size_t)n * sizeof *of_slot);
    }
    return failed ? frx_agree(x->comm, status) : FRX_OK;
}

static enum frx_status place_rungs(struct frx_exchange *x, const int *rung_of_slot) {
    const int n_rung = x->view.n_rung;
    for (int place = 0; place < x->view.n_slot; place++) x->slot_of_place[place] = -1;
    for (int slot = 0; slot < x->view.n_slot; slot++) {
        const int rung = rung_of_slot ? rung_of_slot[slot] : slot % n_rung;
        const int place = slot / n_rung * n_rung + rung;
        if (rung < 0 || rung >= n_rung || x->slot_of_place[place] >= 0)
            return FRX_FAIL(FRX_ERR_ARGUMENT, "slot %d cannot be at rung %d: out of range 0..%d or taken",
                            slot, rung, n_rung - 1);
        if (x->move == FRX_MOVE_CONFIGURATIONS && place != slot)
            return FRX_FAIL(FRX_ERR_ARGUMENT, "slot %d is at rung %d: temperatures do not move here", slot,
                            rung);
        x->rung_of_slot[slot] = rung;
        x->slot_of_place[place] = slot;
    }
    return FRX_OK;
}

/* Ask all engines who is in which slot. */
static enum frx_status place_identities(struct frx_exchange *x) {
    const int n_rung = x->view.n_rung, n_local = x->view.n_local;
    uint32_t *identity = x->identity_of_slot + x->view.first_slot;
    const struct frx_state_view view = {.identity = identity};
    const enum frx_status status = x->engine_class->get_state(x->engine, 0, n_local, &view);
    for (int i = 0; i < n_local; i++) x->record[RECORD_NUMBERS + i] = identity[i];
    FRX_TRY(gather(x, status, NULL, x->of_slot));
    for (int slot = 0; slot < x->view.n_slot; slot++) {
        x->identity_of_slot[slot] = (uint32_t)x->of_slot[slot];
        int same = 0;
        for (int other = slot / n_rung * n_rung; other < slot; other++)
            same |= x->identity_of_slot[other] == x->identity_of_slot[slot];
        if (same || x->identity_of_slot[slot] / (uint32_t)n_rung != (uint32_t)(slot / n_rung))
            return FRX_FAIL(FRX_ERR_ARGUMENT, "slot %d has identity %u: taken, or not of ladder %d", slot,
                            x->identity_of_slot[slot], slot / n_rung);
        x->identity_of_place[slot / n_rung * n_rung + x->rung_of_slot[slot]] = x->identity_of_slot[slot];
    }
    return FRX_OK;
}

/* Give the engine the temperatures of its slots. */
static enum frx_status set_temperatures(struct frx_exchange *x, const double *velocity_scale) {
    const int first = x->view.first_slot;
    for (int i = first; i < first + x->view.n_local; i++) x->beta[i] = x->ladder->beta[x->rung_of_slot[i]];
    return x->engine_class->set_temperatures(x->engine, x->beta + first,
                                             velocity_scale ? velocity_scale + first : NULL);
}

static enum frx_status start(struct frx_exchange *x, const struct frx_exchange_options *options) {
    FRX_TRY(frx_agree(x->comm, allocate(x)));
    FRX_TRY(place_rungs(x, options->rung_of_slot));
    FRX_TRY(place_identities(x));
    for (int place = 0; place < x->view.n_slot; place++) x->energy[place] = NAN;
    memcpy(x->energy_identity, x->identity_of_place, (size_t)x->view.n_slot * sizeof *x->energy_identity);
    if (x->move == FRX_MOVE_CONFIGURATIONS)
        FRX_TRY(frx_transport_create(x->comm, options->transport, x->engine_class, x->engine, x->view.n_slot,
                                     &x->transport));
    return frx_agree(x->comm, set_temperatures(x, NULL));
}

enum frx_status frx_exchange_create(const struct frx_comm *comm, const struct frx_ladder *ladder,
                                    const struct frx_engine_class *engine_class, struct frx_engine *engine,
                                    const struct frx_exchange_options *options,
                                    struct frx_exchange **exchange) {
    *exchange = NULL;
    const int n_slot = frx_ladder_n_slot(ladder);
    int first, n_local;
    FRX_TRY(frx_slots_of_rank(n_slot, comm->size, comm->rank, &first, &n_local));
    if (options->seed > FRX_SEED_MAX)
        return FRX_FAIL(FRX_ERR_ARGUMENT, "seed %llu is above %llu", (unsigned long long)options->seed,
                        (unsigned long long)FRX_SEED_MAX);
    struct frx_exchange *x = calloc(1, sizeof *x);
    FRX_TRY(frx_agree(comm, x ? FRX_OK : FRX_FAIL(FRX_ERR_MEMORY, "no memory for an exchange")));
    x->comm = comm;
    x->ladder = ladder;
    x->engine_class = engine_class;
    x->engine = engine;
    x->scheme = options->scheme;
    x->move = options->move;
    x->seed = options->seed;
    x->view = (struct frx_exchange_view){.n_ladder = ladder->n_ladder,
                                         .n_rung = ladder->n_rung,
                                         .n_slot = n_slot,
                                         .first_slot = first,
                                         .n_local = n_local};
    x->n_record = RECORD_NUMBERS + (n_slot + comm->size - 1) / comm->size;
    const enum frx_status status = start(x, options);
    if (status == FRX_OK)
        *exchange = x;
    else
        frx_exchange_destroy(x);
    return status;
}

void frx_exchange_destroy(struct frx_exchange *x) {
    if (!x) return;
    frx_transport_destroy(x->transport);
    frx_statistics_clear(&x->statistics);
    void *arrays[] = {x->rung_of_slot,
                      x->slot_of_place,
                      x->identity_of_slot,
                      x->identity_of_place,
                      x->energy_identity,
                      x->energy,
                      x->swap,
                      x->from,
                      x->n_attempt,
                      x->n_accept,
                      x->probability,
                      x->origin,
                      x->old_slot_of_place,
                      x->beta,
                      x->velocity_scale,
                      x->of_slot,
                      x->record,
                      x->all_records};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++) free(arrays[i]);
    free(x);
}

/* Carry out the decisions on the books. */
static void rearrange(struct frx_exchange *x) {
    const int n_rung = x->view.n_rung;
    const double *beta = x->ladder->beta;
    memcpy(x->old_slot_of_place, x->slot_of_place, (size_t)x->view.n_slot * sizeof *x->slot_of_place);
    for (int place = 0; place < x->view.n_slot; place++) {
        const int ladder = place / n_rung, rung = place % n_rung, old_rung = x->swap[ladder].from[rung];
        const int origin = ladder * n_rung + old_rung;
        x->origin[place] = origin;
        if (x->move == FRX_MOVE_TEMPERATURES) {
            x->slot_of_place[place] = x->old_slot_of_place[origin];
            x->rung_of_slot[x->slot_of_place[place]] = rung;
        }
        const int slot = x->slot_of_place[place];
        x->identity_of_place[place] = x->energy_identity[origin];
        x->identity_of_slot[slot] = x->identity_of_place[place];
        x->velocity_scale[slot] = sqrt(beta[old_rung] / beta[rung]);
    }
}

/* Carry out the decisions in the engine. */
static enum frx_status move(struct frx_exchange *x) {
    if (x->move == FRX_MOVE_CONFIGURATIONS) FRX_TRY(frx_transport_move(x->transport, x->origin));
    return set_temperatures(x, x->velocity_scale);
}

enum frx_status frx_exchange_attempt(struct frx_exchange *x, enum frx_status status, int64_t event,
                                     uint32_t *flags) {
    const int n_rung = x->view.n_rung;
    if (status == FRX_OK) status = x->engine_class->energies(x->engine, x->record + RECORD_NUMBERS);
    FRX_TRY(gather(x, status, flags, x->of_slot));
    for (int place = 0; place < x->view.n_slot; place++) {
        x->energy[place] = x->of_slot[x->slot_of_place[place]];
        x->energy_identity[place] = x->identity_of_place[place];
    }
    for (int l = 0; l < x->view.n_ladder; l++)
        frx_swap_decide(x->scheme, x->seed, l, event, n_rung, x->ladder->beta, x->energy + l * n_rung,
                        &x->swap[l]);
    rearrange(x);
    frx_statistics_update(&x->statistics, x->swap, x->identity_of_place);
    return frx_agree(x->comm, move(x));
}

const struct frx_exchange_view *frx_exchange_look(const struct frx_exchange *x) {
    return &x->view;
}

struct frx_statistics *frx_exchange_statistics(struct frx_exchange *x) {
    return &x->statistics;
}
