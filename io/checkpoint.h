/* Checkpoints: named parts of any content in one file that is whole or is not used.
 *
 * `checkpoint` in the run directory is written under a temporary name, forced to the disk, read back and
 * compared with its SHA-256, and only then takes its name; what had the name before becomes
 * `checkpoint.prev`. So at any moment, a kill or power failure included, one of the two is good. What the
 * parts mean is the writer's business (src/app/restart.c). Layout: docs/formats.md, "Checkpoint". */
#ifndef FRX_IO_CHECKPOINT_H
#define FRX_IO_CHECKPOINT_H

#include "status.h"

#include <mpi.h>
#include <stddef.h>
#include <stdint.h>

#define FRX_CHECKPOINT          "checkpoint"
#define FRX_CHECKPOINT_PREVIOUS "checkpoint.prev"
#define FRX_PART_NAME_SIZE      32

struct frx_checkpoint_part {
    const char *name; /* shorter than FRX_PART_NAME_SIZE */
    const void *data; /* [n_byte] */
    size_t n_byte;
};

/* The bytes of a checkpoint that was found good; zeroed: none. */
struct frx_checkpoint {
    int64_t n_byte;
    unsigned char *byte; /* [n_byte] */
    int is_previous;     /* the newest was damaged or missing; the reason is `notice` */
    char notice[FRX_MESSAGE_SIZE];
};

/* Write a checkpoint under a temporary name, force it to the disk, read it back and compare its hash. It does
 * not count before frx_checkpoint_publish. Errors: FRX_ERR_IO, and nothing is left behind. Local, by one
 * rank. */
FRX_CHECKED enum frx_status frx_checkpoint_make(const char *directory, int n_part,
                                                const struct frx_checkpoint_part *part);

/* Let the one that was made be the checkpoint, and the one before it the previous one - unless that is
 * damaged: then the previous one stays, which is what the run went on from. At any moment there is a good
 * one. Errors: FRX_ERR_IO. Local, by one rank, when all ranks agree. */
FRX_CHECKED enum frx_status frx_checkpoint_publish(const char *directory);

/* Read the newest good checkpoint of a run directory on rank 0 and give it to all ranks. A directory that has
 * none at all, or does not exist, is no error: n_byte is 0. Owned by the caller. Errors: FRX_ERR_FORMAT if
 * all there are damaged or of another version, FRX_ERR_IO, FRX_ERR_MEMORY; agreed on. Collective. */
FRX_CHECKED enum frx_status frx_checkpoint_read(MPI_Comm comm, const char *directory,
                                                struct frx_checkpoint *checkpoint);
void frx_checkpoint_clear(struct frx_checkpoint *checkpoint);

/* Find a part: its data (owned by the checkpoint, aligned to 8 bytes) and size. Errors: FRX_ERR_FORMAT if it
 * is not there. Local. */
FRX_CHECKED enum frx_status frx_checkpoint_find(const struct frx_checkpoint *checkpoint, const char *name,
                                                const void **data, size_t *n_byte);

/* Copy a part, which must have exactly n_byte bytes. Errors: FRX_ERR_FORMAT. Local. */
FRX_CHECKED enum frx_status frx_checkpoint_copy(const struct frx_checkpoint *checkpoint, const char *name,
                                                void *data, size_t n_byte);

#endif
