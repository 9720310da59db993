/* Frames files, PDB files and descriptions of files. */
#include "check.h"
#include "fake_run.h"
#include "file_info.h"
#include "frames_file.h"
#include "hdf5_write.h"
#include "make_system.h"
#include "pdb.h"
#include "units.h"
#include "write_system.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define PATH "test_files.h5"

/* ---- frames ---- */

static struct frx_frames make_frames(void) {
    struct frx_frames frames = {.n_frame = 3, .n_bead = 5, .n_part = 2};
    frames.positions = calloc(45, sizeof(double));
    frames.forces = calloc(45, sizeof(double));
    frames.energy = calloc(3, sizeof(double));
    frames.parts = calloc(6, sizeof(double));
    frames.part_name = calloc(2, sizeof *frames.part_name);
    snprintf(frames.part_name[0], FRX_NAME_SIZE, "SchNet");
    snprintf(frames.part_name[1], FRX_NAME_SIZE, "bonds");
    for (uint32_t i = 0; i < 45; i++) {
        frames.positions[i] = frx_test_normal(1, i);
        frames.forces[i] = frx_test_normal(2, i);
        if (i < 3) frames.energy[i] = frx_test_normal(3, i);
        if (i < 6) frames.parts[i] = frx_test_normal(4, i);
    }
    return frames;
}

static void check_frames(void) {
    struct frx_frames written = make_frames(), found;
    CHECK_OK(frx_frames_write(PATH, &written, "test", 1));
    CHECK_OK(frx_frames_read(PATH, &found));
    CHECK(found.n_frame == 3 && found.n_bead == 5 && found.n_part == 2, "%d %d %d", found.n_frame,
          found.n_bead, found.n_part);
    CHECK(memcmp(found.positions, written.positions, 45 * sizeof(double)) == 0, "positions");
    CHECK(memcmp(found.forces, written.forces, 45 * sizeof(double)) == 0, "forces");
    CHECK(memcmp(found.energy, written.energy, 3 * sizeof(double)) == 0, "energy");
    CHECK(memcmp(found.parts, written.parts, 6 * sizeof(double)) == 0, "parts");
    CHECK(strcmp(found.part_name[0], "SchNet") == 0 && strcmp(found.part_name[1], "bonds") == 0, "names");
    frx_frames_clear(&found);

    /* What exists stays unless told otherwise. */
    written.n_frame = 1;
    CHECK_FAILS(frx_frames_write(PATH, &written, "test", 0), FRX_ERR_EXISTS, "test_files.h5 exists already");
    CHECK_OK(frx_frames_read(PATH, &found));
    CHECK(found.n_frame == 3, "%d frames", found.n_frame);
    frx_frames_clear(&found);
    free(written.energy);
    written.energy = NULL; /* positions only */
    free(written.forces);
    written.forces = NULL;
    free(written.parts);
    written.parts = NULL;
    CHECK_OK(frx_frames_write(PATH, &written, "test", 1));
    CHECK_OK(frx_frames_read(PATH, &found));
    CHECK(found.n_frame == 1 && !found.energy && !found.forces && !found.parts, "positions only");
    frx_frames_clear(&found);
    CHECK_FAILS(frx_frames_write("no/such/folder.h5", &written, "test", 0), FRX_ERR_IO,
                "No such file or directory");
    frx_frames_clear(&written);
}

/* A full disk costs neither the old file nor leaves a new one. */
static void check_full_disk(void) {
    struct frx_frames frames = make_frames(), found;
    CHECK_OK(frx_frames_write(PATH, &frames, "test", 1));
    struct rlimit before, small;
    getrlimit(RLIMIT_FSIZE, &before);
    small = before;
    small.rlim_cur = 3000;
    setrlimit(RLIMIT_FSIZE, &small);
    const enum frx_status status = frx_frames_write(PATH, &frames, "test", 1);
    setrlimit(RLIMIT_FSIZE, &before);
    CHECK(status == FRX_ERR_IO, "%s", frx_status_name(status));
    CHECK(strstr(frx_error_message(), "cannot write " PATH ".tmp"), "%s", frx_error_message());
    CHECK(strstr(frx_error_message(), "File too large"), "%s", frx_error_message());
    CHECK(access(PATH ".tmp", F_OK) != 0, "the temporary file is gone");
    CHECK_OK(frx_frames_read(PATH, &found));
    frx_frames_clear(&found);
    frx_frames_clear(&frames);
}

static void check_bad_frames(void) {
    static const hsize_t shapes[][3] = {{2, 5, 4}, {0, 5, 3}, {2, 0, 3}};
    const double values[40] = {0};
    struct frx_frames found;
    for (int s = 0; s < 3; s++) {
        const hid_t file = H5Fcreate(PATH, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
        CHECK_OK(frx_hdf5_write_array(file, "positions", H5T_NATIVE_DOUBLE, 3, shapes[s], values));
        H5Fclose(file);
        CHECK_FAILS(frx_frames_read(PATH, &found), FRX_ERR_FORMAT,
                    s ? "/positions holds" : "/positions has shape");
    }
    const hid_t file = H5Fcreate(PATH, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    const hsize_t shape[3] = {2, 3, 3}, three = 3;
    CHECK_OK(frx_hdf5_write_array(file, "positions", H5T_NATIVE_DOUBLE, 3, shape, values));
    CHECK_OK(frx_hdf5_write_array(file, "energy", H5T_NATIVE_DOUBLE, 1, &three, values));
    H5Fclose(file);
    CHECK_FAILS(frx_frames_read(PATH, &found), FRX_ERR_FORMAT, "/energy has shape [3], expected [2]");
    CHECK(found.n_frame == 0 && !found.positions, "the result is zeroed");
}

/* The golden files of the reference data are frames files. */
static void check_reference(void) {
    const char *folder = getenv("FRX_REFERENCE_DIR");
    char path[1024];
    snprintf(path, sizeof path, "%s/mlcg/golden_cgschnet_1enh_random.h5", folder ? folder : "");
    struct frx_frames frames;
    if (!folder || access(path, R_OK) != 0) {
        printf("skipped: no reference data in FRX_REFERENCE_DIR\n");
        return;
    }
    CHECK_OK(frx_frames_read(path, &frames));
    CHECK(frames.n_bead == 269 && frames.n_frame == 4, "%d frames of %d beads", frames.n_frame,
          frames.n_bead);
    double sum = 0;
    for (int p = 0; p < frames.n_part; p++) {
        sum += frames.parts[p];
        if (strcmp(frames.part_name[p], "SchNet") == 0) CHECK_NEAR(frames.parts[p], 2.0124790, 1e-6);
    }
    CHECK_NEAR(sum, frames.energy[0], 1e-6);
    frx_frames_clear(&frames);
}

/* ---- PDB ---- */

/* Writes the structure of three beads and reads its coordinates again. */
static void write_and_read(const struct frx_system *system, double x[9]) {
    char line[100];
    int n = 0;
    CHECK_OK(frx_pdb_write(PATH, system, system->structures, ""));
    FILE *file = fopen(PATH, "r");
    while (fgets(line, sizeof line, file))
        if (strncmp(line, "ATOM", 4) == 0 && n < 9) {
            CHECK(strlen(line) == 67, "columns of \"%s\"", line);
            for (int a = 2; a >= 0; a--) {
                line[38 + 8 * (size_t)a] = '\0';
                x[n + a] = strtod(line + 30 + 8 * (size_t)a, NULL);
            }
            n += 3;
        }
    fclose(file);
    CHECK(n == 9, "%d coordinates", n);
}

/* Structures outside the columns are moved as a whole; those inside are not. */
static void check_far_pdb(const struct frx_system *system) {
    static const double offsets[][3] = {{0, 0, 0}, {-990, 9980, 5}, {-1e5, 3, 2e7}, {0, 10000, 0}};
    static const double stretched[] = {0, 3000, 10990};
    double *at = system->structures, kept[9], read[9];
    memcpy(kept, at, sizeof kept);
    for (int k = 0; k < 4; k++) {
        for (int i = 0; i < 9; i++) at[i] = kept[i] + offsets[k][i % 3];
        write_and_read(system, read);
        for (int i = 0; i < 9; i++) {
            CHECK_NEAR(read[i] - read[i % 3], at[i] - at[i % 3], 2e-3);
            if (k < 2) CHECK_NEAR(read[i], at[i], 6e-4);
            if (k >= 2) CHECK(fabs(read[i]) < 10, "coordinate %g of what was moved to the origin", read[i]);
        }
    }
    for (int k = 1; k < 3; k++) {
        memcpy(at, kept, sizeof kept);
        at[3] = 20000;
        at[0] = at[6] = 20000 + stretched[k];
        write_and_read(system, read);
        CHECK_NEAR(read[0] - read[3], stretched[k], 2e-3);
    }
    memcpy(at, kept, sizeof kept);
}

static void check_pdb(void) {
    static const char expected[] = "TITLE     a molecule\n"
                                   "ATOM      1  CA  GLY A   7       0.000   1.000   2.000  1.00  0.00\n"
                                   "ATOM      2  CB  GLY A   7       3.750   4.750   5.750  1.00  0.00\n"
                                   "TER\n"
                                   "ATOM      3  CA  TYR B   8       7.500   8.500   9.500  1.00  0.00\n"
                                   "TER\n"
                                   "CONECT    1    2\n"
                                   "CONECT    2    1\n"
                                   "CONECT    2    3\n"
                                   "CONECT    3    2\n"
                                   "END\n";
    struct frx_system system;
    fake_system_make(3, &system);
    CHECK_OK(frx_pdb_write(PATH, &system, system.structures, "a molecule"));
    char text[sizeof expected + 10] = "";
    FILE *file = fopen(PATH, "r");
    const size_t n = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    CHECK(n == sizeof expected - 1 && strcmp(text, expected) == 0, "PDB is\n%s", text);
    /* PDB is ASCII: a character cut in two would make the file unreadable */
    static const char title[] = "12345678901234567890123456789012345678901234567890123456789\xc3\xa9.h5";
    snprintf(system.beads.residue_name[0], FRX_NAME_SIZE, "\xc3\xa9t\xc3\xa9");
    CHECK_OK(frx_pdb_write(PATH, &system, system.structures, title));
    file = fopen(PATH, "r");
    CHECK(fgets(text, sizeof text, file) && strlen(text) == 71, "title \"%s\"", text);
    CHECK(fgets(text, sizeof text, file) && strncmp(text + 16, " ??t A", 6) == 0, "atom \"%s\"", text);
    rewind(file);
    for (int c; (c = fgetc(file)) != EOF;) CHECK(c < 128, "character %d in a PDB", c);
    fclose(file);
    check_far_pdb(&system);
    unlink(PATH);
    system.structures[4] = 12345;
    CHECK_FAILS(frx_pdb_write(PATH, &system, system.structures, ""), FRX_ERR_MODEL,
                "a structure 12344 A across is too large for a PDB");
    system.structures[4] = NAN;
    CHECK_FAILS(frx_pdb_write(PATH, &system, system.structures, ""), FRX_ERR_MODEL,
                "bead 1 has coordinate nan A");
    CHECK(access(PATH, F_OK) != 0, "no PDB is left behind");
    frx_system_clear(&system);
}

/* ---- descriptions ---- */

static void check_info(void) {
    struct frx_test_model model = frx_test_model_default();
    struct frx_system system;
    struct frx_file_info info;
    frx_test_system_make(&model, &system);
    frx_test_system_write(PATH, &system);
    frx_system_clear(&system);
    CHECK_OK(frx_file_info_read(PATH, &info));
    CHECK(info.kind == FRX_FILE_SYSTEM && info.version == 1 && info.n_bead == 14 && info.n_frame == 1,
          "system");
    CHECK(strlen(info.sha256) == 64 && strcmp(info.generator, "test") == 0 && info.n_byte > 1000, "system");
    frx_file_info_clear(&info);

    struct frx_frames frames = make_frames();
    CHECK_OK(frx_frames_write(PATH, &frames, "test", 1));
    frx_frames_clear(&frames);
    CHECK_OK(frx_file_info_read(PATH, &info));
    CHECK(info.kind == FRX_FILE_FRAMES && info.n_bead == 5 && info.n_frame == 3, "frames");
    frx_file_info_clear(&info);

    const struct fake_run run = {.n_ladder = 2, .n_rung = 3, .n_bead = 4, .n_frame = 20, .overwrite = 1};
    CHECK_OK(fake_run_write(MPI_COMM_WORLD, "test_files.run", &run));
    static const char *const paths[] = {"test_files.run", "test_files.run/",
                                        "test_files.run/segment_0001.h5"};
    for (int k = 0; k < 3; k++) {
        CHECK_OK(frx_file_info_read(paths[k], &info));
        CHECK(info.kind == FRX_FILE_RUN && info.n_segment == 1, "run");
        CHECK(info.n_ladder == 2 && info.n_rung == 3 && info.n_bead == 4, "sizes");
        CHECK(info.n_frame == 20 && info.n_exchange == 40, "%lld frames", (long long)info.n_frame);
        CHECK(info.first_step == 100 && info.last_step == 2000, "steps");
        CHECK(info.seed == 42 && info.timestep == 0.004, "seed and timestep");
        CHECK_NEAR(FRX_KELVIN_OF_BETA(info.beta[2]), 325, 1e-9);
        CHECK(strcmp(info.config, "steps: 1\n# with a comment, \xc3\xa4\n") == 0, "config \"%s\"",
              info.config);
        CHECK(strcmp(info.system_path, "fake.h5") == 0 && strncmp(info.sha256, "aaaa", 4) == 0, "system");
        CHECK(strcmp(info.build, "compiler: test\ncommit: none") == 0, "build \"%s\"", info.build);
        frx_file_info_clear(&info);
    }
    CHECK_FAILS(frx_file_info_read("test_files.run/ladder_1_T_02_325.0K.h5md", &info), FRX_ERR_FORMAT,
                "give the run's directory");
    CHECK_FAILS(frx_file_info_read("test_files.run/system.pdb", &info), FRX_ERR_FORMAT, "not an HDF5 file");
    CHECK_FAILS(frx_file_info_read(".", &info), FRX_ERR_FORMAT, "without a run");
    CHECK_FAILS(frx_file_info_read("no_such_file", &info), FRX_ERR_IO, "No such file");
}

/* Predicted and real size of a run. */
static void check_plan(void) {
    struct frx_system system;
    double beta[6];
    fake_system_make(30, &system);
    const struct fake_run run = {.n_ladder = 1, .n_rung = 6, .n_bead = 30, .n_frame = 700, .overwrite = 1};
    const struct frx_trajectory_options options = fake_options(MPI_COMM_WORLD, &run, &system, beta);
    int64_t file_bytes, buffer_bytes;
    frx_trajectory_plan(&options, run.n_frame, 2 * (int64_t)run.n_frame, &file_bytes, &buffer_bytes);
    frx_system_clear(&system);
    CHECK_OK(fake_run_write(MPI_COMM_WORLD, "test_files.run", &run));
    struct frx_file_info info;
    CHECK_OK(frx_file_info_read("test_files.run", &info));
    CHECK_NEAR((double)file_bytes / (double)info.n_byte, 1, 0.06);
    CHECK(buffer_bytes > 0, "%lld", (long long)buffer_bytes);
    frx_file_info_clear(&info);
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    signal(SIGXFSZ, SIG_IGN);
    check_frames();
    check_full_disk();
    check_bad_frames();
    check_reference();
    check_pdb();
    check_info();
    check_plan();
    unlink(PATH);
    MPI_Finalize();
    return frx_check_result();
}
