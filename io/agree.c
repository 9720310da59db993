#include "agree.h"

#include <limits.h>
#include <stdio.h>

enum frx_status frx_io_agree(MPI_Comm comm, enum frx_status status) {
    int rank, failed;
    MPI_Comm_rank(comm, &rank);
    const int mine = status == FRX_OK ? INT_MAX : rank;
    MPI_Allreduce(&mine, &failed, 1, MPI_INT, MPI_MIN, comm);
    if (failed == INT_MAX) return FRX_OK;
    struct {
        int status;
        char message[FRX_MESSAGE_SIZE];
    } outcome = {.status = (int)status};
    snprintf(outcome.message, sizeof outcome.message, "%s", frx_error_message());
    MPI_Bcast(&outcome, (int)sizeof outcome, MPI_BYTE, failed, comm);
    frx_error_set(outcome.message);
    return (enum frx_status)outcome.status;
}
