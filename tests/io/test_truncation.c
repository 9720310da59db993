/* A frames file and a journal, cut at every length: refused, whatever is missing. (System files are cut in
 * test_system_hostile.c, checkpoints in test_checkpoint.c.) */
#include "check.h"
#include "frames_file.h"
#include "journal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FRAMES "test_truncation.h5"

static char directory[] = "truncation_XXXXXX";

/* ---- frames ---- */

static long write_frames(void) {
    double positions[18], energy[2] = {1, 2}, forces[18] = {0}, parts[4] = {1, 2, 3, 4};
    char name[2][FRX_NAME_SIZE] = {"SchNet", "bonds"};
    for (int i = 0; i < 18; i++) positions[i] = i;
    const struct frx_frames frames = {2, 3, positions, energy, forces, 2, name, parts};
    CHECK_OK(frx_frames_write(FRAMES, &frames, "test", 1));
    FILE *file = fopen(FRAMES, "rb");
    CHECK(file && fseek(file, 0, SEEK_END) == 0, "reading %s", FRAMES);
    const long n_byte = file ? ftell(file) : 0;
    if (file) fclose(file);
    return n_byte;
}

/* Shorter and shorter; each without the guard, so that a crash would end this program, some with it. */
static void check_frames(void) {
    struct frx_frames frames;
    const long n_byte = write_frames();
    CHECK_OK(frx_frames_read(FRAMES, &frames));
    CHECK(frames.n_frame == 2 && frames.positions[17] == 17 && frames.parts[3] == 4, "%d frames",
          frames.n_frame);
    frx_frames_clear(&frames);
    CHECK(n_byte > 1000 && n_byte < 100000, "%ld bytes", n_byte);
    for (long n = n_byte - 1; n >= 0; n--) {
        CHECK(truncate(FRAMES, n) == 0, "cutting to %ld", n);
        CHECK_FAILS(frx_frames_read_unguarded(FRAMES, &frames), FRX_ERR_FORMAT, FRAMES);
        if (n % 64 == 0) CHECK_FAILS(frx_frames_read(FRAMES, &frames), FRX_ERR_FORMAT, FRAMES);
        CHECK(!frames.positions && frames.n_frame == 0, "nothing is left");
    }
    unlink(FRAMES);
}

/* ---- journal ---- */

static char path[64];

static void put(const char *text, size_t n) {
    FILE *file = fopen(path, "wb");
    CHECK(file && fwrite(text, 1, n, file) == n && fclose(file) == 0, "writing %s", path);
}

static enum frx_status read_journal(void) {
    int n = 0;
    int64_t(*rows)[2] = NULL;
    const enum frx_status status = frx_journal_read(directory, &n, &rows);
    if (status == FRX_OK) CHECK(n == 2 && rows[1][0] == 6 && rows[1][1] == INT64_C(9000000000), "%d rows", n);
    free(rows);
    return status;
}

static void check_journal(void) {
    const int64_t rows[2][2] = {{5, 3}, {6, INT64_C(9000000000)}};
    char text[512];
    CHECK_OK(frx_journal_write(path, 2, rows));
    CHECK_OK(read_journal());
    FILE *file = fopen(path, "rb");
    const size_t n = file ? fread(text, 1, sizeof text, file) : 0;
    if (file) fclose(file);
    CHECK(n > 100 && n < sizeof text, "%zu bytes", n);
    for (size_t cut = 0; cut < n - 1; cut++) { /* the last byte ends the line of the digest */
        put(text, cut);
        CHECK_FAILS(read_journal(), FRX_ERR_FORMAT, "is damaged");
    }
    for (size_t at = 0; at < n - 1; at++)
        for (int bit = 0; bit < 8; bit++) {
            text[at] ^= (char)(1 << bit);
            put(text, n);
            CHECK_FAILS(read_journal(), FRX_ERR_FORMAT, "is damaged");
            text[at] ^= (char)(1 << bit);
        }
    const int64_t negative[1][2] = {{5, -3}};
    CHECK_OK(frx_journal_write(path, 1, negative));
    CHECK_FAILS(read_journal(), FRX_ERR_FORMAT, "is damaged");
    unlink(path);
}

int main(void) {
    CHECK(mkdtemp(directory) != NULL, "cannot make %s", directory);
    snprintf(path, sizeof path, "%s/journal", directory);
    check_frames();
    check_journal();
    CHECK(rmdir(directory) == 0, "%s is empty", directory);
    return frx_check_result();
}
