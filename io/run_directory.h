/* Private to io/: what files a run directory holds, and making them. */
#ifndef FRX_IO_RUN_DIRECTORY_H
#define FRX_IO_RUN_DIRECTORY_H

#include "segment.h"

#define FRX_SEGMENT_FORMAT "segment_%04d.h5" /* counted from 1 */
#define FRX_RUN_PDB        "system.pdb"

/* "directory/name", owned by the caller; NULL if there is no memory. Local. */
char *frx_run_path(const char *directory, const char *name);

/* Number of segments in a directory: segment_0001.h5, segment_0002.h5, .. without a gap. Local. */
int frx_run_count_segments(const char *directory);

/* Make the directory if need be, the skeleton of the first segment, the views and the PDB. Everything is made
 * under temporary names first: on failure nothing is left behind and an older run is unharmed. Errors:
 * FRX_ERR_EXISTS if there is a run and options->overwrite is 0, FRX_ERR_IO, FRX_ERR_MODEL, FRX_ERR_MEMORY.
 * Local, by one rank. */
FRX_CHECKED enum frx_status frx_run_create(const char *directory, const struct frx_segment_shape *shape,
                                           const struct frx_trajectory_options *options);

#endif
