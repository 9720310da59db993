#include "guard.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the child leaves in memory that it shares with its parent. */
struct outcome {
    int is_complete;
    enum frx_status status;
    char message[FRX_MESSAGE_SIZE];
};

/* ---- the child ---- */

static int64_t address_space(void) { /* bytes in use */
    long long n_page = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file && fscanf(file, "%lld", &n_page) != 1) n_page = 0;
    if (file) fclose(file);
    return n_page * sysconf(_SC_PAGESIZE);
}

static void lower(int resource, int64_t most) {
    struct rlimit limit;
    if (getrlimit((__rlimit_resource_t)resource, &limit) != 0) return;
    if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur > (rlim_t)most) limit.rlim_cur = (rlim_t)most;
    setrlimit((__rlimit_resource_t)resource, &limit);
}

/* Die quietly: no handlers of MPI's that print a backtrace, no message of the C library's, no core file. */
static void be_quiet(void) {
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGXCPU};
    for (size_t s = 0; s < sizeof signals / sizeof *signals; s++) signal(signals[s], SIG_DFL);
    const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (nowhere >= 0) dup2(nowhere, STDERR_FILENO);
    lower(RLIMIT_CORE, 0);
}

static void run_child(const char *path, frx_probe *probe, int64_t n_byte, int64_t n_second,
                      struct outcome *outcome) {
    be_quiet();
    lower(RLIMIT_AS, address_space() + n_byte);
    lower(RLIMIT_CPU, n_second);
    outcome->status = probe(path);
    snprintf(outcome->message, sizeof outcome->message, "%s", frx_error_message());
    outcome->is_complete = 1;
    _exit(0); /* nothing of the parent's is to be flushed or finalised */
}

/* ---- the parent ---- */

static enum frx_status judge(const char *path, int end, const struct outcome *outcome) {
    if (WIFSIGNALED(end) && WTERMSIG(end) == SIGXCPU)
        return FRX_FAIL(FRX_ERR_FORMAT, "%s is damaged: reading it does not come to an end", path);
    if (WIFSIGNALED(end))
        return FRX_FAIL(FRX_ERR_FORMAT, "%s is damaged: HDF5 crashes on it (signal %d)", path, WTERMSIG(end));
    if (!outcome->is_complete)
        return FRX_FAIL(FRX_ERR_FORMAT, "%s is damaged: HDF5 gives up on it (exit code %d)", path,
                        WEXITSTATUS(end));
    if (outcome->status != FRX_OK) frx_error_set(outcome->message);
    return outcome->status;
}

static enum frx_status wait_for(pid_t child, const char *path, const struct outcome *outcome) {
    int end = 0;
    while (waitpid(child, &end, 0) < 0)
        if (errno != EINTR)
            return FRX_FAIL(FRX_ERR_IO, "cannot wait for the process that reads %s: %s", path,
                            strerror(errno));
    return judge(path, end, outcome);
}

enum frx_status frx_guard_within(const char *path, frx_probe *probe, int64_t n_byte, int64_t n_second) {
    struct outcome *outcome =
        mmap(NULL, sizeof *outcome, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (outcome == MAP_FAILED) return FRX_FAIL(FRX_ERR_MEMORY, "no memory to read %s", path);
    enum frx_status status;
    const pid_t child = fork();
    if (child == 0) run_child(path, probe, n_byte, n_second, outcome);
    if (child < 0)
        status = FRX_FAIL(FRX_ERR_MEMORY, "cannot start a process to read %s: %s", path, strerror(errno));
    else
        status = wait_for(child, path, outcome);
    munmap(outcome, sizeof *outcome);
    return status;
}

enum frx_status frx_guard(const char *path, frx_probe *probe) {
    struct stat file;
    const int64_t size = stat(path, &file) == 0 ? (int64_t)file.st_size : 0;
    return frx_guard_within(path, probe, (INT64_C(1) << 30) + 32 * size, 60 + size / 10000000);
}
