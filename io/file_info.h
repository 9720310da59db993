/* What a file or directory of flashrex is and what it holds, for `flashrex info` and for tests. */
#ifndef FRX_IO_FILE_INFO_H
#define FRX_IO_FILE_INFO_H

#include "status.h"

#include <stdint.h>

enum frx_file_kind { FRX_FILE_SYSTEM, FRX_FILE_RUN, FRX_FILE_FRAMES };

/* Description of a file. Strings and arrays are owned by the struct; members that a kind does not have are 0
 * or NULL. */
struct frx_file_info {
    enum frx_file_kind kind;
    int version;     /* of the format; 0: the file does not say */
    int64_t n_byte;  /* on disk; of a run: its segments together */
    char *generator; /* program that wrote it */
    char sha256[65]; /* system: of the file; run: of the system file it was made from */
    int n_bead;      /* all kinds */
    int64_t n_frame; /* run: committed frames of all segments; frames: frames; system: starting structures */
    /* run */
    int n_segment, n_ladder, n_rung;
    double *beta;          /* [n_rung] mol/kcal, of the newest segment */
    int64_t n_exchange;    /* committed exchange events */
    int64_t n_adapting[2]; /* frames and exchange events from adapting the ladder, not in the above */
    /* how the run mixed by its last commit, averaged over ladders; acceptance is NULL if it does not say
     */
    double *acceptance;                                /* [n_rung-1] average probability of each pair */
    double round_trip_rate, predicted_round_trip_rate; /* per event and ladder */
    int64_t n_mixing;                                  /* exchange events counted in them */
    int64_t first_step, last_step;                     /* of the committed frames; 0 if there are none */
    double timestep;                                   /* ps */
    uint64_t seed;
    char *system_path, *config, *build;
};

/* Describe `path`: a system file, a frames file, a run directory or one of its segments. A system file is
 * described from its attributes and shapes; frx_system_read checks it. *info is overwritten and then owned by
 * the caller (frx_file_info_clear); on failure it is zeroed. Errors: FRX_ERR_IO, FRX_ERR_FORMAT (not HDF5,
 * cut short, none of ours), FRX_ERR_MEMORY. Local. A child process reads the file first, because HDF5 itself
 * can crash on it (guard.h). The second function does without: for fuzzers, which look for crashes. */
FRX_CHECKED enum frx_status frx_file_info_read(const char *path, struct frx_file_info *info);
FRX_CHECKED enum frx_status frx_file_info_read_unguarded(const char *path, struct frx_file_info *info);

/* Name of a kind for people: "system file", "run", "frames file". Local. */
const char *frx_file_kind_name(enum frx_file_kind kind);

/* Free everything inside and zero the struct. NULL and zeroed structs are fine. Local. */
void frx_file_info_clear(struct frx_file_info *info);

#endif
