/* A run whose every number is a known function of frame, place and bead, written through io/ by any number of
 * ranks. The Python tests know the same functions. */
#ifndef FRX_TESTS_FAKE_RUN_H
#define FRX_TESTS_FAKE_RUN_H

#include "trajectory.h"

struct fake_run {
    int n_ladder, n_rung, n_bead;
    int n_frame;         /* one every 100 steps, an exchange event every 50 */
    int commit_interval; /* as frx_trajectory_options has it */
    int overwrite;
    int uneven;            /* rank q has q times as many configurations as rank 1, rank 0 what is left */
    int move_temperatures; /* configurations change their places from frame to frame */
    int pause_ms;          /* sleep after each frame, for tests that look on */
};

/* Position, energy and replica of a frame at a place. Positions are exact in float. */
double fake_position(int frame, int place, int bead, int k);
double fake_energy(int frame, int place, int n_bead);
double fake_kinetic(int frame, int place);
uint32_t fake_identity(int frame, int place, int n_rung);

/* Energies, acceptance probabilities and so on of exchange event `event`. */
double fake_exchange_energy(int event, int place);
double fake_probability(int event, int pair);
int fake_accepted(int event, int pair);

/* A chain of beads with names, residues, bonds and no energy. Ends the program when memory is out. */
void fake_system_make(int n_bead, struct frx_system *system);

/* Options for the run on this rank; system and beta [n_rung] are set up by the caller. */
struct frx_trajectory_options fake_options(MPI_Comm comm, const struct fake_run *run,
                                           const struct frx_system *system, double *beta);

/* Create, append everything, close. Collective. */
FRX_CHECKED enum frx_status fake_run_write(MPI_Comm comm, const char *directory, const struct fake_run *run);

/* Append frame `frame` / event `event`. Collective. */
FRX_CHECKED enum frx_status fake_append_frame(MPI_Comm comm, struct frx_trajectory *trajectory,
                                              const struct fake_run *run, int frame);
FRX_CHECKED enum frx_status fake_append_exchange(struct frx_trajectory *trajectory,
                                                 const struct fake_run *run, int event);

#endif
