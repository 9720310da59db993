/* Private to io/: making whole files, and writing small things in one call. Errors: FRX_ERR_IO naming file,
 * member and reason. All functions are Local. */
#ifndef FRX_IO_HDF5_WRITE_H
#define FRX_IO_HDF5_WRITE_H

#include "hdf5_util.h"
#include "system.h"

#include <stdint.h>

/* Files are made in memory, then written in one piece: HDF5 1.10 does not survive a failed write, it leaves
 * an object that it can neither close nor forget and crashes at the end of the program. `path` is for
 * messages. `access`: properties that ask for more than the usual; the driver is set here. frx_hdf5_save
 * writes and closes the file made; if `made` is a failure it closes only, and returns it. */
FRX_CHECKED enum frx_status frx_hdf5_make(const char *path, hid_t *file);
FRX_CHECKED enum frx_status frx_hdf5_make_with(const char *path, hid_t access, hid_t *file);
FRX_CHECKED enum frx_status frx_hdf5_save(const char *path, hid_t file, enum frx_status made);

/* Create a group. */
FRX_CHECKED enum frx_status frx_hdf5_create_group(hid_t parent, const char *name, hid_t *group);

/* Create a dataset of rank <= 3 and write values of a native type, which is the type in the file too. */
FRX_CHECKED enum frx_status frx_hdf5_write_array(hid_t parent, const char *name, hid_t type, int rank,
                                                 const hsize_t *shape, const void *values);
FRX_CHECKED enum frx_status frx_hdf5_write_names(hid_t parent, const char *name, int n,
                                                 const char (*values)[FRX_NAME_SIZE]);

/* Attach attributes to a group or dataset: numbers of a native type as array [n] (n = 0: scalar), and
 * variable-length UTF-8 strings. */
FRX_CHECKED enum frx_status frx_hdf5_put_numbers(hid_t object, const char *name, hid_t type, int n,
                                                 const void *values);
FRX_CHECKED enum frx_status frx_hdf5_put_int(hid_t object, const char *name, int64_t value);
FRX_CHECKED enum frx_status frx_hdf5_put_string(hid_t object, const char *name, const char *value);

/* Variable-length UTF-8, the type of all our strings; the caller closes it. */
hid_t frx_hdf5_string_type(void);

/* Write beads (type, mass, name, ..) and bonds into groups `beads` and `topology` as a system file has them.
 */
FRX_CHECKED enum frx_status frx_hdf5_write_molecule(hid_t file, const struct frx_system *system);

#endif
