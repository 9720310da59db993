#include "trial.h"

#include <math.h>
#include <mpi.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BLOCK 20   /* steps before the clock starts: caches, pages, threads */
#define MAX_BLOCK   1000 /* steps at once */

/* Energies wait for all that was queued. */
static enum frx_status steps(const struct frx_engine_class *engine_class, struct frx_engine *engine,
                             int64_t first, int n_step, double *energy, double *seconds) {
    const double start = MPI_Wtime();
    FRX_TRY(engine_class->propagate(engine, first, n_step));
    FRX_TRY(engine_class->energies(engine, energy));
    *seconds = MPI_Wtime() - start;
    return FRX_OK;
}

static enum frx_status time_steps(const struct frx_engine_class *engine_class, struct frx_engine *engine,
                                  int n_rep, int64_t n_step, double seconds, double *energy,
                                  struct frx_trial *trial) {
    double block_seconds, total = 0;
    int64_t done = FIRST_BLOCK;
    FRX_TRY(steps(engine_class, engine, 0, FIRST_BLOCK, energy, &block_seconds));
    struct frx_engine_report before;
    FRX_TRY(engine_class->report(engine, &before));
    int block = FIRST_BLOCK;
    while (n_step > 0 ? trial->n_step < n_step : total < seconds) {
        if (n_step > 0 && block > n_step - trial->n_step) block = (int)(n_step - trial->n_step);
        FRX_TRY(steps(engine_class, engine, done, block, energy, &block_seconds));
        done += block;
        trial->n_step += block;
        total += block_seconds;
        if (block_seconds < seconds / 10 && block < MAX_BLOCK) block *= 2;
    }
    FRX_TRY(engine_class->report(engine, &trial->report));
    for (int s = 0; s < trial->report.n_stage; s++) trial->report.stage[s].seconds -= before.stage[s].seconds;
    trial->report.n_force_evaluation -= before.n_force_evaluation;
    trial->steps_per_second = total > 0 ? (double)trial->n_step * n_rep / total : NAN;
    return FRX_OK;
}

/* Positions in, energies and forces out: the engine has to compute them anew each time. */
static enum frx_status time_evaluations(const struct frx_engine_class *engine_class,
                                        struct frx_engine *engine, int n_rep, double seconds, double *energy,
                                        const struct frx_state_view *positions, struct frx_trial *trial) {
    FRX_TRY(engine_class->get_state(engine, 0, n_rep, positions));
    const double start = MPI_Wtime();
    double now;
    int64_t n = 0;
    do {
        FRX_TRY(engine_class->set_state(engine, 0, n_rep, positions));
        FRX_TRY(engine_class->energies(engine, energy));
        now = MPI_Wtime();
        n += n_rep;
    } while (now - start < seconds);
    trial->evaluations_per_second = (double)n / (now - start);
    return FRX_OK;
}

enum frx_status frx_trial_run(const struct frx_engine_class *engine_class, struct frx_engine *engine,
                              int n_rep, int n_bead, int64_t n_step, double seconds, int with_evaluations,
                              struct frx_trial *trial) {
    memset(trial, 0, sizeof *trial);
    trial->evaluations_per_second = NAN;
    double *energy = malloc((size_t)n_rep * sizeof *energy);
    const struct frx_state_view positions = {.positions =
                                                 malloc((size_t)n_rep * (size_t)n_bead * 3 * sizeof(double))};
    enum frx_status status = energy && positions.positions
                                 ? FRX_OK
                                 : FRX_FAIL(FRX_ERR_MEMORY, "out of memory for %d replicas", n_rep);
    if (status == FRX_OK) status = time_steps(engine_class, engine, n_rep, n_step, seconds, energy, trial);
    if (status == FRX_OK && with_evaluations)
        status = time_evaluations(engine_class, engine, n_rep, seconds, energy, &positions, trial);
    free(energy);
    free(positions.positions);
    return status;
}
