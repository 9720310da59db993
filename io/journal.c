#include "journal.h"

#include "durable.h"
#include "run_directory.h"
#include "sha256.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TITLE "flashrex journal 1\n"

/* ---- text ---- */

static void digest_of(const char *text, size_t n_byte, char digest[FRX_SHA256_TEXT]) {
    struct frx_sha256 hash;
    frx_sha256_start(&hash);
    frx_sha256_take(&hash, text, n_byte);
    frx_sha256_finish(&hash, digest);
}

/* The content without the line of the digest; NULL if there is no memory. */
static char *make_text(int n, const int64_t (*rows)[2]) {
    char *text = NULL;
    size_t n_byte = 0;
    FILE *out = open_memstream(&text, &n_byte);
    if (!out) return NULL;
    fputs(TITLE, out);
    for (int s = 0; s < n; s++)
        fprintf(out, FRX_SEGMENT_FORMAT " %" PRId64 " %" PRId64 "\n", s + 1, rows[s][0], rows[s][1]);
    return fclose(out) == 0 ? text : NULL;
}

static int count_lines(const char *text) {
    int n = 0;
    for (; *text; text++) n += *text == '\n';
    return n;
}

static enum frx_status damaged(const char *path) {
    return FRX_FAIL(FRX_ERR_FORMAT, "%s is damaged", path);
}

static enum frx_status parse(const char *path, char *text, int *n, int64_t (**rows)[2]) {
    char *last = strstr(text, "sha256 "), digest[FRX_SHA256_TEXT];
    if (!last) return damaged(path);
    digest_of(text, (size_t)(last - text), digest);
    if (strncmp(last + 7, digest, FRX_SHA256_TEXT - 1) != 0 || strncmp(text, TITLE, sizeof TITLE - 1) != 0)
        return damaged(path);
    *last = '\0';
    const int n_segment = count_lines(text) - 1;
    if (n_segment < 0) return damaged(path);
    int64_t(*row)[2] = calloc((size_t)n_segment + 1, sizeof *row);
    if (!row) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for %s", path);
    const char *line = text;
    for (int s = 0; s < n_segment; s++) {
        line = strchr(line, '\n') + 1;
        if (sscanf(line, "%*s %" SCNd64 " %" SCNd64, &row[s][0], &row[s][1]) != 2 || row[s][0] < 0 ||
            row[s][1] < 0) {
            free(row);
            return damaged(path);
        }
    }
    *n = n_segment;
    *rows = row;
    return FRX_OK;
}

/* ---- file ---- */

static enum frx_status write_text(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    if (!file) return FRX_FAIL(FRX_ERR_IO, "cannot create %s: %s", path, strerror(errno));
    char digest[FRX_SHA256_TEXT];
    digest_of(text, strlen(text), digest);
    fprintf(file, "%ssha256 %s\n", text, digest);
    return frx_durable_close(file, path);
}

enum frx_status frx_journal_write(const char *path, int n, const int64_t (*rows)[2]) {
    char *text = make_text(n, rows);
    if (!text) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for the journal");
    const enum frx_status status = write_text(path, text);
    free(text);
    return status;
}

static enum frx_status read_text(const char *path, char **text) {
    FILE *file = fopen(path, "r");
    if (!file && errno == ENOENT) return FRX_OK;
    if (!file) return FRX_FAIL(FRX_ERR_IO, "cannot open %s: %s", path, strerror(errno));
    size_t n_byte = 0;
    const ssize_t n = getdelim(text, &n_byte, '\0', file); /* all of it: text has no zeros */
    fclose(file);
    return n < 0 ? damaged(path) : FRX_OK;
}

enum frx_status frx_journal_read(const char *directory, int *n, int64_t (**rows)[2]) {
    *n = 0;
    *rows = NULL;
    char *path = frx_run_path(directory, FRX_JOURNAL), *text = NULL;
    if (!path) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for a path");
    enum frx_status status = read_text(path, &text);
    if (status == FRX_OK && text) status = parse(path, text, n, rows);
    free(text);
    free(path);
    return status;
}
