#include "run_lock.h"

#include "run_directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NAME     ".lock" /* says who has it; the lock itself is the kernel's, which ends with its process */
#define WAIT     0.1     /* s between two attempts */
#define WHO_SIZE 320

/* Whether the open file is the one that has the name: not one that its owner has just removed. */
static int has_name(int file, const char *path) {
    struct stat here, there;
    return fstat(file, &here) == 0 && stat(path, &there) == 0 && here.st_ino == there.st_ino &&
           here.st_dev == there.st_dev;
}

/* 0 with the lock in *file, or the reason; EWOULDBLOCK: somebody else has it. */
static int try_lock(const char *path, int *file) {
    *file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (*file < 0) return errno;
    int reason = flock(*file, LOCK_EX | LOCK_NB) == 0 ? 0 : errno;
    if (reason == ENOLCK || reason == ENOSYS || reason == EOPNOTSUPP) reason = 0; /* no locks here */
    if (reason == 0 && !has_name(*file, path)) reason = EWOULDBLOCK;
    if (reason != 0) close(*file);
    return reason;
}

static void write_owner(int file) {
    char host[256] = "", who[WHO_SIZE];
    gethostname(host, sizeof host - 1);
    const int n = snprintf(who, sizeof who, "process %ld on %s\n", (long)getpid(), host);
    if (ftruncate(file, 0) == 0) (void)!write(file, who, (size_t)n); /* for the message only */
}

static void read_owner(const char *path, char who[WHO_SIZE]) {
    FILE *file = fopen(path, "r");
    if (!file || !fgets(who, WHO_SIZE, file) || !*who) snprintf(who, WHO_SIZE, "a process");
    who[strcspn(who, "\n")] = '\0';
    if (file) fclose(file);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Of a lock whose path is known. */
static enum frx_status take(const char *directory, double patience, struct frx_run_lock *lock) {
    lock->made_directory = mkdir(directory, 0777) == 0;
    if (!lock->made_directory && errno != EEXIST)
        return FRX_FAIL(FRX_ERR_IO, "cannot make directory %s: %s", directory, strerror(errno));
    const double end = now() + patience;
    int reason;
    while ((reason = try_lock(lock->path, &lock->file)) == EWOULDBLOCK && now() < end)
        nanosleep(&(struct timespec){.tv_nsec = (long)(WAIT * 1e9)}, NULL);
    if (reason == 0) return FRX_OK;
    if (lock->made_directory) rmdir(directory);
    if (reason != EWOULDBLOCK)
        return FRX_FAIL(FRX_ERR_IO, "cannot create %s: %s", lock->path, strerror(reason));
    char who[WHO_SIZE];
    read_owner(lock->path, who);
    return FRX_FAIL(FRX_ERR_EXISTS, "another run is writing %s: %s", directory, who);
}

enum frx_status frx_run_lock(const char *directory, double patience, struct frx_run_lock *lock) {
    *lock = (struct frx_run_lock){.path = frx_run_path(directory, NAME)};
    if (!lock->path) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for a path");
    const enum frx_status status = take(directory, patience, lock);
    if (status == FRX_OK) {
        write_owner(lock->file);
        return FRX_OK;
    }
    free(lock->path);
    *lock = (struct frx_run_lock){0};
    return status;
}

void frx_run_unlock(struct frx_run_lock *lock) {
    if (!lock->path) return;
    unlink(lock->path);
    close(lock->file);
    if (lock->made_directory) {
        *strrchr(lock->path, '/') = '\0';
        rmdir(lock->path); /* fails if it is of use */
    }
    free(lock->path);
    *lock = (struct frx_run_lock){0};
}
