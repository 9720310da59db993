/* What an exchange event costs on many ranks: mpirun -n P bench_exchange [rungs [events]]. One ladder of
 * oscillators on each rank (64 rungs, 200 events), so that everything but the steps is that of a run with P
 * GPUs. Prints microseconds per event, the median over events of the slowest rank. */
#include "harmonic_engine.h"
#include "replicas.h"

#include <stdio.h>
#include <stdlib.h>

/* What is timed. */
enum { GATHER, DECIDE, MOVE, BOOK, N_TIME };

/* seconds [N_TIME][n_event] of the slowest rank */
static enum frx_status measure(struct replicas *run, int n_event, double *seconds) {
    for (int e = 0; e < n_event; e++) {
        const struct frx_exchange_seconds before = frx_exchange_seconds(run->exchange);
        FRX_TRY(run->engine_class->propagate(run->engine, (int64_t)e * REPLICAS_STEPS_PER_EVENT,
                                             REPLICAS_STEPS_PER_EVENT));
        MPI_Barrier(run->comm.mpi);
        FRX_TRY(frx_exchange_attempt(run->exchange, FRX_OK, e, NULL));
        const struct frx_exchange_seconds after = frx_exchange_seconds(run->exchange);
        const double start = MPI_Wtime();
        (void)frx_exchange_look(run->exchange);
        double mine[N_TIME] = {after.gather - before.gather, after.decide - before.decide,
                               after.move - before.move, MPI_Wtime() - start};
        MPI_Allreduce(MPI_IN_PLACE, mine, N_TIME, MPI_DOUBLE, MPI_MAX, run->comm.mpi);
        for (int t = 0; t < N_TIME; t++) seconds[t * n_event + e] = mine[t];
    }
    return FRX_OK;
}

static int by_value(const void *a, const void *b) {
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static double median_us(int n, double *seconds) {
    qsort(seconds, (size_t)n, sizeof *seconds, by_value);
    return 1e6 * seconds[n / 2];
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    int rank, size;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    const int n_rung = argc > 1 ? atoi(argv[1]) : 64, n_event = argc > 2 ? atoi(argv[2]) : 200;
    const struct replicas_plan plan = {.parent = MPI_COMM_WORLD,
                                       .engine_class = &frx_harmonic_engine,
                                       .n_ladder = size,
                                       .n_rung = n_rung,
                                       .options = {.seed = 5}};
    struct replicas run;
    double *seconds = n_event > 0 ? calloc(N_TIME * (size_t)n_event, sizeof *seconds) : NULL;
    enum frx_status status =
        seconds && n_rung > 0 && n_rung <= REPLICAS_MAX_RUNG
            ? FRX_OK
            : FRX_FAIL(FRX_ERR_ARGUMENT, "1 to %d rungs, some events", REPLICAS_MAX_RUNG);
    if (status == FRX_OK) {
        status = replicas_start(&plan, &run);
        if (status == FRX_OK) status = measure(&run, n_event, seconds);
        replicas_clear(&run);
    }
    if (rank == 0 && status == FRX_OK)
        printf("ranks %d replicas %d us/event: gather %.1f decide %.1f move %.1f book %.1f\n", size,
               size * n_rung, median_us(n_event, seconds + GATHER * n_event),
               median_us(n_event, seconds + DECIDE * n_event), median_us(n_event, seconds + MOVE * n_event),
               median_us(n_event, seconds + BOOK * n_event));
    if (rank == 0 && status != FRX_OK) fprintf(stderr, "bench_exchange: %s\n", frx_error_message());
    free(seconds);
    MPI_Finalize();
    return frx_status_exit_code(status);
}
