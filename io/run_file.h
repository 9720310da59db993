/* Private to io/: `run.h5`, the whole run as one HDF5 file without data of its own: virtual datasets of the
 * rows that are committed, of all segments but those from adapting the ladder. It is replaced as a whole by
 * every commit, so whoever opens it sees rows that are written and no others, whatever happened to the
 * writer. Layout: docs/formats.md, "Run file". */
#ifndef FRX_IO_RUN_FILE_H
#define FRX_IO_RUN_FILE_H

#include "segment_layout.h"

#define FRX_RUN_FILE "run.h5"

/* Create the file: rows [n_segment][2], committed frames and exchange events of each segment, of which the
 * first n_adapting are from adapting the ladder. Errors: FRX_ERR_IO. Local, by one rank. */
FRX_CHECKED enum frx_status frx_run_file_create(const char *path, const struct frx_segment_shape *shape,
                                                const char *generator, int n_segment, int n_adapting,
                                                const int64_t (*rows)[2]);

#endif
