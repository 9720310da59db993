#include "transport.h"

#include "ladder.h"

#include <math.h>
#include <stdlib.h>

#define DEFAULT_TIMEOUT 120.0 /* s: bringing up NCCL on many nodes takes tens of seconds */

const struct frx_transport_class *const frx_transports[] = {
#ifdef FRX_WITH_NCCL
    &frx_transport_nccl,
#endif
#ifdef FRX_WITH_CUDA
    &frx_transport_staged,
#endif
    &frx_transport_mpi, NULL};

const struct frx_message *frx_message_find(int n, const struct frx_message *message, int peer) {
    for (int i = 0; i < n; i++)
        if (message[i].peer == peer) return &message[i];
    return NULL;
}

enum frx_status frx_transport_timeout(double *seconds) {
    const char *text = getenv("FRX_TRANSPORT_TIMEOUT");
    char *end = NULL;
    *seconds = text ? strtod(text, &end) : DEFAULT_TIMEOUT;
    if (text && (end == text || *end || !isfinite(*seconds) || *seconds <= 0))
        return FRX_FAIL(FRX_ERR_ARGUMENT, "FRX_TRANSPORT_TIMEOUT is '%s', not a number of seconds", text);
    return FRX_OK;
}

/* A configuration on its way: the rank at the other end, the global slot it goes to, the local slot that it
 * leaves (or enters). */
struct passage {
    int peer, to, slot;
};

struct frx_transport {
    const struct frx_comm *comm;
    const struct frx_transport_class *carrier_class;
    const struct frx_engine_class *engine_class;
    struct frx_engine *engine;
    struct frx_carrier *carrier;
    int n_slot, first, n_rep;
    struct passage *leaving, *entering; /* [n_rep] */
    int *pack_slot, *unpack_slot;       /* [n_rep] */
    struct frx_message *send, *receive; /* [size] */
};

static enum frx_status prepare(struct frx_transport *t, struct frx_buffers *buffers) {
    if (t->carrier_class->memory != t->engine_class->memory)
        return FRX_FAIL(FRX_ERR_UNSUPPORTED, "transport %s cannot reach the buffers of engine %s",
                        t->carrier_class->name, t->engine_class->name);
    const size_t n_rep = (size_t)t->n_rep, size = (size_t)t->comm->size;
    buffers->n_rep = t->n_rep;
    t->leaving = malloc(n_rep * sizeof *t->leaving);
    t->entering = malloc(n_rep * sizeof *t->entering);
    t->pack_slot = malloc(n_rep * sizeof *t->pack_slot);
    t->unpack_slot = malloc(n_rep * sizeof *t->unpack_slot);
    t->send = malloc(size * sizeof *t->send);
    t->receive = malloc(size * sizeof *t->receive);
    if (!t->leaving || !t->entering || !t->pack_slot || !t->unpack_slot || !t->send || !t->receive)
        return FRX_FAIL(FRX_ERR_MEMORY, "no memory for the transport of %d replicas", t->n_rep);
    return t->engine_class->transport(t->engine, &buffers->packed_bytes, &buffers->send, &buffers->receive,
                                      &buffers->stream);
}

/* Configurations of different size mean that ranks run different systems or engines. */
static enum frx_status compare_sizes(const struct frx_comm *comm, size_t packed_bytes) {
    const unsigned long long mine[2] = {packed_bytes, ~(unsigned long long)packed_bytes};
    unsigned long long least[2];
    FRX_MPI(MPI_Allreduce(mine, least, 2, MPI_UNSIGNED_LONG_LONG, MPI_MIN, comm->mpi));
    if (least[0] == ~least[1]) return FRX_OK;
    return FRX_FAIL(FRX_ERR_COMM, "a configuration has %llu bytes on one rank and %llu on another", least[0],
                    ~least[1]);
}

static enum frx_status connect(struct frx_transport *t) {
    struct frx_buffers buffers = {0};
    FRX_TRY(frx_agree(t->comm, prepare(t, &buffers)));
    FRX_TRY(compare_sizes(t->comm, buffers.packed_bytes));
    return frx_agree(t->comm, t->carrier_class->create(t->comm, &buffers, &t->carrier));
}

enum frx_status frx_transport_create(const struct frx_comm *comm,
                                     const struct frx_transport_class *carrier_class,
                                     const struct frx_engine_class *engine_class, struct frx_engine *engine,
                                     int n_slot, struct frx_transport **transport) {
    *transport = NULL;
    int first, n_rep;
    FRX_TRY(frx_slots_of_rank(n_slot, comm->size, comm->rank, &first, &n_rep));
    struct frx_transport *t = calloc(1, sizeof *t);
    enum frx_status status = t ? FRX_OK : FRX_FAIL(FRX_ERR_MEMORY, "no memory for a transport");
    status = frx_agree(comm, status);
    if (status != FRX_OK || !t) {
        free(t);
        return status;
    }
    *t = (struct frx_transport){.comm = comm,
                                .carrier_class = carrier_class,
                                .engine_class = engine_class,
                                .engine = engine,
                                .n_slot = n_slot,
                                .first = first,
                                .n_rep = n_rep};
    status = connect(t);
    if (status == FRX_OK)
        *transport = t;
    else
        frx_transport_destroy(t);
    return status;
}

void frx_transport_destroy(struct frx_transport *t) {
    if (!t) return;
    if (t->carrier) t->carrier_class->destroy(t->carrier);
    free(t->leaving);
    free(t->entering);
    free(t->pack_slot);
    free(t->unpack_slot);
    free(t->send);
    free(t->receive);
    free(t);
}

/* Both ends of a message list its configurations in the order of the slots that they go to. */
static int by_peer(const void *a, const void *b) {
    const struct passage *p = a, *q = b;
    if (p->peer != q->peer) return p->peer < q->peer ? -1 : 1;
    return (p->to > q->to) - (p->to < q->to);
}

/* Sort passages, and write down their local slots and one message per peer. Returns the number of messages.
 */
static int group(int n, struct passage *passage, int *slot, struct frx_message *message) {
    qsort(passage, (size_t)n, sizeof *passage, by_peer);
    int n_message = 0;
    for (int i = 0; i < n; i++) {
        slot[i] = passage[i].slot;
        if (i == 0 || passage[i].peer != passage[i - 1].peer)
            message[n_message++] = (struct frx_message){.peer = passage[i].peer, .first = i};
        message[n_message - 1].n++;
    }
    return n_message;
}

enum frx_status frx_transport_move(struct frx_transport *t, const int *from) {
    const int last = t->first + t->n_rep, size = t->comm->size;
    int n_leaving = 0, n_entering = 0;
    for (int to = 0; to < t->n_slot; to++) {
        const int origin = from[to];
        if (origin == to) continue;
        if (origin >= t->first && origin < last)
            t->leaving[n_leaving++] =
                (struct passage){frx_rank_of_slot(t->n_slot, size, to), to, origin - t->first};
        if (to >= t->first && to < last)
            t->entering[n_entering++] =
                (struct passage){frx_rank_of_slot(t->n_slot, size, origin), to, to - t->first};
    }
    const int n_send = group(n_leaving, t->leaving, t->pack_slot, t->send);
    const int n_receive = group(n_entering, t->entering, t->unpack_slot, t->receive);

    const enum frx_status packed = t->engine_class->pack(t->engine, n_leaving, t->pack_slot);
    FRX_TRY(t->carrier_class->carry(t->carrier, n_send, t->send, n_receive, t->receive));
    if (packed != FRX_OK) return packed; /* said after carrying: the others wait for this rank's message */
    return t->engine_class->unpack(t->engine, n_entering, t->unpack_slot);
}
