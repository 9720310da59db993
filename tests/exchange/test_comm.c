/* Ranks agree on who failed, with which code and which words. */
#include "check.h"
#include "comm.h"

#include <stdlib.h>
#include <string.h>

static struct frx_comm comm;

static enum frx_status fail_here(int fails) {
    return fails ? FRX_FAIL(FRX_ERR_IO, "disk of rank %d is full", comm.rank) : FRX_OK;
}

/* Every rank, and not just this one, passed the checks so far. */
static int everybody(int good) {
    int all;
    MPI_Allreduce(&good, &all, 1, MPI_INT, MPI_LAND, comm.mpi);
    return all;
}

static void agreement(void) {
    CHECK_OK(frx_agree(&comm, FRX_OK));
    for (int first = 0; first < comm.size; first++) {
        char words[64];
        snprintf(words, sizeof words, comm.size > 1 ? "rank %d: disk of rank %d" : "disk of rank %d", first,
                 first);
        /* that rank alone; that rank and all above it */
        for (int others = 0; others < 2; others++) {
            frx_error_set("");
            const int fails = others ? comm.rank >= first : comm.rank == first;
            enum frx_status status = frx_agree(&comm, fail_here(fails));
            CHECK_FAILS(status, FRX_ERR_IO, words);
            CHECK(strncmp(frx_error_message(), words, strlen(words)) == 0, "%s", frx_error_message());
            /* What was agreed on can be agreed on again and stays as it is. */
            char before[FRX_MESSAGE_SIZE];
            snprintf(before, sizeof before, "%s", frx_error_message());
            CHECK(frx_agree(&comm, status) == status && strcmp(before, frx_error_message()) == 0, "%s",
                  frx_error_message());
        }
    }
    CHECK_OK(frx_agree(&comm, FRX_OK));
}

/* A message of full length survives the prefix. */
static void long_message(void) {
    char longer[2 * FRX_MESSAGE_SIZE];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    frx_error_set(longer);
    CHECK_FAILS(frx_agree(&comm, FRX_ERR_MODEL), FRX_ERR_MODEL, comm.size > 1 ? "rank 0: xxx" : "xxx");
    CHECK(strlen(frx_error_message()) == FRX_MESSAGE_SIZE - 1, "%zu", strlen(frx_error_message()));
}

static void ranks(void) {
    int size, rank;
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    CHECK(comm.size == size && comm.rank == rank, "%d of %d", comm.rank, comm.size);
    CHECK(comm.local_size == size && comm.local_rank == rank, "one host: %d of %d", comm.local_rank,
          comm.local_size);
    int same;
    MPI_Comm_compare(comm.mpi, MPI_COMM_WORLD, &same);
    CHECK(same == MPI_CONGRUENT, "a communicator of our own");
}

static void translation(void) {
    CHECK_OK(frx_mpi_status(MPI_SUCCESS, "MPI_Send", "file.c", 1));
    CHECK_FAILS(frx_mpi_status(MPI_ERR_RANK, "MPI_Send(..)", "file.c", 7), FRX_ERR_COMM, "MPI_Send(..): MPI");
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    CHECK_OK(frx_comm_create(MPI_COMM_WORLD, &comm));
    ranks();
    agreement();
    long_message();
    translation();
    const int good = everybody(frx_check_failures == 0);
    frx_comm_destroy(&comm);
    frx_comm_destroy(&comm);
    MPI_Finalize();
    return good ? frx_check_result() : 1;
}
