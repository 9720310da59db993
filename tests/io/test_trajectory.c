/* A run written by 1 to 4 ranks: every number is where it belongs, for even and uneven numbers of replicas
 * per rank and for replicas that change their places; outputs that exist, wrong places and a full disk are
 * refused on all ranks alike and cost nothing that was committed. */
#include "check.h"
#include "fake_run.h"
#include "run_directory.h"

#include <dirent.h>
#include <hdf5.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static int rank, n_rank;
static char directory[64]; /* of this test, in the working directory */

/* ---- looking at the result, on rank 0 ---- */

static void *read_all(hid_t file, const char *name, hid_t type, size_t size, size_t n) {
    hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT), space = H5Dget_space(dataset);
    CHECK(H5Sget_simple_extent_npoints(space) == (hssize_t)n, "%s has %lld values, expected %zu", name,
          (long long)H5Sget_simple_extent_npoints(space), n);
    void *values = calloc(n + 1, size);
    if (H5Sget_simple_extent_npoints(space) == (hssize_t)n)
        CHECK(H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0, "%s", name);
    H5Sclose(space);
    H5Dclose(dataset);
    return values;
}

static void check_committed(hid_t file, int n_frame, int n_exchange) {
    int64_t *committed = read_all(file, "committed", H5T_NATIVE_INT64, 8, 2);
    CHECK(committed[0] == n_frame && committed[1] == n_exchange, "committed %lld, %lld, expected %d, %d",
          (long long)committed[0], (long long)committed[1], n_frame, n_exchange);
    free(committed);
}

static void check_frames(hid_t file, const struct fake_run *run, int n_frame) {
    const size_t n_place = (size_t)run->n_ladder * run->n_rung, n = (size_t)n_frame;
    float *x = read_all(file, "frames/position", H5T_NATIVE_FLOAT, 4, n * n_place * run->n_bead * 3),
          *next = x;
    double *energy = read_all(file, "frames/energy", H5T_NATIVE_DOUBLE, 8, n * n_place);
    double *kinetic = read_all(file, "frames/kinetic_energy", H5T_NATIVE_DOUBLE, 8, n * n_place);
    double *time = read_all(file, "frames/time", H5T_NATIVE_DOUBLE, 8, n);
    int64_t *step = read_all(file, "frames/step", H5T_NATIVE_INT64, 8, n);
    uint32_t *identity = read_all(file, "frames/identity", H5T_NATIVE_UINT32, 4, n * n_place);
    uint8_t *adapting = read_all(file, "frames/adapting", H5T_NATIVE_UINT8, 1, n);
    int wrong = 0;
    for (int f = 0; f < n_frame; f++) {
        wrong += step[f] != 100 * (f + 1) || fabs(time[f] - 0.4 * (f + 1)) > 1e-9 || adapting[f] != (f < 2);
        for (size_t p = 0; p < n_place; p++) {
            wrong += energy[f * n_place + p] != fake_energy(f, (int)p, run->n_bead);
            wrong += kinetic[f * n_place + p] != fake_kinetic(f, (int)p);
            wrong += identity[f * n_place + p] != fake_identity(f, (int)p, run->n_rung);
            for (int i = 0; i < 3 * run->n_bead; i++)
                wrong += *next++ != (float)fake_position(f, (int)p, i / 3, i % 3);
        }
    }
    CHECK(wrong == 0, "%d wrong values in %d frames of %zu places", wrong, n_frame, n_place);
    free(x);
    free(energy);
    free(kinetic);
    free(time);
    free(step);
    free(identity);
    free(adapting);
}

static void check_exchanges(hid_t file, const struct fake_run *run, int n_event) {
    const size_t n_place = (size_t)run->n_ladder * run->n_rung, n = (size_t)n_event;
    const size_t n_pair = (size_t)run->n_ladder * (run->n_rung - 1);
    int64_t *event = read_all(file, "exchanges/event", H5T_NATIVE_INT64, 8, n);
    int64_t *step = read_all(file, "exchanges/step", H5T_NATIVE_INT64, 8, n);
    double *energy = read_all(file, "exchanges/energy", H5T_NATIVE_DOUBLE, 8, n * n_place);
    double *probability = read_all(file, "exchanges/probability", H5T_NATIVE_DOUBLE, 8, n * n_pair);
    uint32_t *identity = read_all(file, "exchanges/identity", H5T_NATIVE_UINT32, 4, n * n_place);
    int *from = read_all(file, "exchanges/from", H5T_NATIVE_INT, 4, n * n_place);
    int *attempted = read_all(file, "exchanges/attempted", H5T_NATIVE_INT, 4, n * n_pair);
    int *accepted = read_all(file, "exchanges/accepted", H5T_NATIVE_INT, 4, n * n_pair);
    uint8_t *adapting = read_all(file, "exchanges/adapting", H5T_NATIVE_UINT8, 1, n);
    int wrong = 0;
    for (int e = 0; e < n_event; e++) {
        wrong += event[e] != e || step[e] != 50 * (e + 1) || adapting[e] != (e < 4);
        for (int p = 0; p < (int)n_place; p++) {
            wrong += energy[e * n_place + p] != fake_exchange_energy(e, p);
            wrong += identity[e * n_place + p] != fake_identity(e, p, run->n_rung);
            wrong += from[e * n_place + p] != (p + 1) % run->n_rung;
        }
        for (int p = 0; p < (int)n_pair; p++) {
            wrong += probability[e * n_pair + p] != fake_probability(e, p);
            wrong += attempted[e * n_pair + p] != 1 || accepted[e * n_pair + p] != fake_accepted(e, p);
        }
    }
    CHECK(wrong == 0, "%d wrong values in %d exchange events", wrong, n_event);
    free(event);
    free(step);
    free(energy);
    free(probability);
    free(identity);
    free(from);
    free(attempted);
    free(accepted);
    free(adapting);
}

static void check_run(const struct fake_run *run, int n_frame) {
    if (rank != 0) return;
    char path[96];
    snprintf(path, sizeof path, "%s/segment_0001.h5", directory);
    const hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    CHECK(file >= 0, "%s opens", path);
    if (file < 0) return;
    check_committed(file, n_frame, 2 * n_frame);
    check_frames(file, run, n_frame);
    if (run->n_rung > 1) check_exchanges(file, run, 2 * n_frame);
    H5Fclose(file);
}

/* Number of files in the directory whose name contains `part`. */
static int count_files(const char *part) {
    DIR *listing = opendir(directory);
    int n = 0;
    for (const struct dirent *entry; listing && (entry = readdir(listing));)
        n += strstr(entry->d_name, part) != NULL && entry->d_name[0] != '.';
    if (listing) closedir(listing);
    return n;
}

/* ---- cases ---- */

static void check_content(const struct fake_run *run) {
    CHECK_OK(fake_run_write(MPI_COMM_WORLD, directory, run));
    check_run(run, run->n_frame);
    if (rank == 0) {
        CHECK(count_files(".h5md") == run->n_ladder * run->n_rung, "%d views", count_files(".h5md"));
        CHECK(count_files(".tmp") == 0, "no temporary file is left");
    }
}

static void check_existing(const struct fake_run *run) {
    struct fake_run other = *run;
    other.overwrite = 0;
    other.n_frame = 1;
    CHECK_FAILS(fake_run_write(MPI_COMM_WORLD, directory, &other), FRX_ERR_EXISTS, "holds a run already");
    MPI_Barrier(MPI_COMM_WORLD);
    check_run(run, run->n_frame);
    MPI_Barrier(MPI_COMM_WORLD);
    other.overwrite = 1;
    other.n_rung = 6; /* fewer views than before: the old ones go */
    other.n_ladder = 1;
    check_content(&other);
    MPI_Barrier(MPI_COMM_WORLD);
    CHECK_FAILS(fake_run_write(MPI_COMM_WORLD, "no/such/parent", &other), FRX_ERR_IO,
                "No such file or directory");
    other.n_ladder = 0;
    CHECK_FAILS(fake_run_write(MPI_COMM_WORLD, directory, &other), FRX_ERR_ARGUMENT, "0 ladders of 6");
}

/* Two configurations that claim the same place, on the last rank only: all ranks learn of it at the commit.
 */
static void check_places(void) {
    const struct fake_run run = {
        .n_ladder = 1, .n_rung = 8, .n_bead = 5, .overwrite = 1, .commit_interval = 2};
    struct frx_system system;
    double beta[8];
    fake_system_make(run.n_bead, &system);
    const struct frx_trajectory_options options = fake_options(MPI_COMM_WORLD, &run, &system, beta);
    struct frx_trajectory *trajectory = NULL;
    CHECK_OK(frx_trajectory_create(MPI_COMM_WORLD, directory, &options, &trajectory));
    frx_system_clear(&system);
    if (!trajectory) return;
    CHECK_OK(fake_append_frame(MPI_COMM_WORLD, trajectory, &run, 0));
    CHECK_OK(fake_append_frame(MPI_COMM_WORLD, trajectory, &run, 1));
    float positions[8 * 15] = {0};
    double energy[8] = {0};
    uint32_t identity[8] = {0};
    int place[8];
    for (int r = 0; r < options.n_local; r++) place[r] = rank * 8 / n_rank + r;
    if (rank == n_rank - 1) place[options.n_local - 1] = 0;
    const struct frx_frame frame = {.step = 300,
                                    .place = place,
                                    .positions = positions,
                                    .energy = energy,
                                    .kinetic = energy,
                                    .identity = identity};
    CHECK_OK(frx_trajectory_append_frame(trajectory, &frame));
    CHECK_FAILS(frx_trajectory_append_frame(trajectory, &frame), FRX_ERR_ARGUMENT,
                "place 0 of 8 is taken twice");
    CHECK_FAILS(frx_trajectory_append_frame(trajectory, &frame), FRX_ERR_ARGUMENT, "step 300");
    int64_t n_frame, n_exchange;
    frx_trajectory_committed(trajectory, &n_frame, &n_exchange);
    CHECK(n_frame == 2 && n_exchange == 0, "%lld frames committed", (long long)n_frame);
    CHECK_FAILS(frx_trajectory_close(trajectory), FRX_ERR_ARGUMENT, "taken twice");
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank == 0) {
        char path[96];
        snprintf(path, sizeof path, "%s/segment_0001.h5", directory);
        const hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
        check_committed(file, 2, 0);
        check_frames(file, &run, 2);
        H5Fclose(file);
    }
}

/* The disk is full after some commits (a limit on the file size stands for it): a clear failure on all ranks,
 * and what was committed before is there and nothing else. */
static void check_full_disk(rlim_t limit) {
    const struct fake_run run = {
        .n_ladder = 1, .n_rung = 10, .n_bead = 40, .n_frame = 2000, .overwrite = 1, .commit_interval = 16};
    struct rlimit before, small;
    getrlimit(RLIMIT_FSIZE, &before);
    small = before;
    small.rlim_cur = limit;
    setrlimit(RLIMIT_FSIZE, &small);
    const enum frx_status status = fake_run_write(MPI_COMM_WORLD, directory, &run);
    setrlimit(RLIMIT_FSIZE, &before);
    CHECK(status == FRX_ERR_IO, "%s: %s", frx_status_name(status), frx_error_message());
    CHECK(strstr(frx_error_message(), "segment_0001.h5"), "message is \"%s\"", frx_error_message());
    CHECK(strstr(frx_error_message(), "File too large"), "message is \"%s\"", frx_error_message());
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank != 0) return;
    char path[96];
    snprintf(path, sizeof path, "%s/segment_0001.h5", directory);
    const hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    CHECK(file >= 0, "the segment opens after the disk was full");
    if (file < 0) return;
    int64_t *committed = read_all(file, "committed", H5T_NATIVE_INT64, 8, 2);
    CHECK(committed[0] > 0 && committed[0] % 16 == 0, "%lld frames", (long long)committed[0]);
    check_frames(file, &run, (int)committed[0]);
    check_exchanges(file, &run, (int)committed[1]);
    free(committed);
    H5Fclose(file);
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &n_rank);
    signal(SIGXFSZ, SIG_IGN);
    snprintf(directory, sizeof directory, "test_trajectory_np%d.run", n_rank);

    const struct fake_run even = {.n_ladder = 2, .n_rung = 7, .n_bead = 10, .n_frame = 37, .overwrite = 1};
    struct fake_run run = even;
    check_content(&run);
    run.uneven = 1;
    run.commit_interval = 5;
    check_content(&run);
    run.move_temperatures = 1;
    check_content(&run);
    check_existing(&run);
    run = even;
    run.n_frame = 600; /* several chunks and several blocks of exchange events */
    run.n_bead = 3;
    check_content(&run);
    run.n_frame = 3;
    run.n_rung = 1; /* no exchange */
    run.n_ladder = 5;
    check_content(&run);
    check_places();
    check_full_disk(2 << 20);
    check_full_disk(3500 << 10);

    int failures = frx_check_result();
    MPI_Allreduce(MPI_IN_PLACE, &failures, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
    MPI_Finalize();
    return failures != 0;
}
