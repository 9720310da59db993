/* Ranks: who we are among them, and how they agree on errors.
 *
 * The rule that keeps a failing run from hanging: a local failure never skips the next collective. A phase
 * does its local work, keeps the status, and ends in frx_agree; after that either every rank goes on or every
 * rank has the same failure to report. MPI keeps its fatal error handler: a broken MPI ends the program. */
#ifndef FRX_EXCHANGE_COMM_H
#define FRX_EXCHANGE_COMM_H

#include "status.h"

#include <mpi.h>

#ifdef __cplusplus
extern "C" {
#endif

struct frx_comm {
    MPI_Comm mpi; /* our own communicator: nobody else's messages */
    int rank, size;
    int local_rank, local_size; /* among the ranks that share this host's memory */
};

/* Join the ranks of `parent` (e.g. MPI_COMM_WORLD; MPI must be initialised). Release with frx_comm_destroy
 * before MPI_Finalize. Errors: FRX_ERR_COMM. Collective over parent. */
FRX_CHECKED enum frx_status frx_comm_create(MPI_Comm parent, struct frx_comm *comm);

/* Free the communicator; one that was never created (all zero) or was destroyed already is fine. Collective.
 */
void frx_comm_destroy(struct frx_comm *comm);

/* End a phase: FRX_OK on every rank if `status` is FRX_OK on every rank; otherwise every rank gets the code
 * of the lowest failing rank as return value and its message, opened by "rank N: " if there are several
 * ranks, as its own. A message that was agreed on before is not opened twice. Errors: those passed in.
 * Collective. */
FRX_CHECKED enum frx_status frx_agree(const struct frx_comm *comm, enum frx_status status);

/* Translate a code of MPI, for communicators whose owner replaced the fatal handler. Local. */
FRX_CHECKED enum frx_status frx_mpi_status(int code, const char *call, const char *file, int line);

/* Evaluate an MPI call; return FRX_ERR_COMM from the calling function if it failed. */
#define FRX_MPI(call) FRX_TRY(frx_mpi_status((call), #call, __FILE__, __LINE__))

#ifdef __cplusplus
}
#endif
#endif
