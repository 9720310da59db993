#include "hdf5_write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- whole files ---- */

#define GROWTH (64 << 10) /* of a file in memory */

enum frx_status frx_hdf5_make(const char *path, hid_t *file) {
    FRX_HID access = H5Pcreate(H5P_FILE_ACCESS);
    return frx_hdf5_make_with(path, access, file);
}

enum frx_status frx_hdf5_make_with(const char *path, hid_t access, hid_t *file) {
    frx_hdf5_quiet();
    FRX_HDF5_TRY(H5Pset_fapl_core(access, GROWTH, 0), FRX_ERR_IO, "cannot create %s", path);
    *file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    FRX_HDF5_TRY(*file, FRX_ERR_IO, "cannot create %s", path);
    return FRX_OK;
}

static enum frx_status write_bytes(const char *path, const char *bytes, size_t n) {
    const int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (file < 0) return FRX_FAIL(FRX_ERR_IO, "cannot create %s: %s", path, strerror(errno));
    int reason = 0;
    while (n > 0 && reason == 0) {
        const ssize_t part = write(file, bytes, n);
        if (part < 0 && errno != EINTR) reason = errno;
        if (part > 0) bytes += part, n -= (size_t)part;
    }
    if (reason == 0 && fsync(file) != 0) reason = errno;
    if (close(file) != 0 && reason == 0) reason = errno;
    if (reason == 0) return FRX_OK;
    unlink(path);
    return FRX_FAIL(FRX_ERR_IO, "cannot write %s: %s", path, strerror(reason));
}

static enum frx_status write_image(const char *path, hid_t file) {
    char **image = NULL; /* the driver's handle is the address of its buffer */
    FRX_HDF5_TRY(H5Fflush(file, H5F_SCOPE_LOCAL), FRX_ERR_IO, "cannot make %s", path);
    const ssize_t n = H5Fget_file_image(file, NULL, 0);
    if (n < 0 || H5Fget_vfd_handle(file, H5P_DEFAULT, (void **)&image) < 0)
        return FRX_HDF5_FAIL(FRX_ERR_IO, "cannot make %s", path);
    return write_bytes(path, *image, (size_t)n);
}

enum frx_status frx_hdf5_save(const char *path, hid_t file, enum frx_status made) {
    const enum frx_status status = made == FRX_OK ? write_image(path, file) : made;
    H5Fclose(file);
    return status;
}

/* ---- parts of files ---- */

enum frx_status frx_hdf5_create_group(hid_t parent, const char *name, hid_t *group) {
    char place[FRX_PLACE_SIZE];
    frx_hdf5_place(parent, name, place);
    *group = H5Gcreate2(parent, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    FRX_HDF5_TRY(*group, FRX_ERR_IO, "cannot write %s", place);
    return FRX_OK;
}

enum frx_status frx_hdf5_write_array(hid_t parent, const char *name, hid_t type, int rank,
                                     const hsize_t *shape, const void *values) {
    char place[FRX_PLACE_SIZE];
    frx_hdf5_place(parent, name, place);
    FRX_HID space = H5Screate_simple(rank, shape, NULL);
    FRX_HID dataset = H5Dcreate2(parent, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    FRX_HDF5_TRY(dataset, FRX_ERR_IO, "cannot write %s", place);
    if (H5Sget_simple_extent_npoints(space) == 0) return FRX_OK;
    FRX_HDF5_TRY(H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values), FRX_ERR_IO,
                 "cannot write %s", place);
    return FRX_OK;
}

hid_t frx_hdf5_string_type(void) {
    const hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, H5T_VARIABLE);
    H5Tset_cset(type, H5T_CSET_UTF8);
    return type;
}

enum frx_status frx_hdf5_write_names(hid_t parent, const char *name, int n,
                                     const char (*values)[FRX_NAME_SIZE]) {
    const char **pointers = malloc(((size_t)n + 1) * sizeof *pointers);
    if (!pointers) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for %d names", n);
    for (int i = 0; i < n; i++) pointers[i] = values[i];
    FRX_HID type = frx_hdf5_string_type();
    const hsize_t shape = (hsize_t)n;
    const enum frx_status status = frx_hdf5_write_array(parent, name, type, 1, &shape, pointers);
    free(pointers);
    return status;
}

static enum frx_status put_attribute(hid_t object, const char *name, hid_t type, int n, const void *values) {
    char place[FRX_PLACE_SIZE];
    frx_hdf5_place(object, NULL, place);
    const hsize_t shape = (hsize_t)n;
    FRX_HID space = n > 0 ? H5Screate_simple(1, &shape, NULL) : H5Screate(H5S_SCALAR);
    FRX_HID attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    FRX_HDF5_TRY(attribute, FRX_ERR_IO, "cannot write %s: attribute %s", place, name);
    FRX_HDF5_TRY(H5Awrite(attribute, type, values), FRX_ERR_IO, "cannot write %s: attribute %s", place, name);
    return FRX_OK;
}

enum frx_status frx_hdf5_put_numbers(hid_t object, const char *name, hid_t type, int n, const void *values) {
    return put_attribute(object, name, type, n, values);
}

enum frx_status frx_hdf5_put_int(hid_t object, const char *name, int64_t value) {
    return put_attribute(object, name, H5T_NATIVE_INT64, 0, &value);
}

enum frx_status frx_hdf5_put_string(hid_t object, const char *name, const char *value) {
    FRX_HID type = frx_hdf5_string_type();
    return put_attribute(object, name, type, 0, &value);
}

enum frx_status frx_hdf5_write_molecule(hid_t file, const struct frx_system *system) {
    const struct frx_beads *beads = &system->beads;
    const int n = system->n_bead;
    const hsize_t n_bead = (hsize_t)n, bonds[2] = {(hsize_t)system->n_bond, 2};
    FRX_HID group = H5I_INVALID_HID, topology = H5I_INVALID_HID;
    FRX_TRY(frx_hdf5_create_group(file, "beads", &group));
    FRX_TRY(frx_hdf5_write_array(group, "type", H5T_NATIVE_INT32, 1, &n_bead, beads->type));
    FRX_TRY(frx_hdf5_write_array(group, "mass", H5T_NATIVE_DOUBLE, 1, &n_bead, beads->mass));
    FRX_TRY(frx_hdf5_write_array(group, "residue_index", H5T_NATIVE_INT32, 1, &n_bead, beads->residue_index));
    FRX_TRY(frx_hdf5_write_names(group, "name", n, (const char(*)[FRX_NAME_SIZE])beads->name));
    FRX_TRY(
        frx_hdf5_write_names(group, "residue_name", n, (const char(*)[FRX_NAME_SIZE])beads->residue_name));
    FRX_TRY(frx_hdf5_write_names(group, "chain", n, (const char(*)[FRX_NAME_SIZE])beads->chain));
    FRX_TRY(frx_hdf5_create_group(file, "topology", &topology));
    return frx_hdf5_write_array(topology, "bonds", H5T_NATIVE_INT32, 2, bonds, system->bonds);
}
