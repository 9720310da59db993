/* Private to io/: the journal of a run, a small text file `journal` that says how many rows of each finished
 * segment count. Rows beyond were written after the checkpoint that the run was continued from: the next
 * segment has them again. A segment that is not in the journal is the newest one and says itself what is
 * committed. Layout: docs/formats.md, "Journal". */
#ifndef FRX_IO_JOURNAL_H
#define FRX_IO_JOURNAL_H

#include "status.h"

#include <stdint.h>

#define FRX_JOURNAL "journal"

/* Replace the journal: rows [n][2], frames and exchange events. Errors: FRX_ERR_IO, the old one unharmed.
 * Local, by one rank. */
FRX_CHECKED enum frx_status frx_journal_write(const char *directory, int n, const int64_t (*rows)[2]);

/* Read it; no journal is no segment. *rows is owned by the caller. Errors: FRX_ERR_FORMAT, FRX_ERR_IO,
 * FRX_ERR_MEMORY. Local. */
FRX_CHECKED enum frx_status frx_journal_read(const char *directory, int *n, int64_t (**rows)[2]);

#endif
