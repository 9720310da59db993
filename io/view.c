#include "view.h"

#include "hdf5_write.h"
#include "run_file.h"
#include "units.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- mdtraj's topology ---- */

static void print_string(FILE *json, const char *text) {
    fputc('"', json);
    for (; *text; text++) { /* names hold no control characters */
        if (*text == '"' || *text == '\\') fputc('\\', json);
        fputc(*text, json);
    }
    fputc('"', json);
}

static void print_topology(FILE *json, const struct frx_system *system) {
    const struct frx_beads *beads = &system->beads;
    int n_chain = 0, n_residue = 0;
    fputs("{\"chains\": [", json);
    for (int i = 0; i < system->n_bead; i++) {
        const int new_chain = i == 0 || strcmp(beads->chain[i], beads->chain[i - 1]) != 0;
        const int new_residue = new_chain || beads->residue_index[i] != beads->residue_index[i - 1];
        if (i > 0) fputs(new_chain ? "]}]}, " : new_residue ? "]}, " : ", ", json);
        if (new_chain) {
            fprintf(json, "{\"index\": %d, \"chain_id\": ", n_chain++);
            print_string(json, beads->chain[i]);
            fputs(", \"residues\": [", json);
        }
        if (new_residue) {
            fprintf(json, "{\"index\": %d, \"resSeq\": %d, \"segmentID\": \"\", \"name\": ", n_residue++,
                    beads->residue_index[i]);
            print_string(json, beads->residue_name[i]);
            fputs(", \"atoms\": [", json);
        }
        fprintf(json,
                "{\"index\": %d, \"element\": \"VS\", \"name\": ", i); /* VS: a virtual site, no element */
        print_string(json, beads->name[i]);
        fputc('}', json);
    }
    fputs("]}]}], \"bonds\": [", json);
    for (int b = 0; b < system->n_bond; b++)
        fprintf(json, "%s[%d, %d]", b ? ", " : "", system->bonds[2 * b], system->bonds[2 * b + 1]);
    fputs("]}", json);
}

char *frx_view_topology(const struct frx_system *system) {
    char *text = NULL;
    size_t size;
    FILE *json = open_memstream(&text, &size);
    if (!json) return NULL;
    print_topology(json, system);
    if (fclose(json) == 0) return text;
    free(text);
    return NULL;
}

/* ---- datasets ---- */

/* A virtual dataset of all rows of a dataset of the run file with dimensions [n_row][n_place]..[3], for one
 * place; place < 0: dataset [n_row]. It has as many rows as the run file has when it is opened. */
static enum frx_status create_virtual(hid_t group, const char *name, const char *source_name, hid_t type,
                                      int source_rank, const struct frx_segment_shape *shape, int place,
                                      hid_t *dataset) {
    const hsize_t n_place = (hsize_t)shape->n_place, n_bead = (hsize_t)shape->n_bead;
    const hsize_t source[4] = {0, n_place, n_bead, 3}, source_most[4] = {H5S_UNLIMITED, n_place, n_bead, 3};
    const hsize_t dims[3] = {0, n_bead, 3}, most[3] = {H5S_UNLIMITED, n_bead, 3};
    hsize_t start[4] = {0};
    const hsize_t count[4] = {H5S_UNLIMITED, 1, 1, 1}, block[4] = {1, 1, n_bead, 3},
                  to_block[3] = {1, n_bead, 3};
    const int rank = source_rank > 1 ? source_rank - 1 : 1;
    FRX_HID properties = H5Pcreate(H5P_DATASET_CREATE);
    FRX_HID to = H5Screate_simple(rank, dims, most),
            from = H5Screate_simple(source_rank, source, source_most);
    int failed = H5Sselect_hyperslab(to, H5S_SELECT_SET, start, NULL, count, to_block) < 0;
    if (place >= 0) start[1] = (hsize_t)place;
    failed |= H5Sselect_hyperslab(from, H5S_SELECT_SET, start, NULL, count, block) < 0;
    if (failed || H5Pset_virtual(properties, to, FRX_RUN_FILE, source_name, from) < 0)
        return FRX_HDF5_FAIL(FRX_ERR_IO, "cannot map %s of the run file", source_name);
    *dataset = H5Dcreate2(group, name, type, to, H5P_DEFAULT, properties, H5P_DEFAULT);
    FRX_HDF5_TRY(*dataset, FRX_ERR_IO, "cannot create virtual dataset %s", name);
    return FRX_OK;
}

/* An H5MD element: value, step and time. Step and time of the first are linked to by the others. */
static enum frx_status create_element(hid_t parent, const char *name, const char *source_name, hid_t type,
                                      int source_rank, const struct frx_segment_shape *shape, int place,
                                      const char *unit, hid_t clock, hid_t *element) {
    FRX_HID value = H5I_INVALID_HID, step = H5I_INVALID_HID, time = H5I_INVALID_HID;
    FRX_TRY(frx_hdf5_create_group(parent, name, element));
    FRX_TRY(create_virtual(*element, "value", source_name, type, source_rank, shape, place, &value));
    if (unit) FRX_TRY(frx_hdf5_put_string(value, "unit", unit));
    if (clock >= 0) {
        if (H5Lcreate_hard(clock, "step", *element, "step", H5P_DEFAULT, H5P_DEFAULT) < 0 ||
            H5Lcreate_hard(clock, "time", *element, "time", H5P_DEFAULT, H5P_DEFAULT) < 0)
            return FRX_HDF5_FAIL(FRX_ERR_IO, "cannot link step and time of %s", name);
        return FRX_OK;
    }
    FRX_TRY(frx_hdf5_put_string(value, "units", "angstroms")); /* mdtraj's spelling, through /coordinates */
    FRX_TRY(create_virtual(*element, "step", "/frames/step", H5T_NATIVE_INT64, 1, shape, -1, &step));
    FRX_TRY(create_virtual(*element, "time", "/frames/time", H5T_NATIVE_DOUBLE, 1, shape, -1, &time));
    FRX_TRY(frx_hdf5_put_string(time, "unit", "ps"));
    return frx_hdf5_put_string(time, "units", "picoseconds");
}

/* ---- the file ---- */

static enum frx_status write_h5md(hid_t file, const char *generator) {
    const int version[2] = {1, 1};
    FRX_HID h5md = H5I_INVALID_HID, author = H5I_INVALID_HID, creator = H5I_INVALID_HID;
    FRX_TRY(frx_hdf5_create_group(file, "h5md", &h5md));
    FRX_TRY(frx_hdf5_put_numbers(h5md, "version", H5T_NATIVE_INT, 2, version));
    FRX_TRY(frx_hdf5_create_group(h5md, "author", &author));
    FRX_TRY(frx_hdf5_put_string(author, "name", "unknown"));
    FRX_TRY(frx_hdf5_create_group(h5md, "creator", &creator));
    FRX_TRY(frx_hdf5_put_string(creator, "name", "flashrex"));
    return frx_hdf5_put_string(creator, "version", generator);
}

static enum frx_status write_place(hid_t file, const struct frx_trajectory_options *options, int place) {
    const int rung = place % options->n_rung;
    const double temperature = FRX_KELVIN_OF_BETA(options->beta[rung]);
    FRX_HID group = H5I_INVALID_HID;
    FRX_TRY(frx_hdf5_put_string(file, "flashrex_format", "view"));
    FRX_TRY(frx_hdf5_put_int(file, "version", 1));
    FRX_TRY(frx_hdf5_put_string(file, "generator", options->generator));
    FRX_TRY(frx_hdf5_create_group(file, "flashrex", &group));
    FRX_TRY(frx_hdf5_put_int(group, "place", place));
    FRX_TRY(frx_hdf5_put_int(group, "ladder", place / options->n_rung));
    FRX_TRY(frx_hdf5_put_int(group, "rung", rung));
    FRX_TRY(frx_hdf5_put_numbers(group, "beta", H5T_NATIVE_DOUBLE, 0, &options->beta[rung]));
    return frx_hdf5_put_numbers(group, "temperature", H5T_NATIVE_DOUBLE, 0, &temperature);
}

static enum frx_status write_box(hid_t trajectory) {
    const char *const open[3] = {"none", "none", "none"};
    const int dimension = 3;
    FRX_HID box = H5I_INVALID_HID, type = frx_hdf5_string_type();
    FRX_TRY(frx_hdf5_create_group(trajectory, "box", &box));
    FRX_TRY(frx_hdf5_put_numbers(box, "dimension", H5T_NATIVE_INT, 0, &dimension));
    return frx_hdf5_put_numbers(box, "boundary", type, 3, open);
}

/* mdtraj wants one fixed-length string and no more of it. */
static enum frx_status write_topology(hid_t file, const char *topology) {
    const hsize_t one = 1;
    FRX_HID type = H5Tcopy(H5T_C_S1);
    FRX_HDF5_TRY(H5Tset_size(type, strlen(topology) + 1), FRX_ERR_IO, "cannot write the topology of a view");
    return frx_hdf5_write_array(file, "topology", type, 1, &one, topology);
}

static enum frx_status write_view(hid_t file, const struct frx_segment_shape *shape,
                                  const struct frx_trajectory_options *options, int place,
                                  const char *topology) {
    FRX_HID particles = H5I_INVALID_HID, trajectory = H5I_INVALID_HID, position = H5I_INVALID_HID;
    FRX_HID observables = H5I_INVALID_HID, energy = H5I_INVALID_HID, kinetic = H5I_INVALID_HID,
            identity = H5I_INVALID_HID;
    FRX_TRY(write_place(file, options, place));
    FRX_TRY(write_h5md(file, options->generator));
    FRX_TRY(frx_hdf5_create_group(file, "particles", &particles));
    FRX_TRY(frx_hdf5_create_group(particles, "trajectory", &trajectory));
    FRX_TRY(write_box(trajectory));
    FRX_TRY(create_element(trajectory, "position", "/frames/position", H5T_NATIVE_FLOAT, 4, shape, place,
                           "Angstrom", H5I_INVALID_HID, &position));
    FRX_TRY(frx_hdf5_create_group(file, "observables", &observables));
    FRX_TRY(create_element(observables, "potential_energy", "/frames/energy", H5T_NATIVE_DOUBLE, 2, shape,
                           place, "kcal mol-1", position, &energy));
    FRX_TRY(create_element(observables, "kinetic_energy", "/frames/kinetic_energy", H5T_NATIVE_DOUBLE, 2,
                           shape, place, "kcal mol-1", position, &kinetic));
    FRX_TRY(create_element(observables, "replica", "/frames/identity", H5T_NATIVE_UINT32, 2, shape, place,
                           NULL, position, &identity));
    if (H5Lcreate_hard(position, "value", file, "coordinates", H5P_DEFAULT, H5P_DEFAULT) < 0 ||
        H5Lcreate_hard(position, "time", file, "time", H5P_DEFAULT, H5P_DEFAULT) < 0)
        return FRX_HDF5_FAIL(FRX_ERR_IO, "cannot link the coordinates of a view");
    return write_topology(file, topology);
}

enum frx_status frx_view_create(const char *path, const struct frx_segment_shape *shape,
                                const struct frx_trajectory_options *options, int place,
                                const char *topology) {
    hid_t file;
    FRX_TRY(frx_hdf5_make(path, &file));
    return frx_hdf5_save(path, file, write_view(file, shape, options, place, topology));
}

static int n_digit(int largest) {
    char text[16];
    return snprintf(text, sizeof text, "%d", largest);
}

void frx_view_name(int n_ladder, int n_rung, const double *beta, int place, char name[FRX_VIEW_NAME_SIZE]) {
    char ladder[32] = "";
    if (n_ladder > 1) snprintf(ladder, sizeof ladder, "ladder_%0*d_", n_digit(n_ladder - 1), place / n_rung);
    const int rung = place % n_rung, width = n_rung > 10 ? n_digit(n_rung - 1) : 2;
    snprintf(name, FRX_VIEW_NAME_SIZE, "%sT_%0*d_%.1fK.h5md", ladder, width, rung,
             FRX_KELVIN_OF_BETA(beta[rung]));
}
