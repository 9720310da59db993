#include "hdf5_util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void frx_hdf5_release(const hid_t *id) {
    if (*id >= 0) H5Idec_ref(*id);
}

void frx_hdf5_quiet(void) {
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

/* The first entry of an upward walk is the innermost one, where the reason is. */
static herr_t keep_innermost(unsigned n, const H5E_error2_t *error, void *text) {
    if (n == 0) snprintf(text, FRX_MESSAGE_SIZE, "%s", error->desc);
    return 0;
}

void frx_hdf5_report(enum frx_status status, const char *file, int line, const char *format, ...) {
    char what[FRX_MESSAGE_SIZE], reason[FRX_MESSAGE_SIZE] = "no reason given by HDF5";
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_innermost, reason);
    H5Eclear2(H5E_DEFAULT);
    frx_fail(status, file, line, "%s: %s", what, reason);
}

/* What the operating system thinks of a path, which HDF5 says badly. */
static enum frx_status check_readable(const char *path) {
    const int descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* no waiting for a pipe */
    struct stat status;
    if (descriptor < 0) return FRX_FAIL(FRX_ERR_IO, "cannot open %s: %s", path, strerror(errno));
    const int failed = fstat(descriptor, &status), reason = errno;
    close(descriptor);
    if (failed) return FRX_FAIL(FRX_ERR_IO, "cannot open %s: %s", path, strerror(reason));
    if (S_ISDIR(status.st_mode)) return FRX_FAIL(FRX_ERR_IO, "cannot open %s: it is a directory", path);
    if (!S_ISREG(status.st_mode)) return FRX_FAIL(FRX_ERR_IO, "cannot open %s: not a regular file", path);
    if (status.st_size == 0) return FRX_FAIL(FRX_ERR_FORMAT, "%s is empty", path);
    return FRX_OK;
}

enum frx_status frx_hdf5_open(const char *path, hid_t *file) {
    frx_hdf5_quiet();
    FRX_TRY(check_readable(path));
    if (H5Fis_hdf5(path) <= 0) return FRX_FAIL(FRX_ERR_FORMAT, "%s is not an HDF5 file", path);
    FRX_HID access = H5Pcreate(H5P_FILE_ACCESS);
    FRX_HDF5_TRY(access, FRX_ERR_IO, "cannot open %s", path);
    FRX_HDF5_TRY(H5Pset_file_locking(access, 0, 1), FRX_ERR_IO, "cannot open %s", path);
    *file = H5Fopen(path, H5F_ACC_RDONLY, access);
    FRX_HDF5_TRY(*file, FRX_ERR_FORMAT, "%s is damaged or cut short", path);
    return FRX_OK;
}

void frx_hdf5_place(hid_t object, const char *member, char place[FRX_PLACE_SIZE]) {
    char file[FRX_PLACE_SIZE / 2] = "?", group[FRX_PLACE_SIZE / 4] = "?";
    H5Fget_name(object, file, sizeof file);
    H5Iget_name(object, group, sizeof group);
    const char *slash = member && strcmp(group, "/") != 0 ? "/" : "";
    snprintf(place, FRX_PLACE_SIZE, "%s: %s%s%s", file, group, slash, member ? member : "");
}
