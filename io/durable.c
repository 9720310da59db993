#include "durable.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum frx_status frx_durable_close(FILE *file, const char *path) {
    int failed = fflush(file) != 0 || ferror(file) || fsync(fileno(file)) != 0;
    int reason = errno;
    if (fclose(file) != 0 && !failed) {
        failed = 1;
        reason = errno;
    }
    return failed ? FRX_FAIL(FRX_ERR_IO, "cannot write %s: %s", path, strerror(reason)) : FRX_OK;
}

/* `inside` is a directory within an open one, or any if that is AT_FDCWD. */
static enum frx_status force_names(int from, const char *inside, const char *directory) {
    const int descriptor = openat(from, inside, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return FRX_FAIL(FRX_ERR_IO, "cannot open %s: %s", directory, strerror(errno));
    const int failed = fsync(descriptor) != 0 && errno != EINVAL; /* some file systems cannot */
    const int reason = errno;
    close(descriptor);
    return failed ? FRX_FAIL(FRX_ERR_IO, "cannot write %s: %s", directory, strerror(reason)) : FRX_OK;
}

enum frx_status frx_durable_names(const char *directory) {
    return force_names(AT_FDCWD, directory, directory);
}

enum frx_status frx_durable_directory(const char *directory) {
    const int descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return FRX_FAIL(FRX_ERR_IO, "cannot open %s: %s", directory, strerror(errno));
    const int may = faccessat(descriptor, "..", R_OK, 0) == 0;
    const enum frx_status status = may ? force_names(descriptor, "..", directory) : FRX_OK;
    close(descriptor);
    return status;
}
