/* Transport between hosts' memories: nonblocking messages, memcpy within a rank. */
#include "mpi_messages.h"

#include <stdlib.h>
#include <string.h>

struct frx_carrier {
    struct frx_buffers buffers;
    struct frx_mpi_messages messages;
};

static enum frx_status mpi_create(const struct frx_comm *comm, const struct frx_buffers *buffers,
                                  struct frx_carrier **carrier) {
    *carrier = calloc(1, sizeof **carrier);
    if (!*carrier) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for a transport");
    (*carrier)->buffers = *buffers;
    return frx_mpi_messages_create(comm, buffers->packed_bytes, &(*carrier)->messages);
}

static void mpi_destroy(struct frx_carrier *c) {
    if (!c) return;
    frx_mpi_messages_clear(&c->messages);
    free(c);
}

static enum frx_status mpi_carry(struct frx_carrier *c, int n_send, const struct frx_message *send,
                                 int n_receive, const struct frx_message *receive) {
    char *in = c->buffers.receive;
    const char *out = c->buffers.send;
    const size_t bytes = c->buffers.packed_bytes;
    const int rank = c->messages.comm->rank;
    const struct frx_message *leaves = frx_message_find(n_send, send, rank),
                             *enters = frx_message_find(n_receive, receive, rank);
    if (leaves && enters)
        memcpy(in + (size_t)enters->first * bytes, out + (size_t)leaves->first * bytes,
               (size_t)leaves->n * bytes);
    return frx_mpi_messages_carry(&c->messages, out, n_send, send, in, n_receive, receive);
}

const struct frx_transport_class frx_transport_mpi = {.name = "mpi",
                                                      .memory = FRX_MEMORY_HOST,
                                                      .create = mpi_create,
                                                      .destroy = mpi_destroy,
                                                      .carry = mpi_carry};
