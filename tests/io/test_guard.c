/* The guard: whatever a reader does to the child process, the caller gets an error that says so, soon and
 * with its own memory untouched. */
#include "check.h"
#include "guard.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static int touched; /* by a reader, in its own memory */

static enum frx_status read_well(const char *path) {
    (void)path;
    touched = 1;
    return FRX_OK;
}

static enum frx_status refuse(const char *path) {
    return FRX_FAIL(FRX_ERR_MODEL, "%s has 3 heads", path);
}

static enum frx_status crash(const char *path) {
    (void)path;
    raise(SIGSEGV);
    return FRX_OK;
}

static enum frx_status give_up(const char *path) {
    fprintf(stderr, "this must not be seen: %s\n", path);
    exit(3);
}

static enum frx_status loop(const char *path) {
    const char *volatile end = path;
    while (end == path) {
    }
    return FRX_OK;
}

/* Up to 4 GiB, kept until the end. */
static enum frx_status eat_memory(const char *path) {
    enum { N_PIECE = 64 };
    volatile char *piece[N_PIECE];
    int n = 0;
    for (; n < N_PIECE && (piece[n] = malloc(64 << 20)); n++) piece[n][0] = 1;
    for (int i = 0; i < n; i++) free((void *)piece[i]);
    return n == N_PIECE ? FRX_OK : FRX_FAIL(FRX_ERR_MEMORY, "%s: no memory after %d pieces", path, n);
}

static void check_limits(void) {
    /* The negative control: without the limit this reader gets all it asks for. */
    if (sizeof(void *) == 8) CHECK_OK(frx_guard_within("a", eat_memory, INT64_C(8) << 30, 60));
    CHECK_FAILS(frx_guard_within("a", eat_memory, 256 << 20, 60), FRX_ERR_MEMORY, "no memory after ");
    CHECK_FAILS(frx_guard("a", eat_memory), FRX_ERR_MEMORY, "no memory after 1");
    CHECK_FAILS(frx_guard_within("a", loop, 256 << 20, 1), FRX_ERR_FORMAT, "does not come to an end");
}

int main(void) {
#ifdef __SANITIZE_ADDRESS__
    puts("the address sanitizer takes signals and address space for itself: skipped");
    return FRX_TEST_SKIP;
#endif
    CHECK_OK(frx_guard("a", read_well));
    CHECK(touched == 0, "the child has its own memory");
    CHECK_FAILS(frx_guard("a", refuse), FRX_ERR_MODEL, "a has 3 heads");
    CHECK_FAILS(frx_guard("a", crash), FRX_ERR_FORMAT, "a is damaged: HDF5 crashes on it (signal 11)");
    CHECK_FAILS(frx_guard("a", give_up), FRX_ERR_FORMAT, "HDF5 gives up on it (exit code 3)");
    check_limits();
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_CPU, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY,
          "our own limits are as before");
    CHECK_OK(frx_guard("a", read_well));
    return frx_check_result();
}
