/* Transport: move configurations between slots, also of different ranks, as a permutation says.
 *
 * Planning is common to all transports: which slots to pack, in which order, and which run of packed
 * configurations goes to which rank. A `struct frx_transport_class` then carries the bytes from the engines'
 * send buffers to their receive buffers: between hosts' memories by MPI, between GPUs by NCCL or staged
 * through host memory. Every moved configuration is packed, sent and unpacked once per event, and each pair
 * of ranks exchanges one message each way at most. */
#ifndef FRX_EXCHANGE_TRANSPORT_H
#define FRX_EXCHANGE_TRANSPORT_H

#include "comm.h"
#include "engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Configurations first .. first+n-1 of a buffer go to (come from) rank `peer`, perhaps this one. */
struct frx_message {
    int peer, first, n;
};

/* An engine's buffers, as engine.h's transport() tells them. */
struct frx_buffers {
    size_t packed_bytes;
    int n_rep; /* configurations that each buffer holds */
    void *send, *receive, *stream;
};

struct frx_carrier; /* what a transport keeps between events; defined by each */

struct frx_transport_class {
    const char *name;             /* "mpi" */
    enum frx_memory_space memory; /* where it can read and write buffers */

    /* Errors: FRX_ERR_COMM, FRX_ERR_MEMORY, FRX_ERR_DEVICE. Collective. *carrier is owned by the caller, also
     * after a failure. */
    enum frx_status (*create)(const struct frx_comm *comm, const struct frx_buffers *buffers,
                              struct frx_carrier **carrier);
    void (*destroy)(struct frx_carrier *carrier); /* Collective; NULL is fine */

    /* Carry one event's messages, all of them in one group; at most one per peer and direction, ordered by
     * peer. To this rank itself at most one each way, of equal n. Returns when the receive buffer may be
     * unpacked (on the stream). Errors: FRX_ERR_COMM, FRX_ERR_DEVICE. Collective: every rank calls it, also
     * with nothing to move. */
    enum frx_status (*carry)(struct frx_carrier *carrier, int n_send, const struct frx_message *send,
                             int n_receive, const struct frx_message *receive);
};

/* Nonblocking MPI messages between host buffers. */
extern const struct frx_transport_class frx_transport_mpi;

/* Between device buffers through pinned host memory and MPI; only in builds with CUDA. */
extern const struct frx_transport_class frx_transport_staged;

/* Between device buffers, GPU to GPU; only in builds with NCCL. Each rank needs a GPU of its own. */
extern const struct frx_transport_class frx_transport_nccl;

/* All that this build has, the preferred ones first; the last is NULL. */
extern const struct frx_transport_class *const frx_transports[];

/* The message of (to) rank `peer` among n, or NULL. Local. */
const struct frx_message *frx_message_find(int n, const struct frx_message *message, int peer);

/* How long a transport waits for other ranks before it gives up: the environment variable
 * FRX_TRANSPORT_TIMEOUT in seconds, else 120. Errors: FRX_ERR_ARGUMENT if it is not a positive number. Local.
 */
FRX_CHECKED enum frx_status frx_transport_timeout(double *seconds);

struct frx_transport;

/* Make a transport for the slots first .. first+n_rep-1 of n_slot that this rank's engine holds
 * (frx_slots_of_rank). comm, engine class and engine must outlive it. *transport is owned by the caller.
 * Errors: FRX_ERR_UNSUPPORTED if the engine's buffers are in memory that `carrier_class` cannot reach,
 * FRX_ERR_COMM (configurations of different size on different ranks), FRX_ERR_MEMORY; agreed on by all ranks.
 * Collective. */
FRX_CHECKED enum frx_status frx_transport_create(const struct frx_comm *comm,
                                                 const struct frx_transport_class *carrier_class,
                                                 const struct frx_engine_class *engine_class,
                                                 struct frx_engine *engine, int n_slot,
                                                 struct frx_transport **transport);
void frx_transport_destroy(struct frx_transport *transport); /* Collective; NULL is fine */

/* Slot g gets the configuration (with forces, energy and identity) that was in slot from[g], for all global
 * slots; from [n_slot] is a permutation, the same on all ranks; what it says of passages between other ranks
 * does not matter. Errors: those of pack, unpack and carry, on
 * the rank where they happen only: the caller ends the phase with frx_agree. A failing rank still sends and
 * receives, so that nobody waits for it. Collective. */
FRX_CHECKED enum frx_status frx_transport_move(struct frx_transport *transport, const int *from);

#ifdef __cplusplus
}
#endif
#endif
