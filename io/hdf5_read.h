/* Private to io/: checked reading of what docs/formats.md allows. Every function verifies class, rank, shape
 * and storage before it allocates, and names the file and the full path of the member in its errors:
 * FRX_ERR_FORMAT (missing, wrong type or shape, too large, value out of range), FRX_ERR_IO, FRX_ERR_MEMORY.
 * Results are owned by the caller (free). All functions are Local. */
#ifndef FRX_IO_HDF5_READ_H
#define FRX_IO_HDF5_READ_H

#include "hdf5_util.h"
#include "system.h"

#include <stdint.h>

#define FRX_ANY         (-1)               /* a dimension that may have any size */
#define FRX_MAX_ELEMENT (INT64_C(1) << 27) /* elements of one dataset: 1 GiB of reals */

/* Whether there is a member of that name. */
int frx_hdf5_has(hid_t group, const char *name);

/* Open a group or dataset that must be there, by a hard link: no other file is read on behalf of this one. */
FRX_CHECKED enum frx_status frx_hdf5_open_group(hid_t parent, const char *name, hid_t *group);
FRX_CHECKED enum frx_status frx_hdf5_open_dataset(hid_t parent, const char *name, hid_t *dataset);

/* Read a dataset of `rank` dimensions whose sizes are shape[] or, where that is FRX_ANY, are put into it.
 * Reals: any float or integer type. Integers: any integer type, values within int32. Empty datasets give an
 * array that may be freed but not read. */
FRX_CHECKED enum frx_status frx_hdf5_read_reals(hid_t parent, const char *name, int rank, int *shape,
                                                double **values);
FRX_CHECKED enum frx_status frx_hdf5_read_ints(hid_t parent, const char *name, int rank, int *shape,
                                               int32_t **values);

/* Read n names, fixed- or variable-length, that must fit FRX_NAME_SIZE and hold no control characters. */
FRX_CHECKED enum frx_status frx_hdf5_read_names(hid_t parent, const char *name, int n,
                                                char (**values)[FRX_NAME_SIZE]);

/* Read a scalar attribute. `text` is for enumerations, of which the index in options[] (NULL-terminated) is
 * returned; the message lists them. */
FRX_CHECKED enum frx_status frx_hdf5_attribute_real(hid_t object, const char *name, double *value);
FRX_CHECKED enum frx_status frx_hdf5_attribute_int(hid_t object, const char *name, int64_t *value);
FRX_CHECKED enum frx_status frx_hdf5_attribute_string(hid_t object, const char *name, char **value);
FRX_CHECKED enum frx_status frx_hdf5_attribute_choice(hid_t object, const char *name,
                                                      const char *const *options, int *choice);

/* Member number i of a group in the order of names, i < *n, into a name that fits. */
FRX_CHECKED enum frx_status frx_hdf5_count_members(hid_t group, int *n);
FRX_CHECKED enum frx_status frx_hdf5_member_name(hid_t group, int i, char name[FRX_NAME_SIZE]);

/* A member that a group may have: `name`, or with count > 0 the names name0 .. name<count-1>. */
struct frx_hdf5_member {
    const char *name;
    int count;
};

/* Refuse members and attributes that are not in the lists, which end with a NULL name. */
FRX_CHECKED enum frx_status frx_hdf5_refuse_others(hid_t group, const struct frx_hdf5_member *members,
                                                   const char *const *attributes);

/* Number of members called prefix0, prefix1, .. without a gap. */
int frx_hdf5_count_numbered(hid_t group, const char *prefix);

#endif
