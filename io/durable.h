/* What outlasts a power failure: a file's content and a directory's names are two things, and both are forced
 * to the disk before anybody relies on them. */
#ifndef FRX_IO_DURABLE_H
#define FRX_IO_DURABLE_H

#include "status.h"

#include <stdio.h>

/* Close a file that was written, its content on the disk. Errors: FRX_ERR_IO with path and reason, also for
 * what went wrong while it was written; it is closed then, too. Local. */
FRX_CHECKED enum frx_status frx_durable_close(FILE *file, const char *path);

/* Make the names in a directory last. Errors: FRX_ERR_IO. Local. */
FRX_CHECKED enum frx_status frx_durable_names(const char *directory);

/* Likewise the name of the directory itself, where this process may read the directory that it is in. Errors:
 * FRX_ERR_IO. Local. */
FRX_CHECKED enum frx_status frx_durable_directory(const char *directory);

#endif
