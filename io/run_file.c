#include "run_file.h"

#include "hdf5_write.h"
#include "run_directory.h"

#include <stdio.h>
#include <string.h>

/* Let the n rows from `offset` on of a column of `total` rows be the first n of a segment's. */
static enum frx_status map_rows(hid_t properties, const struct frx_segment_shape *shape,
                                enum frx_column column, int segment, int64_t offset, int64_t n,
                                int64_t total) {
    hsize_t source[4], dims[4], start[4] = {(hsize_t)offset};
    const hsize_t origin[4] = {0};
    const int rank = frx_column_shape(shape, column, n, source);
    frx_column_shape(shape, column, total, dims);
    FRX_HID from = H5Screate_simple(rank, source, NULL), to = H5Screate_simple(rank, dims, NULL);
    char file[32], name[64];
    snprintf(file, sizeof file, FRX_SEGMENT_FORMAT, segment);
    snprintf(name, sizeof name, "/%s/%s", frx_column_table[column].group, frx_column_table[column].name);
    if (H5Sselect_hyperslab(to, H5S_SELECT_SET, start, NULL, source, NULL) < 0 ||
        /* not "all", which is what is there: it may be more */
        H5Sselect_hyperslab(from, H5S_SELECT_SET, origin, NULL, source, NULL) < 0 ||
        H5Pset_virtual(properties, to, file, name, from) < 0)
        return FRX_HDF5_FAIL(FRX_ERR_IO, "cannot map %s of %s", name, file);
    return FRX_OK;
}

static enum frx_status create_column(hid_t group, const struct frx_segment_shape *shape,
                                     enum frx_column column, int n_segment, int n_adapting,
                                     const int64_t (*rows)[2]) {
    const int kind = frx_column_is_exchange(column);
    int64_t total = 0, offset = 0;
    for (int s = n_adapting; s < n_segment; s++) total += rows[s][kind];
    FRX_HID properties = H5Pcreate(H5P_DATASET_CREATE);
    for (int s = n_adapting; s < n_segment; s++) {
        if (rows[s][kind] > 0)
            FRX_TRY(map_rows(properties, shape, column, s + 1, offset, rows[s][kind], total));
        offset += rows[s][kind];
    }
    hsize_t dims[4];
    const int rank = frx_column_shape(shape, column, total, dims);
    const char *name = frx_column_table[column].name;
    FRX_HID space = H5Screate_simple(rank, dims, NULL);
    FRX_HID dataset =
        H5Dcreate2(group, name, frx_column_type(column), space, H5P_DEFAULT, properties, H5P_DEFAULT);
    FRX_HDF5_TRY(dataset, FRX_ERR_IO, "cannot create virtual dataset %s", name);
    if (!frx_column_table[column].unit) return FRX_OK;
    return frx_hdf5_put_string(dataset, "unit", frx_column_table[column].unit);
}

static enum frx_status write_content(hid_t file, const struct frx_segment_shape *shape, const char *generator,
                                     int n_segment, int n_adapting, const int64_t (*rows)[2]) {
    FRX_TRY(frx_hdf5_put_string(file, "flashrex_format", "view"));
    FRX_TRY(frx_hdf5_put_int(file, "version", 1));
    FRX_TRY(frx_hdf5_put_string(file, "generator", generator));
    char first[32];
    snprintf(first, sizeof first, FRX_SEGMENT_FORMAT, n_adapting < n_segment ? n_adapting + 1 : 1);
    static const char *const linked[] = {"run", "beads", "topology"};
    for (size_t k = 0; k < sizeof linked / sizeof *linked; k++)
        FRX_HDF5_TRY(H5Lcreate_external(first, linked[k], file, linked[k], H5P_DEFAULT, H5P_DEFAULT),
                     FRX_ERR_IO, "cannot link %s of %s", linked[k], first);
    FRX_HID frames = H5I_INVALID_HID, exchanges = H5I_INVALID_HID;
    FRX_TRY(frx_hdf5_create_group(file, "frames", &frames));
    FRX_TRY(frx_hdf5_create_group(file, "exchanges", &exchanges));
    for (int c = 0; c < FRX_N_COLUMN; c++) {
        const enum frx_column column = (enum frx_column)c;
        if (frx_column_width(shape, column) == 0) continue;
        FRX_TRY(create_column(frx_column_is_exchange(column) ? exchanges : frames, shape, column, n_segment,
                              n_adapting, rows));
    }
    return FRX_OK;
}

enum frx_status frx_run_file_create(const char *path, const struct frx_segment_shape *shape,
                                    const char *generator, int n_segment, int n_adapting,
                                    const int64_t (*rows)[2]) {
    struct frx_segment_shape settled = *shape;
    settled.adapting = 0;
    hid_t file;
    FRX_TRY(frx_hdf5_make(path, &file));
    return frx_hdf5_save(path, file, write_content(file, &settled, generator, n_segment, n_adapting, rows));
}
