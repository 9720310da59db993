#include "support.h"

#include <dirent.h>
#include <mpi.h>
#include <sanitizer/lsan_interface.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of the sanitizer: malloc may fail, as it does everywhere else. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "allocator_may_return_null=1";
}

static char folder[64];
static pid_t owner; /* children of the fuzzer end, too */

static void remove_folder(void) {
    DIR *listing = getpid() == owner ? opendir(folder) : NULL;
    if (!listing) return;
    for (const struct dirent *entry; (entry = readdir(listing));) unlinkat(dirfd(listing), entry->d_name, 0);
    closedir(listing);
    rmdir(folder);
}

const char *frx_fuzz_folder(void) {
    if (folder[0]) return folder;
    snprintf(folder, sizeof folder, "%s/frx_fuzz_XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    frx_fuzz_require(mkdtemp(folder) != NULL, "a folder for files");
    owner = getpid();
    atexit(remove_folder);
    return folder;
}

const char *frx_fuzz_file(const char *name, const void *bytes, size_t n_byte) {
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", frx_fuzz_folder(), name);
    FILE *file = fopen(path, "wb");
    const size_t n = file && n_byte ? fwrite(bytes, 1, n_byte, file) : 0;
    frx_fuzz_require(file && fclose(file) == 0 && n == n_byte, "writing a file");
    return path;
}

void frx_fuzz_require(int is_true, const char *what) {
    if (is_true) return;
    fprintf(stderr, "not true: %s\n", what);
    abort();
}

void frx_fuzz_start_mpi(void) {
    int provided;
    setenv("OMPI_MCA_ess_singleton_isolated", "1", 0); /* no daemon */
    __lsan_disable();
    MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided);
    __lsan_enable();
}

int frx_fuzz_guards(int is_damaged) {
    return is_damaged && !getenv("FRX_FUZZ_DIRECT");
}

uint64_t frx_fuzz_take(struct frx_fuzz_input *input, int n_byte) {
    uint64_t value = 0;
    for (int b = 0; b < n_byte && input->n_byte > 0; b++, input->at++, input->n_byte--)
        value |= (uint64_t)*input->at << 8 * b;
    return value;
}

unsigned frx_fuzz_below(struct frx_fuzz_input *input, unsigned n) {
    return (unsigned)frx_fuzz_take(input, 1) % n;
}

void frx_fuzz_text(struct frx_fuzz_input *input, char *text, size_t size) {
    size_t n = frx_fuzz_take(input, 1);
    if (n > input->n_byte) n = input->n_byte;
    if (n > size - 1) n = size - 1;
    memcpy(text, input->at, n);
    text[n] = '\0';
    input->at += n, input->n_byte -= n;
}
