/* Frames files: configurations in, energies and forces out (docs/formats.md, "Frames and energies file"). */
#ifndef FRX_IO_FRAMES_FILE_H
#define FRX_IO_FRAMES_FILE_H

#include "status.h"
#include "system.h"

/* Frames of one molecule and, where known, their energies and forces. Everything owned by the struct. */
struct frx_frames {
    int n_frame, n_bead;
    double *positions; /* [n_frame][n_bead][3] Angstrom */
    double *energy;    /* [n_frame] kcal/mol, or NULL */
    double *forces;    /* [n_frame][n_bead][3] kcal/mol/A, or NULL */
    int n_part;
    char (*part_name)[FRX_NAME_SIZE]; /* [n_part] */
    double *parts;                    /* [n_frame][n_part] kcal/mol, or NULL */
};

/* Read a frames file: `positions`, and `energy`, `forces`, `parts/` if they are there (parts in the order of
 * their names). Coordinates are taken as they are: frx_positions_check tells whether they make sense. *frames
 * is overwritten and then owned by the caller (frx_frames_clear); on failure it is zeroed. Errors:
 * FRX_ERR_IO, FRX_ERR_FORMAT (missing, wrong type or shape, no frames, shapes that do not match),
 * FRX_ERR_MEMORY. Local. A child process reads the file first, because HDF5 itself can crash on it (guard.h).
 * The second function does without: for fuzzers, which look for crashes. */
FRX_CHECKED enum frx_status frx_frames_read(const char *path, struct frx_frames *frames);
FRX_CHECKED enum frx_status frx_frames_read_unguarded(const char *path, struct frx_frames *frames);

/* Write a frames file with whatever *frames holds, under a temporary name that is renamed when all is
 * written. `generator` is the program and version. Errors: FRX_ERR_EXISTS if `path` exists and `overwrite` is
 * 0; FRX_ERR_IO with path and reason, nothing is left behind then. Local. */
FRX_CHECKED enum frx_status frx_frames_write(const char *path, const struct frx_frames *frames,
                                             const char *generator, int overwrite);

/* Free everything inside and zero the struct. NULL and zeroed structs are fine. Local. */
void frx_frames_clear(struct frx_frames *frames);

#endif
