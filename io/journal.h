/* Private to io/: the journal of a run, a small text file `journal` that says how many rows of each segment
 * are committed: written, flushed and complete. It is replaced as a whole after every flush; rows beyond are
 * not there. Layout: docs/formats.md, "Journal". */
#ifndef FRX_IO_JOURNAL_H
#define FRX_IO_JOURNAL_H

#include "status.h"

#include <stdint.h>

#define FRX_JOURNAL "journal"

/* Write a journal to `path`: rows [n][2], frames and exchange events. On the disk when it returns. Errors:
 * FRX_ERR_IO. Local, by one rank. */
FRX_CHECKED enum frx_status frx_journal_write(const char *path, int n, const int64_t (*rows)[2]);

/* Read that of a directory; no journal is no segment. *rows is owned by the caller. Errors: FRX_ERR_FORMAT,
 * FRX_ERR_IO, FRX_ERR_MEMORY. Local. */
FRX_CHECKED enum frx_status frx_journal_read(const char *directory, int *n, int64_t (**rows)[2]);

#endif
