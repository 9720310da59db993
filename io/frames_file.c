#include "frames_file.h"

#include "guard.h"
#include "hdf5_read.h"
#include "hdf5_write.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FRAMES_VERSION 1

/* ---- reading ---- */

static enum frx_status read_parts(hid_t file, struct frx_frames *frames) {
    FRX_HID group = H5I_INVALID_HID;
    int n_part = 0;
    FRX_TRY(frx_hdf5_open_group(file, "parts", &group));
    FRX_TRY(frx_hdf5_count_members(group, &n_part));
    const size_t n = (size_t)n_part;
    frames->part_name = calloc(n + 1, sizeof *frames->part_name);
    frames->parts = calloc(n * (size_t)frames->n_frame + 1, sizeof *frames->parts);
    if (!frames->part_name || !frames->parts)
        return FRX_FAIL(FRX_ERR_MEMORY, "no memory for %d parts", n_part);
    frames->n_part = n_part;
    for (int p = 0; p < n_part; p++) {
        double *part = NULL;
        FRX_TRY(frx_hdf5_member_name(group, p, frames->part_name[p]));
        FRX_TRY(frx_hdf5_read_reals(group, frames->part_name[p], 1, &frames->n_frame, &part));
        for (int f = 0; f < frames->n_frame; f++) frames->parts[(size_t)f * n + p] = part[f];
        free(part);
    }
    return FRX_OK;
}

static enum frx_status read_frames(const char *path, struct frx_frames *frames) {
    FRX_HID file = H5I_INVALID_HID;
    FRX_TRY(frx_hdf5_open(path, &file));
    int shape[3] = {FRX_ANY, FRX_ANY, 3};
    FRX_TRY(frx_hdf5_read_reals(file, "positions", 3, shape, &frames->positions));
    if (shape[0] < 1 || shape[1] < 1)
        return FRX_FAIL(FRX_ERR_FORMAT, "%s: /positions holds %d frames of %d beads", path, shape[0],
                        shape[1]);
    frames->n_frame = shape[0];
    frames->n_bead = shape[1];
    if (frx_hdf5_has(file, "energy")) FRX_TRY(frx_hdf5_read_reals(file, "energy", 1, shape, &frames->energy));
    if (frx_hdf5_has(file, "forces")) FRX_TRY(frx_hdf5_read_reals(file, "forces", 3, shape, &frames->forces));
    return frx_hdf5_has(file, "parts") ? read_parts(file, frames) : FRX_OK;
}

enum frx_status frx_frames_read_unguarded(const char *path, struct frx_frames *frames) {
    memset(frames, 0, sizeof *frames);
    const enum frx_status status = read_frames(path, frames);
    if (status != FRX_OK) frx_frames_clear(frames);
    return status;
}

static enum frx_status probe(const char *path) {
    struct frx_frames frames;
    const enum frx_status status = frx_frames_read_unguarded(path, &frames);
    frx_frames_clear(&frames);
    return status;
}

enum frx_status frx_frames_read(const char *path, struct frx_frames *frames) {
    memset(frames, 0, sizeof *frames);
    FRX_TRY(frx_guard(path, probe));
    return frx_frames_read_unguarded(path, frames);
}

/* ---- writing ---- */

static enum frx_status write_parts(hid_t file, const struct frx_frames *frames) {
    FRX_HID group = H5I_INVALID_HID;
    const hsize_t n_frame = (hsize_t)frames->n_frame;
    FRX_TRY(frx_hdf5_create_group(file, "parts", &group));
    double *part = malloc((size_t)frames->n_frame * sizeof *part);
    if (!part) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for %d frames", frames->n_frame);
    enum frx_status status = FRX_OK;
    for (int p = 0; p < frames->n_part && status == FRX_OK; p++) {
        for (int f = 0; f < frames->n_frame; f++) part[f] = frames->parts[(size_t)f * frames->n_part + p];
        status = frx_hdf5_write_array(group, frames->part_name[p], H5T_NATIVE_DOUBLE, 1, &n_frame, part);
    }
    free(part);
    return status;
}

static enum frx_status write_content(hid_t file, const struct frx_frames *frames, const char *generator) {
    const hsize_t shape[3] = {(hsize_t)frames->n_frame, (hsize_t)frames->n_bead, 3};
    const hid_t real = H5T_NATIVE_DOUBLE;
    FRX_TRY(frx_hdf5_put_string(file, "flashrex_format", "frames"));
    FRX_TRY(frx_hdf5_put_int(file, "version", FRAMES_VERSION));
    FRX_TRY(frx_hdf5_put_string(file, "generator", generator));
    FRX_TRY(frx_hdf5_write_array(file, "positions", real, 3, shape, frames->positions));
    if (frames->energy) FRX_TRY(frx_hdf5_write_array(file, "energy", real, 1, shape, frames->energy));
    if (frames->forces) FRX_TRY(frx_hdf5_write_array(file, "forces", real, 3, shape, frames->forces));
    return frames->parts ? write_parts(file, frames) : FRX_OK;
}

static enum frx_status write_file(const char *path, const struct frx_frames *frames, const char *generator) {
    hid_t file;
    FRX_TRY(frx_hdf5_make(path, &file));
    return frx_hdf5_save(path, file, write_content(file, frames, generator));
}

enum frx_status frx_frames_write(const char *path, const struct frx_frames *frames, const char *generator,
                                 int overwrite) {
    if (!overwrite && access(path, F_OK) == 0) return FRX_FAIL(FRX_ERR_EXISTS, "%s exists already", path);
    const size_t size = strlen(path) + 8;
    char *temporary = malloc(size);
    if (!temporary) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for a path");
    snprintf(temporary, size, "%s.tmp", path);
    enum frx_status status = write_file(temporary, frames, generator);
    if (status == FRX_OK && rename(temporary, path) != 0)
        status = FRX_FAIL(FRX_ERR_IO, "cannot rename %s to %s: %s", temporary, path, strerror(errno));
    if (status != FRX_OK) unlink(temporary);
    free(temporary);
    return status;
}

void frx_frames_clear(struct frx_frames *frames) {
    if (!frames) return;
    free(frames->positions);
    free(frames->energy);
    free(frames->forces);
    free(frames->part_name);
    free(frames->parts);
    memset(frames, 0, sizeof *frames);
}
