/* Private to io/: writing a segment from all ranks. What is written when is trajectory.c's business. */
#ifndef FRX_IO_SEGMENT_H
#define FRX_IO_SEGMENT_H

#include "segment_layout.h"

struct frx_segment {
    hid_t file, committed, column[FRX_N_COLUMN]; /* columns that the segment does not have are invalid */
    struct frx_segment_shape shape;
    char *path;
    int64_t skeleton_size; /* bytes without rows */
    int64_t n_row[2];      /* rows of frames and of exchanges as the datasets are now */
};

/* Open a segment on all ranks for writing, and close it. A segment zeroed by failure may be closed.
 * Collective. */
FRX_CHECKED enum frx_status frx_segment_open(MPI_Comm comm, const char *path,
                                             const struct frx_segment_shape *shape,
                                             struct frx_segment *segment);
FRX_CHECKED enum frx_status frx_segment_close(struct frx_segment *segment);

/* Ask the file system for the space that growing to so many rows will take, so that a full disk is noticed
 * before HDF5 is half way through a collective operation: when metadata cannot be written on one rank,
 * HDF5 1.10 leaves the others waiting for ever. Where the file system cannot reserve, the free space is
 * compared. Local, by one rank. */
FRX_CHECKED enum frx_status frx_segment_reserve(const struct frx_segment *segment, int64_t n_frame,
                                                int64_t n_exchange);

/* Set the number of rows; flush to the disk. Collective. */
FRX_CHECKED enum frx_status frx_segment_resize(struct frx_segment *segment, int64_t n_frame,
                                               int64_t n_exchange);
FRX_CHECKED enum frx_status frx_segment_flush(struct frx_segment *segment);

/* Write n whole rows of a column; n frames of one place from positions [n][n_bead][3]; the counts of
 * committed rows. Independent: Local. */
FRX_CHECKED enum frx_status frx_segment_write_rows(struct frx_segment *segment, enum frx_column column,
                                                   int64_t first, int n, const void *values);
FRX_CHECKED enum frx_status frx_segment_write_positions(struct frx_segment *segment, int64_t first, int n,
                                                        int place, const float *positions);
FRX_CHECKED enum frx_status frx_segment_write_committed(struct frx_segment *segment, int64_t n_frame,
                                                        int64_t n_exchange);

#endif
