/* Private to io/: one outcome for all ranks. */
#ifndef FRX_IO_AGREE_H
#define FRX_IO_AGREE_H

#include "status.h"

#include <mpi.h>

/* All ranks return the status and have the message of the lowest rank that failed, or FRX_OK if none did.
 * Collective. */
FRX_CHECKED enum frx_status frx_io_agree(MPI_Comm comm, enum frx_status status);

#endif
