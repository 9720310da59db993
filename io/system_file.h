/* Reading a system file (docs/formats.md, "System file") into memory.
 *
 * The file may come from anywhere: every type, shape, count and name is checked before memory is allocated
 * for it, nothing unknown inside the energy (/network, /priors) is passed over, and the result goes through
 * frx_system_validate. A child process reads it first, because HDF5 itself can crash on it (guard.h). */
#ifndef FRX_IO_SYSTEM_FILE_H
#define FRX_IO_SYSTEM_FILE_H

#include "status.h"
#include "system.h"

/* Read and validate `path` into *system, which is overwritten and then owned by the caller
 * (frx_system_clear); on failure it is zeroed. Priors come in the order of their names. content_sha256 is
 * set. Errors, all naming the file and the full path of the member: FRX_ERR_IO (cannot open or read),
 * FRX_ERR_FORMAT (not HDF5, cut short, not a system file, version, missing or unknown member, type, shape),
 * FRX_ERR_MODEL (from frx_system_validate), FRX_ERR_MEMORY. Local: every rank may call it. */
FRX_CHECKED enum frx_status frx_system_read(const char *path, struct frx_system *system);

/* The same in this process alone: for fuzzers, which look for crashes. */
FRX_CHECKED enum frx_status frx_system_read_unguarded(const char *path, struct frx_system *system);

#endif
