#include "hdf5_write.h"

#include <stdlib.h>

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
