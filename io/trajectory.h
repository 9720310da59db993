/* The output of a run: a directory with one HDF5 segment that all ranks write, H5MD views of it that
 * analysis programs read, and a PDB for the topology (docs/formats.md, "Run directory").
 *
 * Everything is counted by place, as in exchange/: place p = ladder * n_rung + rung, so a place is a
 * temperature and its frames are an ensemble at that temperature, whichever kind of move makes them. Which
 * replica (identity) was there is stored with each frame.
 *
 * Frames and exchange events are gathered in memory and committed block by block: extents grow, all ranks
 * write their parts independently, the file is flushed, and only then the counts of committed rows are
 * raised. So files never show what is not written, and a crash loses the rows since the last commit and no
 * more. Most calls to append only copy memory; whether a call commits depends on counts that are the same on
 * all ranks.
 *
 * Failures on some ranks never leave others waiting: every Collective function below agrees inside on its
 * outcome, all ranks return the lowest failing rank's code and message, and after a failure nothing but
 * frx_trajectory_close does anything. Calls must not overlap in time (no HDF5 from two threads). */
#ifndef FRX_IO_TRAJECTORY_H
#define FRX_IO_TRAJECTORY_H

#include "status.h"
#include "system.h"

#include <mpi.h>
#include <stdint.h>

/* What a run is, the same on all ranks except n_local. Read during frx_trajectory_create only. */
struct frx_trajectory_options {
    const struct frx_system *system;
    const char *system_path; /* where the system came from, for people */
    int n_ladder, n_rung;
    const double *beta;    /* [n_rung] mol/kcal */
    int n_local;           /* configurations on this rank; their sum over ranks is n_ladder * n_rung */
    double timestep;       /* ps */
    uint64_t seed;         /* of the run */
    const char *config;    /* the complete config text */
    const char *generator; /* "flashrex 0.1.0" */
    const char *build;     /* compiler, commit, libraries; any number of lines */
    int commit_interval;   /* frames after which to commit at the latest; 0: when the buffers are full */
    int overwrite;         /* replace the output of an earlier run in the same directory */
    /* to continue a run: committed rows of each earlier segment, frames and exchange events; 0 segments: a
     * new run */
    int n_previous;
    const int64_t (*previous)[2]; /* [n_previous] */
    int64_t skip[2]; /* so many rows come again, the same to the bit: they are not written twice */
    /* a ladder that is adapted first: what is sampled meanwhile lies in segments of its own, without views */
    int adapting;   /* this segment is one of them; beta is the first of its ladders */
    int n_adapting; /* the first so many of the earlier segments are */
};

/* This rank's part of one frame. Arrays are copied. */
struct frx_frame {
    int64_t step;             /* steps made when the frame was taken */
    int adapting;             /* the ladder was still being adapted: not for averages */
    const int *place;         /* [n_local] where each configuration belongs; over all ranks a permutation */
    const float *positions;   /* [n_local][n_bead][3] Angstrom, host */
    const double *energy;     /* [n_local] potential energy, kcal/mol */
    const double *kinetic;    /* [n_local] kinetic energy, kcal/mol */
    const uint32_t *identity; /* [n_local] */
};

/* One exchange event of all ladders. Arrays are copied on rank 0 and not looked at elsewhere. Those with
 * n_rung-1 columns may be NULL when n_rung is 1. */
struct frx_exchange_record {
    int64_t event, step;
    int adapting;
    const double *beta;       /* [n_rung] mol/kcal, of this event; looked at in segments from adapting only */
    const double *energy;     /* [n_ladder][n_rung] kcal/mol, by the places before the swaps */
    const uint32_t *identity; /* [n_ladder][n_rung] whose they are */
    const int *from;          /* [n_ladder][n_rung] rung that the configuration now at this rung had before */
    const double *probability; /* [n_ladder][n_rung-1] acceptance probability of neighbours (k, k+1) */
    const int *n_attempt;      /* [n_ladder][n_rung-1] swaps tried */
    const int *n_accept;       /* [n_ladder][n_rung-1] and made */
};

/* How well replicas exchanged since the run began (or since its ladder was adapted): statistics.h. Looked at
 * on rank 0 only. Replicas are addressed by identity. */
struct frx_mixing_record {
    const int64_t *n_event;                  /* [1] */
    const double *acceptance;                /* [n_ladder][n_rung-1] average probability */
    const double *barrier;                   /* [n_ladder][n_rung] */
    const double *barrier_density;           /* [n_ladder][n_rung-1] kcal/mol */
    const double *up_fraction;               /* [n_ladder][n_rung] */
    const double *round_trip_rate;           /* [n_ladder] per event */
    const double *predicted_round_trip_rate; /* [n_ladder] */
    const int64_t *round_trips;              /* [n_ladder * n_rung] */
    const int64_t *tempered_restarts;        /* [n_ladder * n_rung] */
    const int64_t *residence;                /* [n_ladder * n_rung][n_rung] */
};

struct frx_trajectory;

/* Number of segments in a run directory, 0 if there is none. Local. */
int frx_run_count_segments(const char *directory);

/* Committed rows of the first n segments of a run directory, frames and exchange events, into rows [n][2]; 0
 * of those that its journal does not name. Errors: FRX_ERR_FORMAT if the journal is damaged, FRX_ERR_IO,
 * FRX_ERR_MEMORY. Local. */
FRX_CHECKED enum frx_status frx_run_read_committed(const char *directory, int n, int64_t (*rows)[2]);

/* Create the run directory (its parent must exist; an existing directory is used) with segment_0001.h5, the
 * views and system.pdb, and open the segment on all ranks. There are no views while the ladder is adapted. A
 * run that is continued gets another segment, which the views show behind the committed rows of the earlier
 * ones; segments are never reopened for writing. All are made under temporary names first, so a failure
 * leaves no half-made output and an older one unharmed. *trajectory is owned by the caller. Errors:
 * FRX_ERR_EXISTS if the directory holds a run and `overwrite` is 0, FRX_ERR_IO, FRX_ERR_ARGUMENT,
 * FRX_ERR_MEMORY; agreed on. Collective. */
FRX_CHECKED enum frx_status frx_trajectory_create(MPI_Comm comm, const char *directory,
                                                  const struct frx_trajectory_options *options,
                                                  struct frx_trajectory **trajectory);

/* Append a frame / an exchange event. Errors: those of frx_trajectory_commit. Collective. */
FRX_CHECKED enum frx_status frx_trajectory_append_frame(struct frx_trajectory *trajectory,
                                                        const struct frx_frame *frame);
FRX_CHECKED enum frx_status frx_trajectory_append_exchange(struct frx_trajectory *trajectory,
                                                           const struct frx_exchange_record *record);

/* Write and flush everything appended so far; readers see it afterwards. Errors: FRX_ERR_IO with path and
 * reason (full disk); agreed on. Collective. */
FRX_CHECKED enum frx_status frx_trajectory_commit(struct frx_trajectory *trajectory);

/* Write the record over the one before; call frx_trajectory_commit or _close to have it on the disk. Only for
 * ladders of at least two rungs. Errors: FRX_ERR_IO, agreed on. Collective. */
FRX_CHECKED enum frx_status frx_trajectory_write_mixing(struct frx_trajectory *trajectory,
                                                        const struct frx_mixing_record *record);

/* Commit, close and free, also after a failure. NULL is fine. Errors: those of frx_trajectory_commit, agreed
 * on. Collective. */
FRX_CHECKED enum frx_status frx_trajectory_close(struct frx_trajectory *trajectory);

/* Frames and exchange events that are in the file for good. Local. */
void frx_trajectory_committed(const struct frx_trajectory *trajectory, int64_t *n_frame, int64_t *n_exchange);

/* Bytes on disk of a run with so many frames and exchange events, to within a few per cent, and bytes of
 * memory that each of n_local configurations takes for buffers; from n_ladder, n_rung and system->n_bead of
 * the options only. Local. */
void frx_trajectory_plan(const struct frx_trajectory_options *options, int64_t n_frame, int64_t n_exchange,
                         int64_t *file_bytes, int64_t *buffer_bytes);

/* Name of a place's view inside the run directory, "T_03_350.0K.h5md" or "ladder_1_T_03_350.0K.h5md", into
 * name. Local. */
#define FRX_VIEW_NAME_SIZE 80
void frx_view_name(int n_ladder, int n_rung, const double *beta, int place, char name[FRX_VIEW_NAME_SIZE]);

#endif
