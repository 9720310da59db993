/* Whole configurations between hosts' memories by nonblocking MPI messages: what the transports that end in
 * host memory share. */
#ifndef FRX_EXCHANGE_MPI_MESSAGES_H
#define FRX_EXCHANGE_MPI_MESSAGES_H

#include "transport.h"

struct frx_mpi_messages {
    const struct frx_comm *comm;
    size_t packed_bytes;
    MPI_Datatype configuration;
    MPI_Request *request; /* [2 * size]; NULL: not created */
};

/* Make room for the messages of one event; comm must outlive it. Release with frx_mpi_messages_clear. Errors:
 * FRX_ERR_MEMORY; FRX_ERR_UNSUPPORTED for configurations of more than 2 GiB. Local. */
FRX_CHECKED enum frx_status frx_mpi_messages_create(const struct frx_comm *comm, size_t packed_bytes,
                                                    struct frx_mpi_messages *messages);
void frx_mpi_messages_clear(struct frx_mpi_messages *messages); /* Local; one that is all zero is fine */

/* Send from `out` and receive into `in` what goes to and comes from other ranks; messages to this rank itself
 * are the caller's business. in, out: packed configurations, host, indexed by frx_message.first. Returns when
 * all have arrived and left. Errors: FRX_ERR_COMM. Collective. */
FRX_CHECKED enum frx_status frx_mpi_messages_carry(struct frx_mpi_messages *messages, const char *out,
                                                   int n_send, const struct frx_message *send, char *in,
                                                   int n_receive, const struct frx_message *receive);

#endif
