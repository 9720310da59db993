/* Frames files: structures for `flashrex energy`. */
#include "file_info.h"
#include "frames_file.h"
#include "hdf5_edits.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    double positions[2 * 3 * 3], energy[2] = {1, 2}, forces[18] = {0}, parts[4] = {1, 2, 3, 4};
    char part_name[2][FRX_NAME_SIZE] = {"SchNet", "bonds"}, path[128];
    for (int i = 0; i < 18; i++) positions[i] = i;
    const struct frx_frames frames = {.n_frame = 2,
                                      .n_bead = 3,
                                      .positions = positions,
                                      .energy = energy,
                                      .forces = forces,
                                      .n_part = 2,
                                      .part_name = part_name,
                                      .parts = parts};
    snprintf(path, sizeof path, "%s", frx_fuzz_file("good.h5", "", 0));
    frx_fuzz_require(frx_frames_write(path, &frames, "fuzz", 1) == FRX_OK, frx_error_message());
    frx_edits_start(path);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct frx_fuzz_input input = {data, size};
    int is_damaged;
    const char *path = frx_edits_apply(&input, &is_damaged);
    const int guards = frx_fuzz_guards(is_damaged);
    struct frx_frames frames;
    struct frx_file_info info;
    const enum frx_status status =
        guards ? frx_frames_read(path, &frames) : frx_frames_read_unguarded(path, &frames);
    frx_fuzz_require(status == FRX_OK || frx_error_message()[0], "a refusal has a message");
    double sum = 0; /* every number that is promised is there */
    for (size_t i = 0; i < 3 * (size_t)frames.n_frame * (size_t)frames.n_bead; i++)
        sum += frames.positions[i] + (frames.forces ? frames.forces[i] : 0);
    for (int f = 0; f < frames.n_frame; f++) {
        if (frames.energy) sum += frames.energy[f];
        for (int p = 0; p < frames.n_part; p++) sum += frames.parts[f * frames.n_part + p];
    }
    volatile double kept = sum;
    (void)kept;
    (void)!(guards ? frx_file_info_read(path, &info) : frx_file_info_read_unguarded(path, &info));
    frx_file_info_clear(&info);
    frx_frames_clear(&frames);
    return 0;
}
