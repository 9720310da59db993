/* Private to io/: reading a file from anywhere through a library that may not survive it.
 *
 * HDF5 believes what a file says about itself: one changed byte can make it crash, loop or allocate without
 * end. So a child process with limits on memory and processor time reads the file first. Whatever happens
 * there ends as an error here; only if all went well does the caller read the file itself, in the state that
 * the child started from, so that it takes the same path. */
#ifndef FRX_IO_GUARD_H
#define FRX_IO_GUARD_H

#include "status.h"

#include <stdint.h>

/* Reads the file, throws away what it found and returns how that went. */
typedef enum frx_status frx_probe(const char *path);

/* Call probe(path) in a child process. Returns its status, with its message; FRX_ERR_FORMAT if the child
 * crashed or took longer than a minute of processor time (and a second per 10 MB of file); FRX_ERR_MEMORY if
 * there is no memory or no process for it. Beyond 1 GiB and 32 times the file's size the child gets no
 * memory. Local. */
FRX_CHECKED enum frx_status frx_guard(const char *path, frx_probe *probe);

/* The same with limits that the caller chooses: bytes beyond those in use, seconds of processor time. */
FRX_CHECKED enum frx_status frx_guard_within(const char *path, frx_probe *probe, int64_t n_byte,
                                             int64_t n_second);

#endif
