#include "comm.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum frx_status frx_mpi_status(int code, const char *call, const char *file, int line) {
    if (code == MPI_SUCCESS) return FRX_OK;
    char text[MPI_MAX_ERROR_STRING] = "unknown error";
    int length = 0;
    MPI_Error_string(code, text, &length);
    return frx_fail(FRX_ERR_COMM, file, line, "%s: %s", call, text);
}

enum frx_status frx_comm_create(MPI_Comm parent, struct frx_comm *comm) {
    *comm = (struct frx_comm){.mpi = MPI_COMM_NULL};
    MPI_Comm host;
    FRX_MPI(MPI_Comm_dup(parent, &comm->mpi));
    FRX_MPI(MPI_Comm_rank(comm->mpi, &comm->rank));
    FRX_MPI(MPI_Comm_size(comm->mpi, &comm->size));
    FRX_MPI(MPI_Comm_split_type(comm->mpi, MPI_COMM_TYPE_SHARED, comm->rank, MPI_INFO_NULL, &host));
    FRX_MPI(MPI_Comm_rank(host, &comm->local_rank));
    FRX_MPI(MPI_Comm_size(host, &comm->local_size));
    FRX_MPI(MPI_Comm_free(&host));
    return FRX_OK;
}

void frx_comm_destroy(struct frx_comm *comm) {
    if (comm->size > 0 && comm->mpi != MPI_COMM_NULL) MPI_Comm_free(&comm->mpi);
    *comm = (struct frx_comm){.mpi = MPI_COMM_NULL};
}

static int names_a_rank(const char *message) {
    if (strncmp(message, "rank ", 5) != 0 || !isdigit((unsigned char)message[5])) return 0;
    message += 5;
    while (isdigit((unsigned char)*message)) message++;
    return *message == ':';
}

enum frx_status frx_agree(const struct frx_comm *comm, enum frx_status status) {
    if (comm->size == 1) return status;
    int failing = status == FRX_OK ? comm->size : comm->rank, first;
    FRX_MPI(MPI_Allreduce(&failing, &first, 1, MPI_INT, MPI_MIN, comm->mpi));
    if (first == comm->size) return FRX_OK;

    struct {
        int status;
        char message[FRX_MESSAGE_SIZE];
    } report = {.status = (int)status};
    if (comm->rank == first) {
        const char *message = frx_error_message();
        char prefix[32] = "";
        if (!names_a_rank(message)) snprintf(prefix, sizeof prefix, "rank %d: ", first);
        snprintf(report.message, sizeof report.message, "%s%s", prefix, message);
    }
    FRX_MPI(MPI_Bcast(&report, (int)sizeof report, MPI_BYTE, first, comm->mpi));
    frx_error_set(report.message);
    return (enum frx_status)report.status;
}
