#include "mpi_messages.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum frx_status frx_mpi_messages_create(const struct frx_comm *comm, size_t packed_bytes,
                                        struct frx_mpi_messages *messages) {
    memset(messages, 0, sizeof *messages);
    if (packed_bytes > INT_MAX)
        return FRX_FAIL(FRX_ERR_UNSUPPORTED, "configurations of %zu bytes are too large for MPI",
                        packed_bytes);
    MPI_Request *request = malloc(2 * (size_t)comm->size * sizeof(MPI_Request));
    if (!request) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for messages of %d ranks", comm->size);
    *messages = (struct frx_mpi_messages){.comm = comm, .packed_bytes = packed_bytes, .request = request};
    MPI_Type_contiguous((int)packed_bytes, MPI_BYTE, &messages->configuration);
    MPI_Type_commit(&messages->configuration);
    return FRX_OK;
}

void frx_mpi_messages_clear(struct frx_mpi_messages *messages) {
    if (messages->request) MPI_Type_free(&messages->configuration);
    free(messages->request);
    memset(messages, 0, sizeof *messages);
}

enum frx_status frx_mpi_messages_carry(struct frx_mpi_messages *messages, const char *out, int n_send,
                                       const struct frx_message *send, char *in, int n_receive,
                                       const struct frx_message *receive) {
    const struct frx_comm *comm = messages->comm;
    const size_t bytes = messages->packed_bytes;
    int n_request = 0;
    for (int i = 0; i < n_receive; i++)
        if (receive[i].peer != comm->rank)
            FRX_MPI(MPI_Irecv(in + (size_t)receive[i].first * bytes, receive[i].n, messages->configuration,
                              receive[i].peer, 0, comm->mpi, &messages->request[n_request++]));
    for (int i = 0; i < n_send; i++)
        if (send[i].peer != comm->rank)
            FRX_MPI(MPI_Isend(out + (size_t)send[i].first * bytes, send[i].n, messages->configuration,
                              send[i].peer, 0, comm->mpi, &messages->request[n_request++]));
    FRX_MPI(MPI_Waitall(n_request, messages->request, MPI_STATUSES_IGNORE));
    return FRX_OK;
}
