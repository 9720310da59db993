/* write_fake_run DIRECTORY n_ladder n_rung n_bead n_frame [commit_interval [move_temperatures [pause_ms]]]: a
 * program for the Python tests, started under mpirun. Prints the status and message of a failure. */
#include "fake_run.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    int number[7] = {0};
    for (int a = 2; a < argc && a < 9; a++) number[a - 2] = atoi(argv[a]);
    const struct fake_run run = {.n_ladder = number[0],
                                 .n_rung = number[1],
                                 .n_bead = number[2],
                                 .n_frame = number[3],
                                 .commit_interval = number[4],
                                 .move_temperatures = number[5],
                                 .pause_ms = number[6]};
    int rank;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    const enum frx_status status = fake_run_write(MPI_COMM_WORLD, argv[1], &run);
    if (status != FRX_OK && rank == 0) printf("%s: %s\n", frx_status_name(status), frx_error_message());
    MPI_Finalize();
    return frx_status_exit_code(status);
}
