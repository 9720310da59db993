/* Private to io/: the border to HDF5. Errors are translated here and nowhere else. */
#ifndef FRX_IO_HDF5_UTIL_H
#define FRX_IO_HDF5_UTIL_H

#include "status.h"

#include <hdf5.h>

/* An identifier of any kind that closes itself at the end of its scope. Files opened for writing are closed
 * by H5Fclose instead, whose result matters. */
#define FRX_HID __attribute__((cleanup(frx_hdf5_release))) hid_t
void frx_hdf5_release(const hid_t *id);

/* Evaluate a call of HDF5, whose failures are negative; on failure return `status` with the message, which
 * the innermost message of HDF5 is added to. FRX_HDF5_TRY(H5Dread(..), FRX_ERR_IO, "cannot read %s", name);
 */
#define FRX_HDF5_TRY(call, status, ...)                                                                      \
    do {                                                                                                     \
        if ((call) < 0) return FRX_HDF5_FAIL(status, __VA_ARGS__);                                           \
    } while (0)
#define FRX_HDF5_FAIL(status, ...) (frx_hdf5_report((status), __FILE__, __LINE__, __VA_ARGS__), (status))
void frx_hdf5_report(enum frx_status status, const char *file, int line, const char *format, ...)
    FRX_PRINTF(4, 5);

/* Keep HDF5 from printing its error stack. Every public function of io/ that calls HDF5 calls it first. */
void frx_hdf5_quiet(void);

/* Open a file for reading, without a file lock: it may be growing. Errors: FRX_ERR_IO (cannot open),
 * FRX_ERR_FORMAT (not HDF5, damaged, cut short), with path and reason. Local. */
FRX_CHECKED enum frx_status frx_hdf5_open(const char *path, hid_t *file);

/* "FILE: /group/member" for messages; member may be NULL. */
#define FRX_PLACE_SIZE 512
void frx_hdf5_place(hid_t object, const char *member, char place[FRX_PLACE_SIZE]);

#endif
