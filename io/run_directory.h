/* Private to io/: what files a run directory holds, and making them. */
#ifndef FRX_IO_RUN_DIRECTORY_H
#define FRX_IO_RUN_DIRECTORY_H

#include "segment.h"

#define FRX_SEGMENT_FORMAT "segment_%04d.h5" /* counted from 1 */
#define FRX_RUN_PDB        "system.pdb"

/* "directory/name", owned by the caller; NULL if there is no memory. Local. */
char *frx_run_path(const char *directory, const char *name);

/* Show rows [n_segment][2] of the segments and no others: replace journal and run file. The first n_adapting
 * are from adapting the ladder. Errors: FRX_ERR_IO, FRX_ERR_MEMORY; then the older ones are unharmed. Local,
 * by one rank. */
FRX_CHECKED enum frx_status frx_run_show(const char *directory, const struct frx_segment_shape *shape,
                                         const char *generator, int n_segment, int n_adapting,
                                         const int64_t (*rows)[2]);

/* Make the directory if need be, the skeleton of the first segment, journal, run file, views and PDB; for a
 * run that is continued the skeleton of the next segment, journal, run file and the views that are not there
 * (there are none while the ladder is adapted). rows [n_previous+1][2]: of
 * the segments, the new one's included. Everything is made under temporary names first: on failure nothing is
 * left behind and an older run is unharmed. Errors: FRX_ERR_EXISTS if there is a run and options->overwrite
 * is 0, FRX_ERR_IO, FRX_ERR_MODEL, FRX_ERR_MEMORY. Local, by one rank. */
FRX_CHECKED enum frx_status frx_run_create(const char *directory, const struct frx_segment_shape *shape,
                                           const struct frx_trajectory_options *options,
                                           const int64_t (*rows)[2]);

#endif
