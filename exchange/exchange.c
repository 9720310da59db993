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
    uint32_t *present;                /* [n_slot], of n_local: in the engine */
    double *energy;                   /* [n_slot] */
    struct frx_swap *swap;            /* [n_ladder] */
    int *from, *n_attempt, *n_accept; /* [n_slot], in swap */
    double *probability;              /* [n_slot], in swap */

    int first_ladder, end_ladder; /* those with slots of this rank */
    int64_t event;                /* the last one */
    struct frx_exchange_seconds seconds;
    int is_pending; /* its other ladders are not booked yet */

    int *origin, *old_slot_of_place;         /* [n_slot] */
    double *beta, *velocity_scale, *of_slot; /* [n_slot] */
    int n_record;
    double *record, *all_records; /* [n_record], [size][n_record] */
};

static enum frx_status allocate(struct frx_exchange *ex) {
    const size_t n_slot = (size_t)ex->view.n_slot, n_record = (size_t)ex->n_record;
    int **ints[] = {&ex->rung_of_slot, &ex->slot_of_place,    &ex->from, &ex->n_attempt, &ex->n_accept,
                    &ex->origin,       &ex->old_slot_of_place};
    uint32_t **identities[] = {&ex->identity_of_slot, &ex->identity_of_place, &ex->energy_identity,
                               &ex->present};
    double **reals[] = {&ex->energy, &ex->probability, &ex->beta, &ex->velocity_scale, &ex->of_slot};
    int complete = 1;
    for (size_t i = 0; i < sizeof ints / sizeof ints[0]; i++)
        complete &= (*ints[i] = calloc(n_slot, sizeof(int))) != NULL;
    for (size_t i = 0; i < sizeof identities / sizeof identities[0]; i++)
        complete &= (*identities[i] = calloc(n_slot, sizeof(uint32_t))) != NULL;
    for (size_t i = 0; i < sizeof reals / sizeof reals[0]; i++)
        complete &= (*reals[i] = calloc(n_slot, sizeof(double))) != NULL;
    ex->swap = calloc((size_t)ex->view.n_ladder, sizeof *ex->swap);
    ex->record = calloc(n_record, sizeof *ex->record);
    ex->all_records = calloc((size_t)ex->comm->size * n_record, sizeof *ex->all_records);
    if (!complete || !ex->swap || !ex->record || !ex->all_records)
        return FRX_FAIL(FRX_ERR_MEMORY, "no memory for the exchange of %d replicas", ex->view.n_slot);
    for (int l = 0; l < ex->view.n_ladder; l++) {
        const int place = l * ex->view.n_rung;
        ex->swap[l] = (struct frx_swap){.from = ex->from + place,
                                        .probability = ex->probability + place,
                                        .n_attempt = ex->n_attempt + place,
                                        .n_accept = ex->n_accept + place};
    }
    ex->view.rung_of_slot = ex->rung_of_slot;
    ex->view.slot_of_place = ex->slot_of_place;
    ex->view.identity_of_slot = ex->identity_of_slot;
    ex->view.identity_of_place = ex->identity_of_place;
    ex->view.energy = ex->energy;
    ex->view.energy_identity = ex->energy_identity;
    ex->view.swap = ex->swap;
    return frx_statistics_create(ex->view.n_ladder, ex->view.n_rung, &ex->statistics);
}

/* Tell everybody this rank's status, flags and the numbers of its slots (in ex->record), and learn everybody
 * else's: of_slot [n_slot]. Fails everywhere if it fails anywhere. */
static enum frx_status gather(struct frx_exchange *ex, enum frx_status status, uint32_t *flags,
                              double *of_slot) {
    const int size = ex->comm->size;
    ex->record[RECORD_STATUS] = status;
    ex->record[RECORD_FLAGS] = flags ? *flags : 0;
    FRX_MPI(MPI_Allgather(ex->record, ex->n_record, MPI_DOUBLE, ex->all_records, ex->n_record, MPI_DOUBLE,
                          ex->comm->mpi));
    int failed = 0;
    for (int p = 0; p < size; p++) {
        const double *record = ex->all_records + (size_t)p * (size_t)ex->n_record;
        int first, n;
        FRX_TRY(frx_slots_of_rank(ex->view.n_slot, size, p, &first, &n));
        failed |= record[RECORD_STATUS] != FRX_OK;
        if (flags) *flags |= (uint32_t)record[RECORD_FLAGS];
        memcpy(of_slot + first, record + RECORD_NUMBERS, (size_t)n * sizeof *of_slot);
    }
    return failed ? frx_agree(ex->comm, status) : FRX_OK;
}

static enum frx_status place_rungs(struct frx_exchange *ex, const int *rung_of_slot) {
    const int n_rung = ex->view.n_rung;
    for (int place = 0; place < ex->view.n_slot; place++) ex->slot_of_place[place] = -1;
    for (int slot = 0; slot < ex->view.n_slot; slot++) {
        const int rung = rung_of_slot ? rung_of_slot[slot] : slot % n_rung;
        const int place = slot / n_rung * n_rung + rung;
        if (rung < 0 || rung >= n_rung || ex->slot_of_place[place] >= 0)
            return FRX_FAIL(FRX_ERR_ARGUMENT, "slot %d cannot be at rung %d: out of range 0..%d or taken",
                            slot, rung, n_rung - 1);
        if (ex->move == FRX_MOVE_CONFIGURATIONS && place != slot)
            return FRX_FAIL(FRX_ERR_ARGUMENT, "slot %d is at rung %d: temperatures do not move here", slot,
                            rung);
        ex->rung_of_slot[slot] = rung;
        ex->slot_of_place[place] = slot;
    }
    return FRX_OK;
}

/* Ask all engines who is in which slot. */
static enum frx_status place_identities(struct frx_exchange *ex) {
    const int n_rung = ex->view.n_rung, n_local = ex->view.n_local;
    uint32_t *identity = ex->identity_of_slot + ex->view.first_slot;
    const struct frx_state_view view = {.identity = identity};
    const enum frx_status status = ex->engine_class->get_state(ex->engine, 0, n_local, &view);
    for (int i = 0; i < n_local; i++) ex->record[RECORD_NUMBERS + i] = identity[i];
    FRX_TRY(gather(ex, status, NULL, ex->of_slot));
    for (int slot = 0; slot < ex->view.n_slot; slot++) {
        ex->identity_of_slot[slot] = (uint32_t)ex->of_slot[slot];
        int same = 0;
        for (int other = slot / n_rung * n_rung; other < slot; other++)
            same |= ex->identity_of_slot[other] == ex->identity_of_slot[slot];
        if (same || ex->identity_of_slot[slot] / (uint32_t)n_rung != (uint32_t)(slot / n_rung))
            return FRX_FAIL(FRX_ERR_ARGUMENT, "slot %d has identity %u: taken, or not of ladder %d", slot,
                            ex->identity_of_slot[slot], slot / n_rung);
        ex->identity_of_place[slot / n_rung * n_rung + ex->rung_of_slot[slot]] = ex->identity_of_slot[slot];
    }
    return FRX_OK;
}

/* Give the engine the temperatures of its slots. */
static enum frx_status set_temperatures(struct frx_exchange *ex, const double *velocity_scale) {
    const int first = ex->view.first_slot;
    for (int i = first; i < first + ex->view.n_local; i++)
        ex->beta[i] = ex->ladder->beta[ex->rung_of_slot[i]];
    return ex->engine_class->set_temperatures(ex->engine, ex->beta + first,
                                              velocity_scale ? velocity_scale + first : NULL);
}

static enum frx_status start(struct frx_exchange *ex, const struct frx_exchange_options *options) {
    FRX_TRY(frx_agree(ex->comm, allocate(ex)));
    FRX_TRY(place_rungs(ex, options->rung_of_slot));
    FRX_TRY(place_identities(ex));
    for (int place = 0; place < ex->view.n_slot; place++) {
        ex->energy[place] = NAN;
        ex->origin[place] = place;
    }
    memcpy(ex->energy_identity, ex->identity_of_place, (size_t)ex->view.n_slot * sizeof *ex->energy_identity);
    if (ex->move == FRX_MOVE_CONFIGURATIONS)
        FRX_TRY(frx_transport_create(ex->comm, options->transport, ex->engine_class, ex->engine,
                                     ex->view.n_slot, &ex->transport));
    return frx_agree(ex->comm, set_temperatures(ex, NULL));
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
    struct frx_exchange *ex = calloc(1, sizeof *ex);
    enum frx_status status = ex ? FRX_OK : FRX_FAIL(FRX_ERR_MEMORY, "no memory for an exchange");
    status = frx_agree(comm, status);
    if (status != FRX_OK || !ex) {
        free(ex);
        return status;
    }
    ex->comm = comm;
    ex->ladder = ladder;
    ex->engine_class = engine_class;
    ex->engine = engine;
    ex->scheme = options->scheme;
    ex->move = options->move;
    ex->seed = options->seed;
    ex->view = (struct frx_exchange_view){.n_ladder = ladder->n_ladder,
                                          .n_rung = ladder->n_rung,
                                          .n_slot = n_slot,
                                          .first_slot = first,
                                          .n_local = n_local};
    ex->first_ladder = first / ladder->n_rung;
    ex->end_ladder = (first + n_local - 1) / ladder->n_rung + 1;
    ex->n_record = RECORD_NUMBERS + (n_slot + comm->size - 1) / comm->size;
    status = start(ex, options);
    if (status == FRX_OK)
        *exchange = ex;
    else
        frx_exchange_destroy(ex);
    return status;
}

void frx_exchange_destroy(struct frx_exchange *ex) {
    if (!ex) return;
    frx_transport_destroy(ex->transport);
    frx_statistics_clear(&ex->statistics);
    void *arrays[] = {ex->rung_of_slot,
                      ex->slot_of_place,
                      ex->identity_of_slot,
                      ex->identity_of_place,
                      ex->energy_identity,
                      ex->present,
                      ex->energy,
                      ex->swap,
                      ex->from,
                      ex->n_attempt,
                      ex->n_accept,
                      ex->probability,
                      ex->origin,
                      ex->old_slot_of_place,
                      ex->beta,
                      ex->velocity_scale,
                      ex->of_slot,
                      ex->record,
                      ex->all_records};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++) free(arrays[i]);
    free(ex);
}

/* Carry out a ladder's decision on the books. */
static void rearrange(struct frx_exchange *ex, int ladder) {
    const int n_rung = ex->view.n_rung, first = ladder * n_rung;
    const double *beta = ex->ladder->beta;
    memcpy(ex->old_slot_of_place + first, ex->slot_of_place + first,
           (size_t)n_rung * sizeof *ex->slot_of_place);
    for (int rung = 0; rung < n_rung; rung++) {
        const int place = first + rung, old_rung = ex->swap[ladder].from[rung], origin = first + old_rung;
        ex->origin[place] = origin;
        if (ex->move == FRX_MOVE_TEMPERATURES) {
            ex->slot_of_place[place] = ex->old_slot_of_place[origin];
            ex->rung_of_slot[ex->slot_of_place[place]] = rung;
        }
        const int slot = ex->slot_of_place[place];
        ex->identity_of_place[place] = ex->energy_identity[origin];
        ex->identity_of_slot[slot] = ex->identity_of_place[place];
        ex->velocity_scale[slot] = sqrt(beta[old_rung] / beta[rung]);
    }
}

/* The event in some ladders, on the books. */
static void decide(struct frx_exchange *ex, int first_ladder, int end_ladder) {
    const int n_rung = ex->view.n_rung;
    for (int place = first_ladder * n_rung; place < end_ladder * n_rung; place++) {
        ex->energy[place] = ex->of_slot[ex->slot_of_place[place]];
        ex->energy_identity[place] = ex->identity_of_place[place];
    }
    for (int l = first_ladder; l < end_ladder; l++) {
        frx_swap_decide(ex->scheme, ex->seed, l, ex->event, n_rung, ex->ladder->beta, ex->energy + l * n_rung,
                        &ex->swap[l]);
        rearrange(ex, l);
    }
}

/* Book what the last attempt left. */
static void settle(struct frx_exchange *ex) {
    if (!ex->is_pending) return;
    ex->is_pending = 0;
    decide(ex, 0, ex->first_ladder);
    decide(ex, ex->end_ladder, ex->view.n_ladder);
    frx_statistics_update(&ex->statistics, ex->swap, ex->identity_of_place);
}

/* Carry out the decisions in the engine. */
static enum frx_status move(struct frx_exchange *ex) {
    if (ex->move == FRX_MOVE_CONFIGURATIONS) FRX_TRY(frx_transport_move(ex->transport, ex->origin));
    return set_temperatures(ex, ex->velocity_scale);
}

/* The energies, into the record, and who has them: one call, so that a GPU is waited for once. */
static enum frx_status ask_engine(struct frx_exchange *ex) {
    const struct frx_state_view view = {.energy = ex->record + RECORD_NUMBERS, .identity = ex->present};
    return ex->engine_class->get_state(ex->engine, 0, ex->view.n_local, &view);
}

/* Has the engine the configurations that the books say? One that was lost on its way would go unnoticed
 * otherwise: the configuration that stayed in its place is a sound one, and all labels would be wrong. */
static enum frx_status check_identities(const struct frx_exchange *ex) {
    const int first = ex->view.first_slot;
    for (int i = 0; i < ex->view.n_local; i++)
        if (ex->present[i] != ex->identity_of_slot[first + i])
            return FRX_FAIL(FRX_ERR_COMM,
                            "slot %d holds replica %u where replica %u was sent: exchange event %lld lost a "
                            "configuration",
                            first + i, ex->present[i], ex->identity_of_slot[first + i], (long long)ex->event);
    return FRX_OK;
}

/* Seconds since `before`, which becomes now. */
static double lap(double *before) {
    const double then = *before;
    *before = MPI_Wtime();
    return *before - then;
}

enum frx_status frx_exchange_attempt(struct frx_exchange *ex, enum frx_status status, int64_t event,
                                     uint32_t *flags) {
    struct frx_exchange_seconds *seconds = &ex->seconds;
    double before = MPI_Wtime();
    settle(ex);
    seconds->decide += lap(&before);
    if (status == FRX_OK) status = ask_engine(ex);
    seconds->engine += lap(&before);
    if (status == FRX_OK) status = check_identities(ex);
    seconds->decide += lap(&before);
    FRX_TRY(gather(ex, status, flags, ex->of_slot));
    seconds->gather += lap(&before);
    ex->event = event;
    ex->is_pending = 1;
    decide(ex, ex->first_ladder, ex->end_ladder);
    seconds->decide += lap(&before);
    status = frx_agree(ex->comm, move(ex));
    seconds->move += lap(&before);
    return status;
}

enum frx_status frx_exchange_follow_ladder(struct frx_exchange *ex) {
    const int first = ex->view.first_slot;
    for (int i = first; i < first + ex->view.n_local; i++)
        ex->velocity_scale[i] = sqrt(ex->beta[i] / ex->ladder->beta[ex->rung_of_slot[i]]);
    return frx_agree(ex->comm, set_temperatures(ex, ex->velocity_scale));
}

const struct frx_exchange_view *frx_exchange_look(struct frx_exchange *ex) {
    settle(ex);
    return &ex->view;
}

struct frx_exchange_seconds frx_exchange_seconds(const struct frx_exchange *ex) {
    return ex->seconds;
}

struct frx_statistics *frx_exchange_statistics(struct frx_exchange *ex) {
    settle(ex);
    return &ex->statistics;
}
