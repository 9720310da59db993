/* Private to io/: views, the small H5MD files that show one place of a run as a trajectory
 * (docs/formats.md, "Views"). They hold no coordinates: their datasets are virtual ones on the run file
 * beside them (run_file.h) and grow with it, so they are made once. What analysis programs need beyond the
 * H5MD standard was tried and is tested: variable-length units, a group called `trajectory`, step and time
 * for every frame (MDAnalysis); `coordinates`, `time` with `units` and a JSON `topology` at the root
 * (mdtraj).
 *
 * Source: H5MD 1.1, de Buyl, Colberg, Hoefling, Comput. Phys. Commun. 185, 1546 (2014). */
#ifndef FRX_IO_VIEW_H
#define FRX_IO_VIEW_H

#include "segment.h"

/* Create the view of a place of the run in the same directory; `topology` is from frx_view_topology. Errors:
 * FRX_ERR_IO. Local. */
FRX_CHECKED enum frx_status frx_view_create(const char *path, const struct frx_segment_shape *shape,
                                            const struct frx_trajectory_options *options, int place,
                                            const char *topology);

/* The molecule as mdtraj's JSON; NULL if there is no memory. Owned by the caller. Local. */
char *frx_view_topology(const struct frx_system *system);

#endif
