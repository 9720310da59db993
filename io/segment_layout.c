#include "segment_layout.h"

#include "hdf5_write.h"
#include "segment_mixing.h"
#include "units.h"

#include <stdlib.h>
#include <string.h>

#define SEGMENT_VERSION 1

const struct frx_column_row frx_column_table[FRX_N_COLUMN] = {
#define COLUMN_ROW(id, group, name, type, per, unit) {group, name, per, unit},
    FRX_COLUMN_LIST(COLUMN_ROW)
#undef COLUMN_ROW
};

/* The native types are not constants, so they cannot be in the table. */
hid_t frx_column_type(enum frx_column column) {
    const hid_t type[] = {
#define COLUMN_TYPE(id, group, name, type, per, unit) type,
        FRX_COLUMN_LIST(COLUMN_TYPE)
#undef COLUMN_TYPE
    };
    return type[column];
}

int frx_column_bytes(enum frx_column column) {
    return (int)H5Tget_size(frx_column_type(column));
}

int64_t frx_column_width(const struct frx_segment_shape *shape, enum frx_column column) {
    switch (frx_column_table[column].per) {
    case FRX_PER_ROW:
        return 1;
    case FRX_PER_RUNG:
        return shape->adapting ? shape->n_rung : 0;
    case FRX_PER_PLACE:
        return shape->n_place;
    case FRX_PER_PAIR:
        return (int64_t)shape->n_ladder * (shape->n_rung - 1);
    default:
        return (int64_t)shape->n_place * shape->n_bead * 3;
    }
}

int frx_column_is_exchange(enum frx_column column) {
    return column >= FRX_FIRST_EXCHANGE_COLUMN;
}

/* ---- layout ---- */

#define CHUNK_BYTES                                                                                          \
    (INT64_C(256) << 10)                 /* of positions of one place: a contiguous piece of its trajectory  \
                                          */
#define BLOCK_BYTES  (INT64_C(64) << 20) /* of positions of all places: what the file grows by */
#define MAX_FRAMES   256                 /* rows of a chunk at most */
#define TABLE_BYTES  (INT64_C(1) << 20)  /* of exchange rows between two commits */
#define MAX_EXCHANGE 1024

#define PAGE        INT64_C(4096)
#define INDIVISIBLE 64 /* bytes: nothing is smaller that a flush changes and that rows depend on */

static int64_t clamp(int64_t value, int64_t most) {
    return value < 1 ? 1 : value > most ? most : value;
}

struct frx_segment_shape frx_segment_shape(int n_ladder, int n_rung, int n_bead) {
    struct frx_segment_shape shape = {n_ladder, n_rung, n_ladder * n_rung, n_bead, 1, 1, 0};
    const int64_t frame_bytes = (int64_t)n_bead * 3 * (int64_t)sizeof(float);
    const int64_t in_chunk = CHUNK_BYTES / frame_bytes,
                  in_block = BLOCK_BYTES / (frame_bytes * shape.n_place);
    shape.frame_chunk = (int)clamp(in_chunk < in_block ? in_chunk : in_block, MAX_FRAMES);
    int64_t row_bytes = 0;
    for (int c = FRX_FIRST_EXCHANGE_COLUMN; c < FRX_N_COLUMN; c++)
        row_bytes += frx_column_width(&shape, (enum frx_column)c) * frx_column_bytes((enum frx_column)c);
    shape.exchange_chunk = (int)clamp(TABLE_BYTES / row_bytes, MAX_EXCHANGE);
    return shape;
}

static int64_t whole_pages(int64_t n_byte) {
    return (n_byte + PAGE - 1) / PAGE * PAGE;
}

/* The extensible array of HDF5 1.10 (its specification, VII.D): four addresses of chunks in the index block,
 * the others in data blocks that become larger, listed in super blocks. */
static int64_t index_size(int64_t n_chunk) {
    int64_t n_byte = whole_pages(1024), left = n_chunk - 4;
    for (int s = 0; left > 0; s++) {
        const int64_t n_block = INT64_C(1) << s / 2, capacity = INT64_C(16) << (s + 1) / 2;
        const int64_t filled = (left + capacity - 1) / capacity, used = filled < n_block ? filled : n_block;
        n_byte += used * (whole_pages(8 * capacity + 64) + PAGE) + whole_pages(8 * n_block + 1024);
        left -= n_block * capacity;
    }
    return n_byte;
}

/* Bytes that a column takes with so many rows: whole chunks, and their index. */
static int64_t column_size(const struct frx_segment_shape *shape, enum frx_column column, int64_t n_frame,
                           int64_t n_exchange) {
    const int64_t n_row = frx_column_is_exchange(column) ? n_exchange : n_frame;
    const int64_t chunk = frx_column_is_exchange(column) ? shape->exchange_chunk : shape->frame_chunk;
    const int64_t per_row = column == FRX_FRAME_POSITION ? shape->n_place : 1; /* chunks */
    const int64_t row_bytes = frx_column_width(shape, column) * frx_column_bytes(column);
    const int64_t n_chunk = (n_row + chunk - 1) / chunk * per_row;
    return n_chunk * whole_pages(chunk * row_bytes / per_row) + (row_bytes ? index_size(n_chunk) : 0);
}

int64_t frx_segment_size(const struct frx_segment_shape *shape, int64_t n_frame, int64_t n_exchange) {
    int64_t n_byte = 0;
    for (int c = 0; c < FRX_N_COLUMN; c++)
        n_byte += column_size(shape, (enum frx_column)c, n_frame, n_exchange);
    return n_byte + (INT64_C(64) << 10); /* what HDF5 sets aside */
}

/* Dimensions of a column with n_row rows; returns the rank. Dimension 0 is the row. */
int frx_column_shape(const struct frx_segment_shape *shape, enum frx_column column, int64_t n_row,
                     hsize_t dims[4]) {
    dims[0] = (hsize_t)n_row;
    dims[1] = (hsize_t)shape->n_place;
    dims[2] = (hsize_t)shape->n_bead;
    dims[3] = 3;
    switch (frx_column_table[column].per) {
    case FRX_PER_ROW:
        return 1;
    case FRX_PER_RUNG:
        dims[1] = (hsize_t)shape->n_rung;
        return 2;
    case FRX_PER_PLACE:
        return 2;
    case FRX_PER_PAIR:
        dims[1] = (hsize_t)shape->n_ladder, dims[2] = (hsize_t)shape->n_rung - 1;
        return 3;
    default:
        return 4;
    }
}

static enum frx_status create_column(hid_t group, const struct frx_segment_shape *shape,
                                     enum frx_column column) {
    hsize_t dims[4], most[4], chunk[4];
    const int rank = frx_column_shape(shape, column, 0, dims);
    memcpy(most, dims, sizeof most);
    memcpy(chunk, dims, sizeof chunk);
    most[0] = H5S_UNLIMITED;
    chunk[0] = (hsize_t)(frx_column_is_exchange(column) ? shape->exchange_chunk : shape->frame_chunk);
    if (column == FRX_FRAME_POSITION) chunk[1] = 1; /* never two places, hence never two ranks */
    FRX_HID space = H5Screate_simple(rank, dims, most);
    FRX_HID properties = H5Pcreate(H5P_DATASET_CREATE);
    const char *name = frx_column_table[column].name;
    /* Parallel HDF5 allocates early; every row that readers are shown is written, so filling is wasted. */
    if (H5Pset_chunk(properties, rank, chunk) < 0 ||
        H5Pset_alloc_time(properties, H5D_ALLOC_TIME_EARLY) < 0 ||
        H5Pset_fill_time(properties, H5D_FILL_TIME_NEVER) < 0)
        return FRX_HDF5_FAIL(FRX_ERR_IO, "cannot lay out dataset %s", name);
    FRX_HID dataset =
        H5Dcreate2(group, name, frx_column_type(column), space, H5P_DEFAULT, properties, H5P_DEFAULT);
    FRX_HDF5_TRY(dataset, FRX_ERR_IO, "cannot create dataset %s", name);
    if (!frx_column_table[column].unit) return FRX_OK;
    return frx_hdf5_put_string(dataset, "unit", frx_column_table[column].unit);
}

/* ---- skeleton ---- */

static enum frx_status write_run(hid_t file, const struct frx_trajectory_options *options) {
    FRX_HID run = H5I_INVALID_HID;
    FRX_TRY(frx_hdf5_create_group(file, "run", &run));
    FRX_TRY(frx_hdf5_put_numbers(run, "seed", H5T_NATIVE_UINT64, 0, &options->seed));
    FRX_TRY(frx_hdf5_put_numbers(run, "timestep", H5T_NATIVE_DOUBLE, 0, &options->timestep));
    FRX_TRY(frx_hdf5_put_int(run, "n_ladder", options->n_ladder));
    FRX_TRY(frx_hdf5_put_int(run, "n_rung", options->n_rung));
    FRX_TRY(frx_hdf5_put_int(run, "adapting", options->adapting != 0));
    FRX_TRY(frx_hdf5_put_string(run, "config", options->config));
    FRX_TRY(frx_hdf5_put_string(run, "build", options->build));
    FRX_TRY(frx_hdf5_put_string(run, "system", options->system_path));
    FRX_TRY(frx_hdf5_put_string(run, "system_sha256", options->system->content_sha256));
    double *temperature = malloc((size_t)options->n_rung * sizeof *temperature);
    if (!temperature) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for %d temperatures", options->n_rung);
    for (int k = 0; k < options->n_rung; k++) temperature[k] = FRX_KELVIN_OF_BETA(options->beta[k]);
    const hsize_t n_rung = (hsize_t)options->n_rung;
    enum frx_status status = frx_hdf5_write_array(run, "beta", H5T_NATIVE_DOUBLE, 1, &n_rung, options->beta);
    if (status == FRX_OK)
        status = frx_hdf5_write_array(run, "temperature", H5T_NATIVE_DOUBLE, 1, &n_rung, temperature);
    free(temperature);
    return status;
}

static enum frx_status write_skeleton(hid_t file, const struct frx_segment_shape *shape,
                                      const struct frx_trajectory_options *options) {
    const int64_t none[2] = {0, 0};
    const hsize_t two = 2;
    FRX_TRY(frx_hdf5_put_string(file, "flashrex_format", "segment"));
    FRX_TRY(frx_hdf5_put_int(file, "version", SEGMENT_VERSION));
    FRX_TRY(frx_hdf5_put_string(file, "generator", options->generator));
    FRX_TRY(write_run(file, options));
    FRX_TRY(frx_hdf5_write_molecule(file, options->system));
    FRX_TRY(frx_hdf5_write_array(file, "committed", H5T_NATIVE_INT64, 1, &two, none));
    if (shape->n_rung > 1) FRX_TRY(frx_segment_mixing_create(file, shape));
    FRX_HID frames = H5I_INVALID_HID, exchanges = H5I_INVALID_HID;
    FRX_TRY(frx_hdf5_create_group(file, "frames", &frames));
    FRX_TRY(frx_hdf5_create_group(file, "exchanges", &exchanges));
    /* From here on in the formats of HDF5 1.10, where the index of chunks is an array, of which no part ever
     * moves. In the B-tree of the older ones half of a full node moves, and a kill in between loses it. The
     * file itself keeps the older format, in which it may be opened for reading while it is written. */
    if (H5Fset_libver_bounds(file, H5F_LIBVER_V110, H5F_LIBVER_V110) < 0)
        return FRX_HDF5_FAIL(FRX_ERR_IO, "cannot lay out datasets");
    for (int c = 0; c < FRX_N_COLUMN; c++) {
        const enum frx_column column = (enum frx_column)c;
        if (frx_column_width(shape, column) == 0) continue;
        FRX_TRY(create_column(frx_column_is_exchange(column) ? exchanges : frames, shape, column));
    }
    return FRX_OK;
}

enum frx_status frx_segment_access(hid_t access) {
    FRX_HDF5_TRY(H5Pset_alignment(access, INDIVISIBLE, PAGE), FRX_ERR_IO, "cannot lay out a file");
    return FRX_OK;
}

enum frx_status frx_segment_create(const char *path, const struct frx_segment_shape *shape,
                                   const struct frx_trajectory_options *options) {
    FRX_HID access = H5Pcreate(H5P_FILE_ACCESS);
    FRX_TRY(frx_segment_access(access));
    hid_t file;
    FRX_TRY(frx_hdf5_make_with(path, access, &file));
    return frx_hdf5_save(path, file, write_skeleton(file, shape, options));
}
