/* Private to io/: the group `mixing` of a segment (docs/formats.md, "Segment"): how well replicas exchanged,
 * at the last commit. Datasets of fixed size, written over. */
#ifndef FRX_IO_SEGMENT_MIXING_H
#define FRX_IO_SEGMENT_MIXING_H

#include "segment.h"

/* Create the group, all zero. Errors: FRX_ERR_IO, FRX_ERR_MEMORY. Local, by one rank. */
FRX_CHECKED enum frx_status frx_segment_mixing_create(hid_t file, const struct frx_segment_shape *shape);

/* Write it. Errors: FRX_ERR_IO. Independent: Local, by one rank. */
FRX_CHECKED enum frx_status frx_segment_mixing_write(const struct frx_segment *segment,
                                                     const struct frx_mixing_record *record);

#endif
