/* Private to io/: what a segment consists of (docs/formats.md, "Segment"): its datasets, how they are laid
 * out in the file, and making a segment without rows. */
#ifndef FRX_IO_SEGMENT_LAYOUT_H
#define FRX_IO_SEGMENT_LAYOUT_H

#include "hdf5_util.h"
#include "trajectory.h"

/* How many values a dataset has per row. */
enum frx_per { FRX_PER_ROW, FRX_PER_RUNG, FRX_PER_PLACE, FRX_PER_PAIR, FRX_PER_COORDINATE };

/* X(enumerator, group, name, native type of HDF5, values per row, unit or NULL). Rows of `frames` are frames,
 * rows of `exchanges` are exchange events. */
#define FRX_COLUMN_LIST(X)                                                                                   \
    X(FRAME_POSITION, "frames", "position", H5T_NATIVE_FLOAT, FRX_PER_COORDINATE, "Angstrom")                \
    X(FRAME_STEP, "frames", "step", H5T_NATIVE_INT64, FRX_PER_ROW, NULL)                                     \
    X(FRAME_TIME, "frames", "time", H5T_NATIVE_DOUBLE, FRX_PER_ROW, "ps")                                    \
    X(FRAME_ENERGY, "frames", "energy", H5T_NATIVE_DOUBLE, FRX_PER_PLACE, "kcal/mol")                        \
    X(FRAME_KINETIC, "frames", "kinetic_energy", H5T_NATIVE_DOUBLE, FRX_PER_PLACE, "kcal/mol")               \
    X(FRAME_IDENTITY, "frames", "identity", H5T_NATIVE_UINT32, FRX_PER_PLACE, NULL)                          \
    X(FRAME_ADAPTING, "frames", "adapting", H5T_NATIVE_UINT8, FRX_PER_ROW, NULL)                             \
    X(EXCHANGE_EVENT, "exchanges", "event", H5T_NATIVE_INT64, FRX_PER_ROW, NULL)                             \
    X(EXCHANGE_STEP, "exchanges", "step", H5T_NATIVE_INT64, FRX_PER_ROW, NULL)                               \
    X(EXCHANGE_BETA, "exchanges", "beta", H5T_NATIVE_DOUBLE, FRX_PER_RUNG, "mol/kcal")                       \
    X(EXCHANGE_ENERGY, "exchanges", "energy", H5T_NATIVE_DOUBLE, FRX_PER_PLACE, "kcal/mol")                  \
    X(EXCHANGE_IDENTITY, "exchanges", "identity", H5T_NATIVE_UINT32, FRX_PER_PLACE, NULL)                    \
    X(EXCHANGE_FROM, "exchanges", "from", H5T_NATIVE_INT32, FRX_PER_PLACE, NULL)                             \
    X(EXCHANGE_PROBABILITY, "exchanges", "probability", H5T_NATIVE_DOUBLE, FRX_PER_PAIR, NULL)               \
    X(EXCHANGE_ATTEMPTED, "exchanges", "attempted", H5T_NATIVE_INT32, FRX_PER_PAIR, NULL)                    \
    X(EXCHANGE_ACCEPTED, "exchanges", "accepted", H5T_NATIVE_INT32, FRX_PER_PAIR, NULL)                      \
    X(EXCHANGE_ADAPTING, "exchanges", "adapting", H5T_NATIVE_UINT8, FRX_PER_ROW, NULL)

enum frx_column {
#define FRX_COLUMN_ENUM(id, group, name, type, per, unit) FRX_##id,
    FRX_COLUMN_LIST(FRX_COLUMN_ENUM)
#undef FRX_COLUMN_ENUM
        FRX_N_COLUMN
};
#define FRX_FIRST_EXCHANGE_COLUMN FRX_EXCHANGE_EVENT

/* Sizes that fix the layout of a segment; a function of the run, not of the ranks. */
struct frx_segment_shape {
    int n_ladder, n_rung, n_place, n_bead;
    int frame_chunk, exchange_chunk; /* rows per chunk */
    int adapting;                    /* has the ladder of each exchange event (FRX_PER_RUNG) */
};
struct frx_segment_shape frx_segment_shape(int n_ladder, int n_rung, int n_bead);

/* A column's names, type (a native one of HDF5), values per row (0: the segment does not have it), bytes of
 * one value, and dimensions with n_row rows, of which it returns the number. Local. */
struct frx_column_row {
    const char *group, *name;
    enum frx_per per;
    const char *unit;
};
extern const struct frx_column_row frx_column_table[FRX_N_COLUMN];
hid_t frx_column_type(enum frx_column column);
int64_t frx_column_width(const struct frx_segment_shape *shape, enum frx_column column);
int frx_column_bytes(enum frx_column column);
int frx_column_shape(const struct frx_segment_shape *shape, enum frx_column column, int64_t n_row,
                     hsize_t dims[4]);
int frx_column_is_exchange(enum frx_column column);

/* Properties with which a segment must be made and opened, so that what a flush changes is not lost if the
 * program or the machine fails in the middle of it: HDF5 has an index of chunks, which must stay where it is,
 * and each of its pieces must lie within one page, the least that is written at once. Errors: FRX_ERR_IO. */
FRX_CHECKED enum frx_status frx_segment_access(hid_t access);

/* Bytes of a segment without rows, about: the molecule and the config's text differ. */
#define FRX_SEGMENT_SKELETON (INT64_C(256) << 10)

/* Bytes by which so many rows make it longer at most, and not much more than they do. Local. */
int64_t frx_segment_size(const struct frx_segment_shape *shape, int64_t n_frame, int64_t n_exchange);

/* Create the file with everything that does not change and empty datasets. Local, by one rank. */
FRX_CHECKED enum frx_status frx_segment_create(const char *path, const struct frx_segment_shape *shape,
                                               const struct frx_trajectory_options *options);

#endif
