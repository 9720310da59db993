/* Transport between hosts' memories: nonblocking messages, memcpy within a rank. */
#include "transport.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

struct frx_carrier {
    const struct frx_comm *comm;
    struct frx_buffers buffers;
    MPI_Datatype configuration;
    MPI_Request *request; /* [2 * size] */
};

static enum frx_status mpi_create(const struct frx_comm *comm, const struct frx_buffers *buffers,
                                  struct frx_carrier **carrier) {
    *carrier = NULL;
    if (buffers->packed_bytes > INT_MAX)
        return FRX_FAIL(FRX_ERR_UNSUPPORTED, "configurations of %zu bytes are too large for MPI",
                        buffers->packed_bytes);
    struct frx_carrier *c = calloc(1, sizeof *c);
    if (c) c->request = malloc(2 * (size_t)comm->size * sizeof *c->request);
    if (!c || !c->request) {
        free(c);
        return FRX_FAIL(FRX_ERR_MEMORY, "no memory for messages of %d ranks", comm->size);
    }
    c->comm = comm;
    c->buffers = *buffers;
    MPI_Type_contiguous((int)buffers->packed_bytes, MPI_BYTE, &c->configuration);
    MPI_Type_commit(&c->configuration);
    *carrier = c;
    return FRX_OK;
}

static void mpi_destroy(struct frx_carrier *c) {
    if (!c) return;
    MPI_Type_free(&c->configuration);
    free(c->request);
    free(c);
}

static enum frx_status mpi_carry(struct frx_carrier *c, int n_send, const struct frx_message *send,
                                 int n_receive, const struct frx_message *receive) {
    char *in = c->buffers.receive;
    const char *out = c->buffers.send;
    const size_t bytes = c->buffers.packed_bytes;
    int n_request = 0, kept_first = 0;
    for (int i = 0; i < n_receive; i++) {
        if (receive[i].peer == c->comm->rank)
            kept_first = receive[i].first;
        else
            FRX_MPI(MPI_Irecv(in + (size_t)receive[i].first * bytes, receive[i].n, c->configuration,
                              receive[i].peer, 0, c->comm->mpi, &c->request[n_request++]));
    }
    for (int i = 0; i < n_send; i++) {
        const char *start = out + (size_t)send[i].first * bytes;
        if (send[i].peer == c->comm->rank)
            memcpy(in + (size_t)kept_first * bytes, start, (size_t)send[i].n * bytes);
        else
            FRX_MPI(MPI_Isend(start, send[i].n, c->configuration, send[i].peer, 0, c->comm->mpi,
                              &c->request[n_request++]));
    }
    FRX_MPI(MPI_Waitall(n_request, c->request, MPI_STATUSES_IGNORE));
    return FRX_OK;
}

const struct frx_transport_class frx_transport_mpi = {.name = "MPI",
                                                      .memory = FRX_MEMORY_HOST,
                                                      .create = mpi_create,
                                                      .destroy = mpi_destroy,
                                                      .carry = mpi_carry};
