#include "checkpoint.h"

#include "agree.h"
#include "durable.h"
#include "run_directory.h"
#include "sha256.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEMPORARY FRX_CHECKPOINT ".tmp"
#define LINK      FRX_CHECKPOINT_PREVIOUS ".tmp"
#define DIGEST    (FRX_SHA256_TEXT - 1) /* bytes at the end of the file */
#define PIECE     (INT64_C(1) << 30)    /* bytes per MPI message */

/* The file: head, then for each part a part_head and its data, filled up with zeros to a multiple of 8 bytes,
 * then the digest of all that as text. */
struct head {
    char format[24];     /* "flashrex checkpoint 1" */
    uint64_t byte_order; /* BYTE_ORDER_MARK as the writer has it */
    uint64_t n_part;
};
struct part_head {
    char name[FRX_PART_NAME_SIZE];
    uint64_t n_byte;
};
#define FORMAT          "flashrex checkpoint 1"
#define BYTE_ORDER_MARK UINT64_C(0x0102030405060708)

static size_t padding(size_t n_byte) {
    return (8 - n_byte % 8) % 8;
}

/* ---- write ---- */

struct writer {
    FILE *file;
    struct frx_sha256 hash;
};

static void put(struct writer *writer, const void *bytes, size_t n) {
    if (n == 0) return;
    frx_sha256_take(&writer->hash, bytes, n);
    fwrite(bytes, 1, n, writer->file); /* failures are kept by the stream: ferror */
}

static void put_parts(struct writer *writer, int n_part, const struct frx_checkpoint_part *part) {
    static const char zeros[8];
    struct head head = {.format = FORMAT, .byte_order = BYTE_ORDER_MARK, .n_part = (uint64_t)n_part};
    frx_sha256_start(&writer->hash);
    put(writer, &head, sizeof head);
    for (int p = 0; p < n_part; p++) {
        struct part_head part_head = {.n_byte = part[p].n_byte};
        snprintf(part_head.name, sizeof part_head.name, "%s", part[p].name);
        put(writer, &part_head, sizeof part_head);
        put(writer, part[p].data, part[p].n_byte);
        put(writer, zeros, padding(part[p].n_byte));
    }
    char digest[FRX_SHA256_TEXT];
    frx_sha256_finish(&writer->hash, digest);
    fwrite(digest, 1, DIGEST, writer->file);
}

static enum frx_status write_file(const char *path, int n_part, const struct frx_checkpoint_part *part) {
    struct writer writer = {.file = fopen(path, "wb")};
    if (!writer.file) return FRX_FAIL(FRX_ERR_IO, "cannot create %s: %s", path, strerror(errno));
    put_parts(&writer, n_part, part);
    int failed = fflush(writer.file) != 0 || ferror(writer.file) || fsync(fileno(writer.file)) != 0;
    const int reason = errno;
    (void)posix_fadvise(fileno(writer.file), 0, 0, POSIX_FADV_DONTNEED); /* read back what the disk has */
    failed |= fclose(writer.file) != 0;
    if (failed) return FRX_FAIL(FRX_ERR_IO, "cannot write %s: %s", path, strerror(reason));
    return FRX_OK;
}

/* ---- read ---- */

static enum frx_status read_bytes(const char *path, struct frx_checkpoint *checkpoint) {
    FILE *file = fopen(path, "rb");
    struct stat status;
    if (!file || fstat(fileno(file), &status) != 0) {
        const int reason = errno;
        if (file) fclose(file);
        return FRX_FAIL(FRX_ERR_IO, "cannot open %s: %s", path, strerror(reason));
    }
    checkpoint->n_byte = status.st_size;
    checkpoint->byte = malloc((size_t)checkpoint->n_byte + 1);
    const int complete = checkpoint->byte && fread(checkpoint->byte, 1, (size_t)checkpoint->n_byte, file) ==
                                                 (size_t)checkpoint->n_byte;
    fclose(file);
    if (!checkpoint->byte)
        return FRX_FAIL(FRX_ERR_MEMORY, "no memory for %s of %lld bytes", path,
                        (long long)checkpoint->n_byte);
    return complete ? FRX_OK : FRX_FAIL(FRX_ERR_IO, "cannot read %s", path);
}

/* The part whose head is at byte *at; moves *at behind it. NULL: there is no room for it. */
static const struct part_head *next_part(const struct frx_checkpoint *checkpoint, size_t *at) {
    const size_t end = (size_t)checkpoint->n_byte - DIGEST;
    const struct part_head *part = (const struct part_head *)(const void *)(checkpoint->byte + *at);
    if (end - *at < sizeof *part) return NULL;
    const size_t room = end - *at - sizeof *part;
    if (part->n_byte > room || padding(part->n_byte) > room - part->n_byte) return NULL;
    *at += sizeof *part + part->n_byte + padding(part->n_byte);
    return part;
}

static enum frx_status check_bytes(const char *path, const struct frx_checkpoint *checkpoint) {
    const struct head *head = (const struct head *)(const void *)checkpoint->byte;
    if (checkpoint->n_byte < (int64_t)sizeof *head + DIGEST)
        return FRX_FAIL(FRX_ERR_FORMAT, "%s is cut short: %lld bytes", path, (long long)checkpoint->n_byte);
    const size_t n = (size_t)checkpoint->n_byte - DIGEST;
    struct frx_sha256 hash;
    char digest[FRX_SHA256_TEXT];
    frx_sha256_start(&hash);
    frx_sha256_take(&hash, checkpoint->byte, n);
    frx_sha256_finish(&hash, digest);
    if (memcmp(digest, checkpoint->byte + n, DIGEST) != 0)
        return FRX_FAIL(FRX_ERR_FORMAT, "%s is damaged: its SHA-256 is not the one written in it", path);
    if (memcmp(head->format, FORMAT, sizeof FORMAT) != 0 || head->byte_order != BYTE_ORDER_MARK)
        return FRX_FAIL(FRX_ERR_FORMAT, "%s is of another version or another kind of machine", path);
    size_t at = sizeof *head;
    for (uint64_t p = 0; p < head->n_part; p++)
        if (!next_part(checkpoint, &at))
            return FRX_FAIL(FRX_ERR_FORMAT, "%s does not have the %llu parts that it promises", path,
                            (unsigned long long)head->n_part);
    return FRX_OK;
}

static enum frx_status load(const char *directory, const char *name, struct frx_checkpoint *checkpoint) {
    char *path = frx_run_path(directory, name);
    if (!path) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for a path");
    enum frx_status status = read_bytes(path, checkpoint);
    if (status == FRX_OK) status = check_bytes(path, checkpoint);
    if (status != FRX_OK) frx_checkpoint_clear(checkpoint);
    free(path);
    return status;
}

static int is_there(const char *directory, const char *name) {
    char *path = frx_run_path(directory, name);
    const int found = path && access(path, F_OK) == 0;
    free(path);
    return found;
}

static enum frx_status load_newest(const char *directory, struct frx_checkpoint *checkpoint) {
    if (!is_there(directory, FRX_CHECKPOINT) && !is_there(directory, FRX_CHECKPOINT_PREVIOUS)) return FRX_OK;
    const enum frx_status status = load(directory, FRX_CHECKPOINT, checkpoint);
    if (status == FRX_OK) return FRX_OK;
    char newest[FRX_MESSAGE_SIZE / 2];
    snprintf(newest, sizeof newest, "%.400s", frx_error_message());
    if (!is_there(directory, FRX_CHECKPOINT_PREVIOUS)) return status;
    if (load(directory, FRX_CHECKPOINT_PREVIOUS, checkpoint) != FRX_OK) {
        char previous[FRX_MESSAGE_SIZE / 2];
        snprintf(previous, sizeof previous, "%.400s", frx_error_message());
        return FRX_FAIL(status, "no checkpoint can be used: %s; %s", newest, previous);
    }
    checkpoint->is_previous = 1;
    snprintf(checkpoint->notice, sizeof checkpoint->notice, "%s", newest);
    return FRX_OK;
}

/* ---- public ---- */

static enum frx_status replace(const char *directory, const char *from, const char *to) {
    char *old = frx_run_path(directory, from), *new = frx_run_path(directory, to);
    enum frx_status status = FRX_OK;
    if (!old || !new)
        status = FRX_FAIL(FRX_ERR_MEMORY, "no memory for a path");
    else if (rename(old, new) != 0)
        status = FRX_FAIL(FRX_ERR_IO, "cannot rename %s to %s: %s", old, new, strerror(errno));
    free(old);
    free(new);
    return status;
}

static enum frx_status verify(const char *directory, const char *name) {
    struct frx_checkpoint written = {0};
    FRX_TRY(load(directory, name, &written));
    frx_checkpoint_clear(&written);
    return FRX_OK;
}

enum frx_status frx_checkpoint_make(const char *directory, int n_part,
                                    const struct frx_checkpoint_part *part) {
    char *path = frx_run_path(directory, TEMPORARY);
    if (!path) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for a path");
    enum frx_status status = write_file(path, n_part, part);
    if (status == FRX_OK) status = verify(directory, TEMPORARY);
    if (status != FRX_OK) unlink(path); /* a full disk can use the space */
    free(path);
    return status;
}

/* A second name for the present checkpoint, so that it is there while it is being replaced; where the file
 * system has no links, it takes the other name, and a kill right afterwards leaves the previous one alone. */
static enum frx_status keep_present(const char *directory) {
    char *present = frx_run_path(directory, FRX_CHECKPOINT), *link_path = frx_run_path(directory, LINK);
    int linked = 0;
    if (present && link_path) {
        unlink(link_path); /* of a job that was killed */
        linked = link(present, link_path) == 0;
    }
    free(present);
    free(link_path);
    return replace(directory, linked ? LINK : FRX_CHECKPOINT, FRX_CHECKPOINT_PREVIOUS);
}

enum frx_status frx_checkpoint_publish(const char *directory) {
    if (verify(directory, FRX_CHECKPOINT) == FRX_OK) FRX_TRY(keep_present(directory));
    FRX_TRY(replace(directory, TEMPORARY, FRX_CHECKPOINT));
    return frx_durable_names(directory);
}

enum frx_status frx_checkpoint_read(MPI_Comm comm, const char *directory, struct frx_checkpoint *checkpoint) {
    int rank;
    MPI_Comm_rank(comm, &rank);
    *checkpoint = (struct frx_checkpoint){0};
    enum frx_status status = rank == 0 ? load_newest(directory, checkpoint) : FRX_OK;
    FRX_TRY(frx_io_agree(comm, status));
    MPI_Bcast(&checkpoint->n_byte, 1, MPI_INT64_T, 0, comm);
    if (rank != 0 && !(checkpoint->byte = malloc((size_t)checkpoint->n_byte + 1)))
        status = FRX_FAIL(FRX_ERR_MEMORY, "no memory for a checkpoint of %lld bytes",
                          (long long)checkpoint->n_byte);
    status = frx_io_agree(comm, status);
    for (int64_t at = 0; status == FRX_OK && at < checkpoint->n_byte; at += PIECE) {
        const int64_t left = checkpoint->n_byte - at;
        MPI_Bcast(checkpoint->byte + at, (int)(left < PIECE ? left : PIECE), MPI_BYTE, 0, comm);
    }
    if (status != FRX_OK) frx_checkpoint_clear(checkpoint);
    return status;
}

void frx_checkpoint_clear(struct frx_checkpoint *checkpoint) {
    free(checkpoint->byte);
    checkpoint->byte = NULL;
    checkpoint->n_byte = 0;
}

enum frx_status frx_checkpoint_find(const struct frx_checkpoint *checkpoint, const char *name,
                                    const void **data, size_t *n_byte) {
    const struct head *head = (const struct head *)(const void *)checkpoint->byte;
    size_t at = sizeof *head;
    for (uint64_t p = 0; p < head->n_part; p++) {
        const struct part_head *part = next_part(checkpoint, &at);
        if (!part) break;
        if (strncmp(part->name, name, sizeof part->name) != 0) continue;
        *data = part + 1;
        *n_byte = part->n_byte;
        return FRX_OK;
    }
    return FRX_FAIL(FRX_ERR_FORMAT, "the checkpoint has no part `%s`", name);
}

enum frx_status frx_checkpoint_copy(const struct frx_checkpoint *checkpoint, const char *name, void *data,
                                    size_t n_byte) {
    const void *from;
    size_t n;
    FRX_TRY(frx_checkpoint_find(checkpoint, name, &from, &n));
    if (n != n_byte)
        return FRX_FAIL(FRX_ERR_FORMAT, "part `%s` of the checkpoint has %zu bytes, expected %zu", name, n,
                        n_byte);
    if (n > 0) memcpy(data, from, n);
    return FRX_OK;
}
