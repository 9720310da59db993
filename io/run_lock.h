/* One job at a time writes a run directory. */
#ifndef FRX_IO_RUN_LOCK_H
#define FRX_IO_RUN_LOCK_H

#include "status.h"

/* Zeroed: nothing is locked. */
struct frx_run_lock {
    char *path; /* of the lock; NULL: none */
    int file;
    int made_directory;
};

/* Lock the directory, which is made if need be (its parent must exist), until frx_run_unlock or the end of
 * this process, however it ends. Waits up to `patience` seconds for a job that is about to end. On file
 * systems without locks it succeeds, too. Errors: FRX_ERR_EXISTS naming process and host of the other job,
 * FRX_ERR_IO, FRX_ERR_MEMORY; nothing is left behind then. Local, by one rank. */
FRX_CHECKED enum frx_status frx_run_lock(const char *directory, double patience, struct frx_run_lock *lock);

/* Also a lock that is zeroed. A directory that was made for it and is empty is removed. Local. */
void frx_run_unlock(struct frx_run_lock *lock);

#endif
