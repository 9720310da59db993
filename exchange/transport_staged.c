/* Transport between GPUs through host memory: to pinned memory, by MPI messages, and up again. For builds
 * without NCCL, and for ranks that share a GPU, which NCCL refuses. What stays on the GPU is copied there.
 *
 * Copies ride on the engine's stream. The host waits once, for what goes down; what comes up is ordered with
 * the unpacking, and pinned memory is written again only after a later wait for the same stream. */
#include "cuda_calls.h"
#include "mpi_messages.h"

#include <stdlib.h>

struct frx_carrier {
    const struct frx_comm *comm;
    struct frx_buffers buffers;
    struct frx_mpi_messages messages;
    char *send, *receive; /* [n_rep] packed configurations, pinned; NULL with one rank */
};

static enum frx_status staged_create(const struct frx_comm *comm, const struct frx_buffers *buffers,
                                     struct frx_carrier **carrier) {
    struct frx_carrier *c = *carrier = calloc(1, sizeof *c);
    if (!c) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for a transport");
    c->comm = comm;
    c->buffers = *buffers;
    FRX_TRY(frx_mpi_messages_create(comm, buffers->packed_bytes, &c->messages));
    if (comm->size == 1) return FRX_OK;
    const size_t bytes = (size_t)buffers->n_rep * buffers->packed_bytes;
    FRX_CUDA(cudaHostAlloc((void **)&c->send, bytes, cudaHostAllocDefault));
    FRX_CUDA(cudaHostAlloc((void **)&c->receive, bytes, cudaHostAllocDefault));
    return FRX_OK;
}

static void staged_destroy(struct frx_carrier *c) {
    if (!c) return;
    (void)cudaStreamSynchronize(c->buffers.stream);
    if (c->send) (void)cudaFreeHost(c->send);
    if (c->receive) (void)cudaFreeHost(c->receive);
    frx_mpi_messages_clear(&c->messages);
    free(c);
}

/* Queue a copy of the configurations of one message. */
static enum frx_status copy(const struct frx_carrier *c, char *to, const char *from,
                            const struct frx_message *message, enum cudaMemcpyKind kind) {
    const size_t bytes = c->buffers.packed_bytes, first = (size_t)message->first * bytes;
    FRX_CUDA(cudaMemcpyAsync(to + first, from + first, (size_t)message->n * bytes, kind, c->buffers.stream));
    return FRX_OK;
}

static enum frx_status bring_down(const struct frx_carrier *c, int n_send, const struct frx_message *send) {
    int n_other = 0;
    for (int i = 0; i < n_send; i++) {
        if (send[i].peer == c->comm->rank) continue;
        n_other++;
        FRX_TRY(copy(c, c->send, c->buffers.send, &send[i], cudaMemcpyDeviceToHost));
    }
    if (n_other > 0) FRX_CUDA(cudaStreamSynchronize(c->buffers.stream));
    return FRX_OK;
}

static enum frx_status staged_carry(struct frx_carrier *c, int n_send, const struct frx_message *send,
                                    int n_receive, const struct frx_message *receive) {
    const enum frx_status down = bring_down(c, n_send, send);
    /* also after a failure: the others wait for this rank's messages */
    FRX_TRY(frx_mpi_messages_carry(&c->messages, c->send, n_send, send, c->receive, n_receive, receive));
    if (down != FRX_OK) return down;
    for (int i = 0; i < n_receive; i++)
        if (receive[i].peer != c->comm->rank)
            FRX_TRY(copy(c, c->buffers.receive, c->receive, &receive[i], cudaMemcpyHostToDevice));
    return frx_copy_within_gpu(&c->buffers, frx_message_find(n_send, send, c->comm->rank),
                               frx_message_find(n_receive, receive, c->comm->rank));
}

const struct frx_transport_class frx_transport_staged = {.name = "mpi through host memory",
                                                         .memory = FRX_MEMORY_DEVICE,
                                                         .create = staged_create,
                                                         .destroy = staged_destroy,
                                                         .carry = staged_carry};
