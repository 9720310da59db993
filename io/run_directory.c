#include "run_directory.h"

#include "checkpoint.h"
#include "durable.h"
#include "journal.h"
#include "pdb.h"
#include "run_file.h"
#include "view.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEMPORARY ".tmp"

char *frx_run_path(const char *directory, const char *name) {
    const size_t size = strlen(directory) + strlen(name) + 2;
    char *path = malloc(size);
    if (path) snprintf(path, size, "%s/%s", directory, name);
    return path;
}

static int exists(const char *directory, const char *name) {
    char *path = frx_run_path(directory, name);
    const int found = path && access(path, F_OK) == 0;
    free(path);
    return found;
}

int frx_run_count_segments(const char *directory) {
    char name[32];
    int n = 0;
    do snprintf(name, sizeof name, FRX_SEGMENT_FORMAT, ++n);
    while (exists(directory, name));
    return n - 1;
}

enum frx_status frx_run_read_committed(const char *directory, int n, int64_t (*rows)[2]) {
    int64_t(*found)[2];
    int n_found;
    memset(rows, 0, (size_t)n * sizeof *rows);
    FRX_TRY(frx_journal_read(directory, &n_found, &found));
    if (found) memcpy(rows, found, (size_t)(n < n_found ? n : n_found) * sizeof *rows);
    free(found);
    return FRX_OK;
}

static int ends_with(const char *text, const char *end) {
    const size_t n = strlen(text), n_end = strlen(end);
    return n >= n_end && strcmp(text + n - n_end, end) == 0;
}

static int is_checkpoint(const char *name) {
    return strcmp(name, FRX_CHECKPOINT) == 0 || strcmp(name, FRX_CHECKPOINT_PREVIOUS) == 0;
}

/* The names of a run's files. */
static int is_output(const char *name) {
    return (strncmp(name, "segment_", 8) == 0 && ends_with(name, ".h5")) || strcmp(name, FRX_RUN_PDB) == 0 ||
           strcmp(name, FRX_JOURNAL) == 0 || strcmp(name, FRX_RUN_FILE) == 0 || is_checkpoint(name) ||
           ((strncmp(name, "T_", 2) == 0 || strncmp(name, "ladder_", 7) == 0) && ends_with(name, ".h5md")) ||
           (strncmp(name, "diverged_", 9) == 0 && (ends_with(name, ".h5") || ends_with(name, ".pdb")));
}

static int is_temporary_output(const char *name) {
    char stem[256];
    if (!ends_with(name, TEMPORARY)) return 0;
    snprintf(stem, sizeof stem, "%.*s", (int)(strlen(name) - strlen(TEMPORARY)), name);
    return is_output(stem);
}

/* Call `action` with every file of the directory whose name passes `test`. */
static enum frx_status for_each(const char *directory, int (*test)(const char *name),
                                enum frx_status (*action)(const char *directory, const char *name)) {
    DIR *listing = opendir(directory);
    if (!listing) return FRX_FAIL(FRX_ERR_IO, "cannot list %s: %s", directory, strerror(errno));
    enum frx_status status = FRX_OK;
    for (const struct dirent *entry; status == FRX_OK && (entry = readdir(listing));)
        if (test(entry->d_name)) status = action(directory, entry->d_name);
    closedir(listing);
    return status;
}

static enum frx_status delete_file(const char *directory, const char *name) {
    char *path = frx_run_path(directory, name);
    if (!path) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for a path");
    enum frx_status status = FRX_OK;
    if (unlink(path) != 0) status = FRX_FAIL(FRX_ERR_IO, "cannot remove %s: %s", path, strerror(errno));
    free(path);
    return status;
}

/* Give a temporary file its final name. */
static enum frx_status publish_file(const char *directory, const char *name) {
    char *path = frx_run_path(directory, name);
    char *final = path ? strndup(path, strlen(path) - strlen(TEMPORARY)) : NULL;
    enum frx_status status = FRX_OK;
    if (!final)
        status = FRX_FAIL(FRX_ERR_MEMORY, "no memory for a path");
    else if (rename(path, final) != 0)
        status = FRX_FAIL(FRX_ERR_IO, "cannot rename %s to %s: %s", path, final, strerror(errno));
    free(path);
    free(final);
    return status;
}

/* ---- making the files ---- */

static char *temporary_path(const char *directory, const char *name) {
    char temporary[FRX_VIEW_NAME_SIZE + sizeof TEMPORARY];
    snprintf(temporary, sizeof temporary, "%s" TEMPORARY, name);
    return frx_run_path(directory, temporary);
}

static enum frx_status make_segment(const char *directory, const char *name,
                                    const struct frx_segment_shape *shape,
                                    const struct frx_trajectory_options *options) {
    char *path = temporary_path(directory, name);
    if (!path) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for a path");
    const enum frx_status status = frx_segment_create(path, shape, options);
    free(path);
    return status;
}

static enum frx_status make_pdb(const char *directory, const struct frx_trajectory_options *options) {
    char *path = temporary_path(directory, FRX_RUN_PDB);
    if (!path) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for a path");
    const enum frx_status status =
        frx_pdb_write(path, options->system, options->system->structures, options->system_path);
    free(path);
    return status;
}

static enum frx_status make_views(const char *directory, const struct frx_segment_shape *shape,
                                  const struct frx_trajectory_options *options) {
    char *topology = frx_view_topology(options->system);
    if (!topology) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for the topology");
    enum frx_status status = FRX_OK;
    for (int p = 0; p < shape->n_place && status == FRX_OK; p++) {
        char name[FRX_VIEW_NAME_SIZE];
        frx_view_name(shape->n_ladder, shape->n_rung, options->beta, p, name);
        if (options->n_previous > 0 && exists(directory, name)) continue; /* it follows the run file */
        char *path = temporary_path(directory, name);
        if (!path)
            status = FRX_FAIL(FRX_ERR_MEMORY, "no memory for a path");
        else
            status = frx_view_create(path, shape, options, p, topology);
        free(path);
    }
    free(topology);
    return status;
}

/* Journal and run file, under temporary names. */
static enum frx_status make_counts(const char *directory, const struct frx_segment_shape *shape,
                                   const char *generator, int n_segment, int n_adapting,
                                   const int64_t (*rows)[2]) {
    char *journal = temporary_path(directory, FRX_JOURNAL), *file = temporary_path(directory, FRX_RUN_FILE);
    enum frx_status status = journal && file ? frx_journal_write(journal, n_segment, rows)
                                             : FRX_FAIL(FRX_ERR_MEMORY, "no memory for a path");
    if (status == FRX_OK) status = frx_run_file_create(file, shape, generator, n_segment, n_adapting, rows);
    free(journal);
    free(file);
    return status;
}

enum frx_status frx_run_show(const char *directory, const struct frx_segment_shape *shape,
                             const char *generator, int n_segment, int n_adapting, const int64_t (*rows)[2]) {
    FRX_TRY(make_counts(directory, shape, generator, n_segment, n_adapting, rows));
    FRX_TRY(publish_file(directory, FRX_JOURNAL TEMPORARY));
    FRX_TRY(publish_file(directory, FRX_RUN_FILE TEMPORARY));
    return frx_durable_names(directory);
}

static enum frx_status make_all(const char *directory, const struct frx_segment_shape *shape,
                                const struct frx_trajectory_options *options, const int64_t (*rows)[2]) {
    char segment_name[32];
    snprintf(segment_name, sizeof segment_name, FRX_SEGMENT_FORMAT, options->n_previous + 1);
    FRX_TRY(make_segment(directory, segment_name, shape, options));
    const int n_segment = options->n_previous + 1;
    FRX_TRY(make_counts(directory, shape, options->generator, n_segment,
                        options->adapting ? n_segment : options->n_adapting, rows));
    if (options->n_previous == 0) FRX_TRY(make_pdb(directory, options));
    return options->adapting ? FRX_OK : make_views(directory, shape, options);
}

/* A kill in the middle is harmless, whatever the order of the names: a new run has no checkpoint yet and
 * starts again; of a run that is continued nothing changes but the segment that has no rows. */
static enum frx_status publish(const char *directory, const struct frx_trajectory_options *options) {
    if (options->n_previous == 0 && options->overwrite) {
        FRX_TRY(for_each(directory, is_checkpoint, delete_file)); /* first: it speaks of the other files */
        FRX_TRY(frx_durable_names(directory));
        FRX_TRY(for_each(directory, is_output, delete_file));
    }
    FRX_TRY(for_each(directory, is_temporary_output, publish_file));
    return frx_durable_names(directory);
}

static enum frx_status refuse_existing(const char *directory, const char *name) {
    return FRX_FAIL(FRX_ERR_EXISTS, "%s holds a run already (%s)", directory, name);
}

enum frx_status frx_run_create(const char *directory, const struct frx_segment_shape *shape,
                               const struct frx_trajectory_options *options, const int64_t (*rows)[2]) {
    const int made = mkdir(directory, 0777) == 0;
    if (!made && errno != EEXIST)
        return FRX_FAIL(FRX_ERR_IO, "cannot make directory %s: %s", directory, strerror(errno));
    FRX_TRY(frx_durable_directory(directory)); /* also if a job made it that was killed before this */
    if (!options->overwrite && options->n_previous == 0)
        FRX_TRY(for_each(directory, is_output, refuse_existing));
    FRX_TRY(for_each(directory, is_temporary_output, delete_file));
    enum frx_status status = make_all(directory, shape, options, rows);
    if (status == FRX_OK) status = publish(directory, options);
    if (status == FRX_OK) return FRX_OK;
    char message[FRX_MESSAGE_SIZE];
    snprintf(message, sizeof message, "%s", frx_error_message());
    (void)!for_each(directory, is_temporary_output, delete_file);
    if (made) rmdir(directory);
    frx_error_set(message);
    return status;
}
