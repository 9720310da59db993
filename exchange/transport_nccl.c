/* Transport between GPUs by NCCL: one group of sends and receives per event; what stays on the GPU is copied
 * there.
 *
 * A rank or a link that dies may never raise an error in NCCL. So the communicator is nonblocking, and every
 * wait polls it and the stream until a deadline (frx_transport_timeout); then the communicator is aborted,
 * which ends its kernels, and the caller gets a status. */
#include "cuda_calls.h"

#include <nccl.h>
#include <sched.h>
#include <stdlib.h>

struct frx_carrier {
    const struct frx_comm *comm;
    struct frx_buffers buffers;
    ncclComm_t nccl; /* NULL: one rank, or aborted */
    int broken;
    double timeout; /* s */
};

/* Translate a code of NCCL; `in progress` is how a nonblocking communicator says yes. */
static enum frx_status check(const struct frx_carrier *c, ncclResult_t code, const char *call) {
    if (code == ncclSuccess || code == ncclInProgress) return FRX_OK;
    const char *detail = ncclGetLastError(c->nccl);
    return FRX_FAIL(FRX_ERR_COMM, "%s: %s%s%s", call, ncclGetErrorString(code), detail && *detail ? ": " : "",
                    detail ? detail : "");
}

/* Whether NCCL has taken what it was told (and, if `with_stream`, the GPU has done it). */
static enum frx_status poll(const struct frx_carrier *c, int with_stream, int *done) {
    ncclResult_t state;
    *done = 0;
    FRX_TRY(check(c, ncclCommGetAsyncError(c->nccl, &state), "ncclCommGetAsyncError"));
    FRX_TRY(check(c, state, "NCCL"));
    if (state == ncclInProgress) return FRX_OK;
    const cudaError_t stream = with_stream ? cudaStreamQuery(c->buffers.stream) : cudaSuccess;
    if (stream == cudaErrorNotReady) return FRX_OK;
    FRX_CUDA(stream);
    *done = 1;
    return FRX_OK;
}

static enum frx_status wait(const struct frx_carrier *c, int with_stream, const char *what) {
    const double deadline = MPI_Wtime() + c->timeout;
    for (int done = 0; !done; sched_yield()) {
        FRX_TRY(poll(c, with_stream, &done));
        if (!done && MPI_Wtime() > deadline)
            return FRX_FAIL(FRX_ERR_COMM,
                            "%s by NCCL did not end within %g s: a GPU or a rank does not answer "
                            "(FRX_TRANSPORT_TIMEOUT sets the limit)",
                            what, c->timeout);
    }
    return FRX_OK;
}

static void give_up(struct frx_carrier *c) {
    c->broken = 1;
    if (c->nccl) (void)ncclCommAbort(c->nccl);
    c->nccl = NULL;
}

/* Queue everything that goes to and comes from other ranks, as one group. */
static enum frx_status queue(struct frx_carrier *c, int n_send, const struct frx_message *send, int n_receive,
                             const struct frx_message *receive, int *n_queued) {
    const size_t bytes = c->buffers.packed_bytes;
    char *in = c->buffers.receive;
    const char *out = c->buffers.send;
    const int rank = c->comm->rank;
    *n_queued = 0;
    ncclResult_t code = ncclGroupStart(), ended;
    for (int i = 0; i < n_send && (code == ncclSuccess || code == ncclInProgress); i++)
        if (send[i].peer != rank && ++*n_queued)
            code = ncclSend(out + (size_t)send[i].first * bytes, (size_t)send[i].n * bytes, ncclChar,
                            send[i].peer, c->nccl, c->buffers.stream);
    for (int i = 0; i < n_receive && (code == ncclSuccess || code == ncclInProgress); i++)
        if (receive[i].peer != rank && ++*n_queued)
            code = ncclRecv(in + (size_t)receive[i].first * bytes, (size_t)receive[i].n * bytes, ncclChar,
                            receive[i].peer, c->nccl, c->buffers.stream);
    ended = ncclGroupEnd();
    FRX_TRY(check(c, code, "ncclSend/ncclRecv"));
    return check(c, ended, "ncclGroupEnd");
}

/* NCCL connects two ranks when they first talk, which takes up to a second. Ranks next to each other hold
 * neighbouring rungs: let them talk before the steps. */
static enum frx_status greet(struct frx_carrier *c) {
    struct frx_message message[2];
    int n = 0, n_queued;
    for (int peer = c->comm->rank - 1; peer <= c->comm->rank + 1; peer += 2)
        if (peer >= 0 && peer < c->comm->size)
            message[n] = (struct frx_message){.peer = peer, .first = n < c->buffers.n_rep ? n : 0, .n = 1},
            n++;
    FRX_TRY(queue(c, n, message, n, message, &n_queued));
    return wait(c, 1, "the first message");
}

static enum frx_status bring_up(struct frx_carrier *c, const ncclUniqueId *id) {
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    FRX_TRY(check(c, ncclCommInitRankConfig(&c->nccl, c->comm->size, *id, c->comm->rank, &config),
                  "ncclCommInitRankConfig"));
    FRX_TRY(wait(c, 0, "bringing up communication"));
    return greet(c);
}

/* All ranks have a sound communicator afterwards, or none has. */
static enum frx_status connect(struct frx_carrier *c) {
    ncclUniqueId id;
    enum frx_status status = frx_transport_timeout(&c->timeout);
    if (status == FRX_OK && c->comm->rank == 0) status = check(c, ncclGetUniqueId(&id), "ncclGetUniqueId");
    FRX_TRY(frx_agree(c->comm, status));
    FRX_MPI(MPI_Bcast(&id, sizeof id, MPI_BYTE, 0, c->comm->mpi));
    status = frx_agree(c->comm, bring_up(c, &id));
    if (status != FRX_OK) give_up(c);
    return status;
}

static enum frx_status nccl_create(const struct frx_comm *comm, const struct frx_buffers *buffers,
                                   struct frx_carrier **carrier) {
    struct frx_carrier *c = calloc(1, sizeof *c);
    enum frx_status status = c ? FRX_OK : FRX_FAIL(FRX_ERR_MEMORY, "no memory for a transport");
    status = frx_agree(comm, status);
    if (status != FRX_OK || !c) {
        free(c);
        return status;
    }
    *carrier = c;
    c->comm = comm;
    c->buffers = *buffers;
    return comm->size == 1 ? FRX_OK : connect(c);
}

/* Ranks take leave of each other in order only where all of them can. */
static void nccl_destroy(struct frx_carrier *c) {
    if (!c) return;
    int broken = c->broken;
    MPI_Allreduce(MPI_IN_PLACE, &broken, 1, MPI_INT, MPI_MAX, c->comm->mpi);
    if (c->nccl && !broken) {
        const ncclResult_t finalized = ncclCommFinalize(c->nccl);
        if ((finalized == ncclSuccess || finalized == ncclInProgress) &&
            wait(c, 0, "ending communication") == FRX_OK) {
            (void)ncclCommDestroy(c->nccl);
            c->nccl = NULL;
        }
    }
    give_up(c);
    free(c);
}

static enum frx_status nccl_carry(struct frx_carrier *c, int n_send, const struct frx_message *send,
                                  int n_receive, const struct frx_message *receive) {
    FRX_TRY(frx_copy_within_gpu(&c->buffers, frx_message_find(n_send, send, c->comm->rank),
                                frx_message_find(n_receive, receive, c->comm->rank)));
    if (c->comm->size == 1) return FRX_OK;
    if (c->broken) return FRX_FAIL(FRX_ERR_COMM, "communication by NCCL has failed before");
    int n_queued;
    enum frx_status status = queue(c, n_send, send, n_receive, receive, &n_queued);
    if (status == FRX_OK && n_queued > 0) status = wait(c, 1, "moving configurations");
    if (status != FRX_OK) give_up(c);
    return status;
}

const struct frx_transport_class frx_transport_nccl = {.name = "nccl",
                                                       .memory = FRX_MEMORY_DEVICE,
                                                       .create = nccl_create,
                                                       .destroy = nccl_destroy,
                                                       .carry = nccl_carry};
