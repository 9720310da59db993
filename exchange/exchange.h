/* The exchange event: energies of all replicas are gathered, every rank makes the same decision, and
 * configurations or temperatures change places.
 *
 *   gather (status, flags, energies)  ->  swap.h  ->  move  ->  statistics.h
 *
 * Places are counted by rung: place p = ladder * n_rung + rung. Slots (places in engines' memory, ladder.h)
 * are the same thing with `move: configurations`, where slot g always has the temperature of rung g mod
 * n_rung and configurations travel with their forces, energy and identity. With `move: temperatures`
 * configurations stay in their slot and the temperatures change places. Energies are presented to the
 * decision by place, so both moves make bit-identical trajectories of each replica.
 *
 * Velocities follow the temperature: v *= sqrt(T_new/T_old), which leaves the acceptance a function of
 * potential energies alone. Source: Sugita and Okamoto, Chem. Phys. Lett. 314, 141 (1999). */
#ifndef FRX_EXCHANGE_EXCHANGE_H
#define FRX_EXCHANGE_EXCHANGE_H

#include "comm.h"
#include "engine.h"
#include "ladder.h"
#include "statistics.h"
#include "swap.h"
#include "transport.h"

#ifdef __cplusplus
extern "C" {
#endif

enum frx_move { FRX_MOVE_CONFIGURATIONS, FRX_MOVE_TEMPERATURES };

struct frx_exchange_options {
    enum frx_scheme scheme;
    enum frx_move move;
    uint64_t seed;           /* <= FRX_SEED_MAX */
    const int *rung_of_slot; /* [n_slot] to continue a run with move: temperatures; NULL: slot mod n_rung */
    const struct frx_transport_class *transport; /* e.g. &frx_transport_mpi */
};

/* Wall time of this rank in attempts so far, seconds. */
struct frx_exchange_seconds {
    double engine; /* waiting for the engine: its steps */
    double gather; /* waiting for other ranks, and telling them */
    double decide; /* the decisions that this rank needs at once */
    double move;   /* configurations and temperatures */
};

/* Where everything is, valid until the next attempt; the same on all ranks. A slot's ladder is
 * slot / n_rung. */
struct frx_exchange_view {
    int n_ladder, n_rung, n_slot;
    int first_slot, n_local;           /* global slots of this rank */
    const int *rung_of_slot;           /* [n_slot] */
    const uint32_t *identity_of_slot;  /* [n_slot] */
    const int *slot_of_place;          /* [n_ladder][n_rung] */
    const uint32_t *identity_of_place; /* [n_ladder][n_rung] */
    const double *energy; /* [n_ladder][n_rung] kcal/mol: what the last attempt gathered, by the places before
                             its swaps; configurations have moved on since */
    const uint32_t *energy_identity; /* [n_ladder][n_rung] whose energies those were */
    const struct frx_swap *swap;     /* [n_ladder] the last attempt's decisions */
};

struct frx_exchange;

/* Make the exchange of an engine's replicas. comm, ladder and engine must outlive it; the engine holds this
 * rank's slots (frx_slots_of_rank), whose identities are set already: slot g of a new run has identity g,
 * and any later arrangement is a permutation within each ladder. Sets every slot's temperature by its rung,
 * velocities as they are. *exchange is owned by the caller. Errors: FRX_ERR_ARGUMENT (identities or
 * rung_of_slot not a permutation within a ladder, more ranks than slots, rung_of_slot with
 * move: configurations, seed), FRX_ERR_UNSUPPORTED, FRX_ERR_MEMORY, those of the engine; agreed on by all
 * ranks. Collective. */
FRX_CHECKED enum frx_status frx_exchange_create(const struct frx_comm *comm, const struct frx_ladder *ladder,
                                                const struct frx_engine_class *engine_class,
                                                struct frx_engine *engine,
                                                const struct frx_exchange_options *options,
                                                struct frx_exchange **exchange);
void frx_exchange_destroy(struct frx_exchange *exchange); /* Collective; NULL is fine */

/* Exchange event number `event`, counted from 0 over the whole run. Decided at once is what this rank's slots
 * need; what other ranks' ladders do is booked when somebody looks (below), or at the next event: so a GPU
 * can go on before a rank has thought about thousands of replicas that it does not have. `status` is how this
 * rank's work since the last event went and rides in the gather: if it, or the engine's energies, failed
 * anywhere, nothing moves and every rank returns the lowest failing rank's code and message; so it is
 * (FRX_ERR_COMM) where the engine does not hold the configurations that the last event sent. `flags` (may be
 * NULL) is or-ed over all ranks in the same message: e.g. "a signal asked me to stop". Errors: agreed on by
 * all ranks. Collective. */
FRX_CHECKED enum frx_status frx_exchange_attempt(struct frx_exchange *exchange, enum frx_status status,
                                                 int64_t event, uint32_t *flags);

/* The ladder that the exchange was made with has other betas now, the same on all ranks, given to it after
 * the statistics of the last event were looked at: give every slot its rung's new temperature, velocities *=
 * sqrt(T_new/T_old). Errors: those of the engine, agreed on by all ranks. Collective. */
FRX_CHECKED enum frx_status frx_exchange_follow_ladder(struct frx_exchange *exchange);

/* Where everything is. Owned by the exchange. Local. */
const struct frx_exchange_view *frx_exchange_look(struct frx_exchange *exchange);

/* Where this rank's time went so far. Local. */
struct frx_exchange_seconds frx_exchange_seconds(const struct frx_exchange *exchange);

/* The sums so far, to read, to write to a checkpoint and to restore from one. Owned by the exchange. Local.
 */
struct frx_statistics *frx_exchange_statistics(struct frx_exchange *exchange);

#ifdef __cplusplus
}
#endif
#endif
