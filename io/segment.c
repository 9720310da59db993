#include "segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Metadata reaches the disk in flushes only, as long as less than this piles up between two of them. */
#define DIRTY_METADATA_BYTES (16 << 20)

static enum frx_status open_file(MPI_Comm comm, const char *path, hid_t *file) {
    frx_hdf5_quiet();
    FRX_HID access = H5Pcreate(H5P_FILE_ACCESS);
    FRX_TRY(frx_segment_access(access));
    H5AC_cache_config_t cache = {.version = H5AC__CURR_CACHE_CONFIG_VERSION};
    if (H5Pset_fapl_mpio(access, comm, MPI_INFO_NULL) < 0 || H5Pget_mdc_config(access, &cache) < 0)
        return FRX_HDF5_FAIL(FRX_ERR_IO, "cannot open %s", path);
    cache.dirty_bytes_threshold = DIRTY_METADATA_BYTES;
    FRX_HDF5_TRY(H5Pset_mdc_config(access, &cache), FRX_ERR_IO, "cannot open %s", path);
    *file = H5Fopen(path, H5F_ACC_RDWR, access);
    FRX_HDF5_TRY(*file, FRX_ERR_IO, "cannot open %s for writing", path);
    return FRX_OK;
}

static enum frx_status open_columns(struct frx_segment *segment) {
    segment->committed = H5Dopen2(segment->file, "committed", H5P_DEFAULT);
    FRX_HDF5_TRY(segment->committed, FRX_ERR_IO, "cannot open %s: /committed", segment->path);
    for (int c = 0; c < FRX_N_COLUMN; c++) {
        if (frx_column_width(&segment->shape, (enum frx_column)c) == 0) continue;
        char name[64];
        snprintf(name, sizeof name, "%s/%s", frx_column_table[c].group, frx_column_table[c].name);
        segment->column[c] = H5Dopen2(segment->file, name, H5P_DEFAULT);
        FRX_HDF5_TRY(segment->column[c], FRX_ERR_IO, "cannot open %s: /%s", segment->path, name);
    }
    return FRX_OK;
}

enum frx_status frx_segment_open(MPI_Comm comm, const char *path, const struct frx_segment_shape *shape,
                                 struct frx_segment *segment) {
    *segment = (struct frx_segment){
        .file = H5I_INVALID_HID, .committed = H5I_INVALID_HID, .shape = *shape, .path = strdup(path)};
    for (int c = 0; c < FRX_N_COLUMN; c++) segment->column[c] = H5I_INVALID_HID;
    struct stat skeleton;
    FRX_TRY(open_file(comm, path, &segment->file));
    if (stat(path, &skeleton) != 0) return FRX_FAIL(FRX_ERR_IO, "cannot open %s: %s", path, strerror(errno));
    segment->skeleton_size = skeleton.st_size;
    return open_columns(segment);
}

enum frx_status frx_segment_close(struct frx_segment *segment) {
    enum frx_status status = FRX_OK;
    for (int c = 0; c < FRX_N_COLUMN; c++)
        if (segment->column[c] > 0) H5Dclose(segment->column[c]);
    if (segment->committed > 0) H5Dclose(segment->committed);
    if (segment->file > 0 && H5Fclose(segment->file) < 0)
        status = FRX_HDF5_FAIL(FRX_ERR_IO, "cannot finish %s", segment->path);
    free(segment->path);
    *segment = (struct frx_segment){0};
    return status;
}

/* 0 or the reason why [from, end) of the file cannot be filled later. The file has that length then, also on
 * the disk: a file shorter than its superblock says is damaged. Where space cannot be reserved, at least ask
 * how much there is. */
static int reserve_space(int file, int64_t from, int64_t end) {
    struct statvfs disk;
    while (fallocate(file, 0, from, end - from) != 0) {
        if (errno == EINTR) continue;
        if (errno != EOPNOTSUPP && errno != ENOSYS) return errno;
        if (fstatvfs(file, &disk) == 0 &&
            (double)disk.f_bavail * (double)disk.f_frsize < (double)(end - from))
            return ENOSPC;
        if (ftruncate(file, end) != 0) return errno;
        break;
    }
    return fsync(file) == 0 ? 0 : errno;
}

enum frx_status frx_segment_reserve(const struct frx_segment *segment, int64_t n_frame, int64_t n_exchange) {
    const int64_t end = segment->skeleton_size + frx_segment_size(&segment->shape, n_frame, n_exchange);
    const int file = open(segment->path, O_WRONLY | O_CLOEXEC);
    struct stat now = {0};
    int reason = 0;
    if (file < 0 || fstat(file, &now) != 0)
        reason = errno;
    else if (end > now.st_size)
        reason = reserve_space(file, now.st_size, end);
    if (file >= 0) close(file);
    if (reason == 0) return FRX_OK;
    return FRX_FAIL(FRX_ERR_IO, "cannot extend %s by %.3g MiB: %s", segment->path,
                    (double)(end - now.st_size) / (1 << 20), strerror(reason));
}

enum frx_status frx_segment_resize(struct frx_segment *segment, int64_t n_frame, int64_t n_exchange) {
    const int64_t wanted[2] = {n_frame, n_exchange};
    for (int c = 0; c < FRX_N_COLUMN; c++) {
        const int kind = frx_column_is_exchange((enum frx_column)c);
        if (segment->column[c] < 0 || wanted[kind] == segment->n_row[kind]) continue;
        hsize_t dims[4];
        frx_column_shape(&segment->shape, (enum frx_column)c, wanted[kind], dims);
        FRX_HDF5_TRY(H5Dset_extent(segment->column[c], dims), FRX_ERR_IO, "cannot extend %s: /%s/%s",
                     segment->path, frx_column_table[c].group, frx_column_table[c].name);
    }
    memcpy(segment->n_row, wanted, sizeof wanted);
    return FRX_OK;
}

enum frx_status frx_segment_flush(struct frx_segment *segment) {
    FRX_HDF5_TRY(H5Fflush(segment->file, H5F_SCOPE_LOCAL), FRX_ERR_IO, "cannot write %s", segment->path);
    return FRX_OK;
}

/* Write n rows, all of them or, for positions, those of one place. */
static enum frx_status write_slab(struct frx_segment *segment, enum frx_column column, int64_t first, int n,
                                  int place, const void *values) {
    hsize_t start[4] = {(hsize_t)first, 0, 0, 0}, count[4];
    const int rank = frx_column_shape(&segment->shape, column, n, count);
    if (place >= 0) start[1] = (hsize_t)place, count[1] = 1;
    FRX_HID file_space = H5Dget_space(segment->column[column]);
    FRX_HID memory_space = H5Screate_simple(rank, count, NULL);
    if (H5Sselect_hyperslab(file_space, H5S_SELECT_SET, start, NULL, count, NULL) < 0 ||
        H5Dwrite(segment->column[column], frx_column_type(column), memory_space, file_space, H5P_DEFAULT,
                 values) < 0)
        return FRX_HDF5_FAIL(FRX_ERR_IO, "cannot write %s: /%s/%s (is the disk full?)", segment->path,
                             frx_column_table[column].group, frx_column_table[column].name);
    return FRX_OK;
}

enum frx_status frx_segment_write_rows(struct frx_segment *segment, enum frx_column column, int64_t first,
                                       int n, const void *values) {
    if (segment->column[column] < 0) return FRX_OK;
    return write_slab(segment, column, first, n, -1, values);
}

enum frx_status frx_segment_write_positions(struct frx_segment *segment, int64_t first, int n, int place,
                                            const float *positions) {
    return write_slab(segment, FRX_FRAME_POSITION, first, n, place, positions);
}

enum frx_status frx_segment_write_committed(struct frx_segment *segment, int64_t n_frame,
                                            int64_t n_exchange) {
    const int64_t counts[2] = {n_frame, n_exchange};
    FRX_HDF5_TRY(H5Dwrite(segment->committed, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, counts),
                 FRX_ERR_IO, "cannot write %s: /committed", segment->path);
    return FRX_OK;
}
