/* A checkpoint file: parts come back as they were, every truncation and every changed byte is noticed, the
 * one before steps in. */
#include "check.h"
#include "checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[] = "checkpoint_XXXXXX";

static const char *path_of(const char *name) {
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static void write_one(double first) {
    const double numbers[3] = {first, 0.1, -1e300};
    const struct frx_checkpoint_part part[] = {
        {"text", "hello", 5}, {"numbers", numbers, sizeof numbers}, {"nothing", NULL, 0}};
    CHECK_OK(frx_checkpoint_make(directory, 3, part));
    CHECK_OK(frx_checkpoint_publish(directory));
}

/* First number of the checkpoint that is used; -1: an error. */
static double read_first(int *is_previous) {
    struct frx_checkpoint checkpoint;
    double numbers[3] = {-1};
    if (frx_checkpoint_read(MPI_COMM_SELF, directory, &checkpoint) != FRX_OK) return -1;
    CHECK_OK(frx_checkpoint_copy(&checkpoint, "numbers", numbers, sizeof numbers));
    CHECK(numbers[1] == 0.1 && numbers[2] == -1e300, "%g %g", numbers[1], numbers[2]);
    if (is_previous) *is_previous = checkpoint.is_previous;
    frx_checkpoint_clear(&checkpoint);
    return numbers[0];
}

static void check_parts(void) {
    struct frx_checkpoint checkpoint;
    const void *data;
    size_t n_byte;
    double wrong[4];
    CHECK_OK(frx_checkpoint_read(MPI_COMM_SELF, directory, &checkpoint));
    CHECK_OK(frx_checkpoint_find(&checkpoint, "text", &data, &n_byte));
    CHECK(n_byte == 5 && memcmp(data, "hello", 5) == 0, "%zu bytes", n_byte);
    CHECK_OK(frx_checkpoint_find(&checkpoint, "nothing", &data, &n_byte));
    CHECK(n_byte == 0, "%zu bytes", n_byte);
    CHECK_FAILS(frx_checkpoint_find(&checkpoint, "tex", &data, &n_byte), FRX_ERR_FORMAT, "no part `tex`");
    CHECK_FAILS(frx_checkpoint_copy(&checkpoint, "numbers", wrong, sizeof wrong), FRX_ERR_FORMAT,
                "expected 32");
    frx_checkpoint_clear(&checkpoint);
}

static void put_bytes(const unsigned char *bytes, size_t n) {
    FILE *file = fopen(path_of(FRX_CHECKPOINT), "wb");
    CHECK(file && fwrite(bytes, 1, n, file) == n && fclose(file) == 0, "cannot write %zu bytes", n);
}

/* With the newest cut at every length and changed at every byte, the one before is used. */
static void check_damage(void) {
    unsigned char bytes[1024];
    FILE *file = fopen(path_of(FRX_CHECKPOINT), "rb");
    const size_t n = file ? fread(bytes, 1, sizeof bytes, file) : 0;
    if (file) fclose(file);
    CHECK(n > 64 && n < sizeof bytes, "%zu bytes", n);
    int is_previous = 0;
    for (size_t cut = 0; cut < n; cut++) {
        put_bytes(bytes, cut);
        CHECK(read_first(&is_previous) == 1 && is_previous, "cut to %zu bytes", cut);
    }
    for (size_t at = 0; at < n; at++) {
        bytes[at] ^= 0x10;
        put_bytes(bytes, n);
        CHECK(read_first(&is_previous) == 1 && is_previous, "byte %zu changed", at);
        bytes[at] ^= 0x10;
    }
    write_one(3); /* the newest is damaged: it must not become the previous one */
    CHECK(read_first(&is_previous) == 3 && !is_previous, "the newest is good again");
    unlink(path_of(FRX_CHECKPOINT));
    CHECK(read_first(&is_previous) == 1 && is_previous, "the last good one was kept");
    put_bytes(bytes, n);
    CHECK(read_first(&is_previous) == 2 && !is_previous, "the newest is good again");
    put_bytes(bytes, n - 1);
    CHECK(truncate(path_of(FRX_CHECKPOINT_PREVIOUS), 50) == 0, "cannot truncate");
    CHECK(read_first(NULL) == -1, "both are damaged");
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    CHECK(mkdtemp(directory) != NULL, "cannot make %s", directory);
    struct frx_checkpoint none;
    CHECK_OK(frx_checkpoint_read(MPI_COMM_SELF, directory, &none));
    CHECK(none.n_byte == 0, "%lld bytes of nothing", (long long)none.n_byte);
    frx_checkpoint_clear(&none);
    write_one(1);
    write_one(2);
    CHECK(access(path_of("checkpoint.tmp"), F_OK) != 0, "a temporary file is left");
    check_parts();
    check_damage();
    unlink(path_of(FRX_CHECKPOINT));
    unlink(path_of(FRX_CHECKPOINT_PREVIOUS));
    rmdir(directory);
    MPI_Finalize();
    return frx_check_result();
}
