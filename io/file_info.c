#include "file_info.h"

#include "guard.h"
#include "hdf5_read.h"
#include "journal.h"
#include "run_directory.h"
#include "sha256.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int64_t file_size(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 ? (int64_t)status.st_size : 0;
}

/* Dimensions of a dataset of the given rank, without its values. */
static enum frx_status read_shape(hid_t file, const char *name, int rank, int64_t *shape) {
    FRX_HID dataset = H5I_INVALID_HID;
    FRX_TRY(frx_hdf5_open_dataset(file, name, &dataset));
    FRX_HID space = H5Dget_space(dataset);
    hsize_t dims[H5S_MAX_RANK] = {0};
    if (H5Sget_simple_extent_dims(space, dims, NULL) != rank) {
        char place[FRX_PLACE_SIZE];
        frx_hdf5_place(file, name, place);
        return FRX_FAIL(FRX_ERR_FORMAT, "%s has another rank than %d", place, rank);
    }
    for (int d = 0; d < rank; d++) shape[d] = dims[d] > INT32_MAX ? INT32_MAX : (int64_t)dims[d];
    return FRX_OK;
}

static enum frx_status describe_system(hid_t file, const char *path, struct frx_file_info *info) {
    FRX_HID structures = H5I_INVALID_HID;
    int64_t shape[3];
    FRX_TRY(frx_hdf5_open_group(file, "structures", &structures));
    FRX_TRY(read_shape(structures, "positions", 3, shape));
    info->n_frame = shape[0];
    info->n_bead = (int)shape[1];
    return frx_sha256_file(path, info->sha256);
}

static enum frx_status describe_frames(hid_t file, struct frx_file_info *info) {
    int64_t shape[3];
    FRX_TRY(read_shape(file, "positions", 3, shape));
    info->n_frame = shape[0];
    info->n_bead = (int)shape[1];
    return FRX_OK;
}

/* ---- runs ---- */

static enum frx_status describe_run_group(hid_t run, struct frx_file_info *info) {
    int64_t n_ladder = 0, seed = 0;
    char *sha256 = NULL;
    FRX_TRY(frx_hdf5_attribute_int(run, "n_ladder", &n_ladder));
    FRX_TRY(frx_hdf5_attribute_int(run, "seed", &seed));
    FRX_TRY(frx_hdf5_attribute_real(run, "timestep", &info->timestep));
    FRX_TRY(frx_hdf5_attribute_string(run, "config", &info->config));
    FRX_TRY(frx_hdf5_attribute_string(run, "build", &info->build));
    FRX_TRY(frx_hdf5_attribute_string(run, "system", &info->system_path));
    FRX_TRY(frx_hdf5_attribute_string(run, "system_sha256", &sha256));
    snprintf(info->sha256, sizeof info->sha256, "%s", sha256);
    free(sha256);
    info->n_ladder = (int)n_ladder;
    info->n_rung = FRX_ANY; /* as many as there are betas */
    info->seed = (uint64_t)seed;
    return FRX_OK;
}

/* The ladder of a segment, and whether it was being adapted; a ladder that was is of no interest later. */
static enum frx_status describe_ladder(hid_t run, int64_t *adapting, struct frx_file_info *info) {
    *adapting = 0;
    if (H5Aexists(run, "adapting") > 0) FRX_TRY(frx_hdf5_attribute_int(run, "adapting", adapting));
    free(info->beta);
    info->beta = NULL;
    return frx_hdf5_read_reals(run, "beta", 1, &info->n_rung, &info->beta);
}

static double average(int n, const double *values) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += values[i];
    return sum / n;
}

/* Rates [n_ladder] of the group `mixing`, averaged. */
static enum frx_status read_rate(hid_t mixing, const char *name, int n_ladder, double *rate) {
    double *values = NULL;
    FRX_TRY(frx_hdf5_read_reals(mixing, name, 1, &n_ladder, &values));
    *rate = average(n_ladder, values);
    free(values);
    return FRX_OK;
}

/* How replicas mix; of the newest segment that says so. */
static enum frx_status describe_mixing(hid_t file, struct frx_file_info *info) {
    FRX_HID mixing = H5I_INVALID_HID;
    int shape[2] = {info->n_ladder, info->n_rung - 1}, one = 1;
    double *n_event = NULL, *acceptance = NULL;
    if (!frx_hdf5_has(file, "mixing") || shape[0] < 1 || shape[1] < 1) return FRX_OK;
    FRX_TRY(frx_hdf5_open_group(file, "mixing", &mixing));
    FRX_TRY(frx_hdf5_read_reals(mixing, "n_event", 1, &one, &n_event));
    info->n_mixing = (int64_t)n_event[0];
    free(n_event);
    if (info->n_mixing == 0) return FRX_OK; /* what an earlier segment said is still true */
    FRX_TRY(read_rate(mixing, "round_trip_rate", info->n_ladder, &info->round_trip_rate));
    FRX_TRY(read_rate(mixing, "predicted_round_trip_rate", info->n_ladder, &info->predicted_round_trip_rate));
    FRX_TRY(frx_hdf5_read_reals(mixing, "acceptance", 2, shape, &acceptance));
    for (int p = 0; p < shape[1]; p++) {
        for (int l = 1; l < shape[0]; l++) acceptance[p] += acceptance[l * shape[1] + p];
        acceptance[p] /= shape[0];
    }
    free(info->acceptance);
    info->acceptance = acceptance;
    return FRX_OK;
}

static enum frx_status read_step(hid_t file, int64_t frame, int64_t *step) {
    FRX_HID frames = H5I_INVALID_HID, dataset = H5I_INVALID_HID;
    const hsize_t start = (hsize_t)frame, one = 1;
    FRX_TRY(frx_hdf5_open_group(file, "frames", &frames));
    FRX_TRY(frx_hdf5_open_dataset(frames, "step", &dataset));
    FRX_HID space = H5Dget_space(dataset), memory = H5Screate_simple(1, &one, NULL);
    if (H5Sselect_hyperslab(space, H5S_SELECT_SET, &start, NULL, &one, NULL) < 0 ||
        H5Dread(dataset, H5T_NATIVE_INT64, memory, space, H5P_DEFAULT, step) < 0) {
        char place[FRX_PLACE_SIZE];
        frx_hdf5_place(dataset, NULL, place);
        return FRX_HDF5_FAIL(FRX_ERR_FORMAT, "%s cannot be read", place);
    }
    return FRX_OK;
}

/* Committed frames and exchange events: what the journal says (NULL: nothing), else what the file says, but
 * no more than there are. */
static enum frx_status read_committed(hid_t file, const int64_t *counted, int64_t committed[2]) {
    FRX_HID dataset = H5I_INVALID_HID, frames = H5I_INVALID_HID, exchanges = H5I_INVALID_HID;
    int64_t shape[1], extent[2];
    char place[FRX_PLACE_SIZE];
    frx_hdf5_place(file, "committed", place);
    FRX_TRY(read_shape(file, "committed", 1, shape));
    FRX_TRY(frx_hdf5_open_dataset(file, "committed", &dataset));
    if (shape[0] != 2 || H5Dread(dataset, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, committed) < 0)
        return FRX_FAIL(FRX_ERR_FORMAT, "%s cannot be read", place);
    if (counted) memcpy(committed, counted, 2 * sizeof *committed);
    FRX_TRY(frx_hdf5_open_group(file, "frames", &frames));
    FRX_TRY(read_shape(frames, "step", 1, &extent[0]));
    FRX_TRY(frx_hdf5_open_group(file, "exchanges", &exchanges));
    FRX_TRY(read_shape(exchanges, "step", 1, &extent[1]));
    for (int k = 0; k < 2; k++) {
        if (committed[k] < 0) return FRX_FAIL(FRX_ERR_FORMAT, "%s is negative", place);
        if (committed[k] > extent[k]) committed[k] = extent[k];
    }
    return FRX_OK;
}

/* Add one segment; those before it have been added. counted: how many of its rows count; NULL: as it says. */
static enum frx_status add_segment(hid_t file, const int64_t *counted, struct frx_file_info *info) {
    FRX_HID frames = H5I_INVALID_HID, run = H5I_INVALID_HID;
    int64_t committed[2] = {0, 0}, shape[4], adapting;
    FRX_TRY(frx_hdf5_open_group(file, "run", &run));
    if (info->n_segment == 0) FRX_TRY(describe_run_group(run, info));
    FRX_TRY(describe_ladder(run, &adapting, info));
    FRX_TRY(frx_hdf5_open_group(file, "frames", &frames));
    FRX_TRY(read_shape(frames, "position", 4, shape));
    FRX_TRY(read_committed(file, counted, committed));
    if (shape[1] != (int64_t)info->n_ladder * info->n_rung) {
        char place[FRX_PLACE_SIZE];
        frx_hdf5_place(frames, "position", place);
        return FRX_FAIL(FRX_ERR_FORMAT, "%s has %lld places, expected %d ladders of %d", place,
                        (long long)shape[1], info->n_ladder, info->n_rung);
    }
    info->n_bead = (int)shape[2];
    info->n_segment++;
    if (adapting) {
        for (int k = 0; k < 2; k++) info->n_adapting[k] += committed[k];
        return FRX_OK;
    }
    FRX_TRY(describe_mixing(file, info));
    if (committed[0] > 0 && info->n_frame == 0) FRX_TRY(read_step(file, 0, &info->first_step));
    if (committed[0] > 0) FRX_TRY(read_step(file, committed[0] - 1, &info->last_step));
    info->n_frame += committed[0];
    info->n_exchange += committed[1];
    return FRX_OK;
}

/* ---- any file ---- */

static enum frx_status describe_file(const char *path, int in_run, const int64_t *counted,
                                     struct frx_file_info *info) {
    static const char *const formats[] = {"system", "segment", "frames", "view", NULL};
    FRX_HID file = H5I_INVALID_HID;
    FRX_TRY(frx_hdf5_open(path, &file));
    info->n_byte += file_size(path);
    int format;
    int64_t version = 0;
    if (H5Aexists(file, "flashrex_format") <= 0) { /* frames files of other programs */
        if (!frx_hdf5_has(file, "positions") || in_run)
            return FRX_FAIL(FRX_ERR_FORMAT, "%s is an HDF5 file, but not one of flashrex", path);
        info->kind = FRX_FILE_FRAMES;
        return describe_frames(file, info);
    }
    FRX_TRY(frx_hdf5_attribute_choice(file, "flashrex_format", formats, &format));
    FRX_TRY(frx_hdf5_attribute_int(file, "version", &version));
    info->version = (int)version;
    if (!info->generator) FRX_TRY(frx_hdf5_attribute_string(file, "generator", &info->generator));
    if (in_run && format != 1) return FRX_FAIL(FRX_ERR_FORMAT, "%s is not a segment of a run", path);
    switch (format) {
    case 0:
        info->kind = FRX_FILE_SYSTEM;
        return describe_system(file, path, info);
    case 1:
        info->kind = FRX_FILE_RUN;
        return add_segment(file, counted, info);
    case 2:
        info->kind = FRX_FILE_FRAMES;
        return describe_frames(file, info);
    default:
        return FRX_FAIL(FRX_ERR_FORMAT, "%s is a view of a run: give the run's directory", path);
    }
}

static enum frx_status describe_segments(const char *directory, int n_journal, const int64_t (*counted)[2],
                                         struct frx_file_info *info) {
    const int n_segment = frx_run_count_segments(directory);
    if (n_segment == 0) return FRX_FAIL(FRX_ERR_FORMAT, "%s is a directory without a run in it", directory);
    for (int s = 1; s <= n_segment; s++) {
        char name[32];
        snprintf(name, sizeof name, FRX_SEGMENT_FORMAT, s);
        char *path = frx_run_path(directory, name);
        if (!path) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for a path");
        const enum frx_status status = describe_file(path, 1, s <= n_journal ? counted[s - 1] : NULL, info);
        free(path);
        if (status != FRX_OK) return status;
    }
    return FRX_OK;
}

static enum frx_status describe_directory(const char *directory, struct frx_file_info *info) {
    int n_journal;
    int64_t(*counted)[2];
    FRX_TRY(frx_journal_read(directory, &n_journal, &counted));
    const enum frx_status status =
        describe_segments(directory, n_journal, (const int64_t(*)[2])counted, info);
    free(counted);
    return status;
}

enum frx_status frx_file_info_read_unguarded(const char *path, struct frx_file_info *info) {
    memset(info, 0, sizeof *info);
    struct stat status;
    const int is_directory = stat(path, &status) == 0 && S_ISDIR(status.st_mode);
    const enum frx_status result =
        is_directory ? describe_directory(path, info) : describe_file(path, 0, NULL, info);
    if (result != FRX_OK) frx_file_info_clear(info);
    return result;
}

static enum frx_status probe(const char *path) {
    struct frx_file_info info;
    const enum frx_status status = frx_file_info_read_unguarded(path, &info);
    frx_file_info_clear(&info);
    return status;
}

enum frx_status frx_file_info_read(const char *path, struct frx_file_info *info) {
    memset(info, 0, sizeof *info);
    FRX_TRY(frx_guard(path, probe));
    return frx_file_info_read_unguarded(path, info);
}

const char *frx_file_kind_name(enum frx_file_kind kind) {
    static const char *const names[] = {"system file", "run", "frames file"};
    return names[kind];
}

void frx_file_info_clear(struct frx_file_info *info) {
    if (!info) return;
    free(info->generator);
    free(info->beta);
    free(info->acceptance);
    free(info->system_path);
    free(info->config);
    free(info->build);
    memset(info, 0, sizeof *info);
}
