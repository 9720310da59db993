#include "segment_mixing.h"

#include "hdf5_write.h"

#include <stddef.h>
#include <stdlib.h>

/* Values per ladder; replicas are as many as places. */
enum per { PER_RUN, PER_LADDER, PER_PAIR, PER_RUNG, PER_REPLICA, PER_REPLICA_AND_RUNG };

static const struct row {
    const char *name;
    enum per per;
    int is_real; /* float64, otherwise int64 */
    size_t offset;
} table[] = {
#define ROW(name, per, is_real)                                                                              \
    { #name, per, is_real, offsetof(struct frx_mixing_record, name) }
    ROW(n_event, PER_RUN, 0),
    ROW(acceptance, PER_PAIR, 1),
    ROW(barrier, PER_RUNG, 1),
    ROW(barrier_density, PER_PAIR, 1),
    ROW(up_fraction, PER_RUNG, 1),
    ROW(round_trip_rate, PER_LADDER, 1),
    ROW(predicted_round_trip_rate, PER_LADDER, 1),
    ROW(round_trips, PER_REPLICA, 0),
    ROW(tempered_restarts, PER_REPLICA, 0),
    ROW(residence, PER_REPLICA_AND_RUNG, 0),
#undef ROW
};
#define N_ROW ((int)(sizeof table / sizeof *table))

static int shape_of(const struct row *row, const struct frx_segment_shape *shape, hsize_t dims[2]) {
    const hsize_t n_ladder = (hsize_t)shape->n_ladder, n_rung = (hsize_t)shape->n_rung;
    dims[0] = row->per == PER_RUN ? 1 : row->per >= PER_REPLICA ? n_ladder * n_rung : n_ladder;
    dims[1] = row->per == PER_PAIR ? n_rung - 1 : n_rung;
    return row->per == PER_PAIR || row->per == PER_RUNG || row->per == PER_REPLICA_AND_RUNG ? 2 : 1;
}

static hid_t type_of(const struct row *row) {
    return row->is_real ? H5T_NATIVE_DOUBLE : H5T_NATIVE_INT64;
}

enum frx_status frx_segment_mixing_create(hid_t file, const struct frx_segment_shape *shape) {
    FRX_HID group = H5I_INVALID_HID;
    FRX_TRY(frx_hdf5_create_group(file, "mixing", &group));
    double *zeros =
        calloc((size_t)shape->n_place * (size_t)shape->n_rung, sizeof *zeros); /* of either type */
    if (!zeros) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for the mixing of %d replicas", shape->n_place);
    enum frx_status status = FRX_OK;
    for (int i = 0; i < N_ROW && status == FRX_OK; i++) {
        hsize_t dims[2];
        const int rank = shape_of(&table[i], shape, dims);
        status = frx_hdf5_write_array(group, table[i].name, type_of(&table[i]), rank, dims, zeros);
    }
    free(zeros);
    return status;
}

static enum frx_status write_row(const struct frx_segment *segment, const struct row *row,
                                 const struct frx_mixing_record *record) {
    char name[64];
    snprintf(name, sizeof name, "mixing/%s", row->name);
    const void *const values = *(const void *const *)(const void *)((const char *)record + row->offset);
    FRX_HID dataset = H5Dopen2(segment->file, name, H5P_DEFAULT);
    FRX_HDF5_TRY(dataset, FRX_ERR_IO, "cannot open %s: /%s", segment->path, name);
    FRX_HDF5_TRY(H5Dwrite(dataset, type_of(row), H5S_ALL, H5S_ALL, H5P_DEFAULT, values), FRX_ERR_IO,
                 "cannot write %s: /%s", segment->path, name);
    return FRX_OK;
}

enum frx_status frx_segment_mixing_write(const struct frx_segment *segment,
                                         const struct frx_mixing_record *record) {
    for (int i = 0; i < N_ROW; i++) FRX_TRY(write_row(segment, &table[i], record));
    return FRX_OK;
}
