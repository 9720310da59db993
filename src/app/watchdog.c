#include "watchdog.h"

#include "print.h"
#include "whereabouts.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TICK           0.1  /* s between two looks */
#define BLIND_SECONDS  3.0  /* later: who does not know for whom it waits */
#define TURN           0.25 /* s between two ranks that do not know */
#define LAST_TURN      120  /* ranks beyond share a turn */
#define PATIENCE       10.0 /* times the longest block of steps */
#define SECONDS_TO_DIE 10   /* for MPI_Abort */

static const char *const place_name[] = {[FRX_AT_START] = "at the start",
                                         [FRX_AT_STEPS] = "making steps",
                                         [FRX_AT_EXCHANGE] = "where ranks meet",
                                         [FRX_AT_CHECKPOINT] = "writing a checkpoint",
                                         [FRX_AT_END] = "at the end"};

/* What a rank tells the others of its host. */
struct entry {
    _Atomic int rank, process, place, n_call; /* process 0: not watched */
    _Atomic int has_spoken;                   /* of the first entry: somebody has */
    _Atomic uint64_t name_space;              /* process numbers mean the same where it is the same */
    _Atomic int64_t step;
};

struct frx_watchdog {
    const struct frx_session *session;
    const struct frx_exchange_view *_Atomic view;
    MPI_Comm host;
    MPI_Win window;
    struct entry *entry; /* [n_entry] of this host's ranks, shared */
    int n_entry, own;
    _Atomic int ends;
    _Atomic int64_t longest; /* block of steps, ns */
    int64_t since;           /* ns, of the main thread */
    pthread_t thread;
};

static int64_t now_ns(void) {
    struct timespec clock;
    clock_gettime(CLOCK_MONOTONIC, &clock);
    return (int64_t)clock.tv_sec * 1000000000 + clock.tv_nsec;
}

/* ---- the thread ---- */

/* Whether the process of an entry is there no more. Not knowing counts as being there. */
static int is_gone(const struct frx_watchdog *w, const struct entry *other) {
    const int process = atomic_load(&other->process);
    return process > 0 && atomic_load(&other->name_space) == atomic_load(&w->entry[w->own].name_space) &&
           kill(process, 0) != 0 && errno == ESRCH;
}

static void describe(const struct frx_watchdog *w, const struct entry *other, char *text, size_t n_byte) {
    char number[FRX_NUMBER_SIZE], replicas[256];
    const int rank = atomic_load(&other->rank);
    frx_whereabouts(w->session, atomic_load(&w->view), rank, replicas, sizeof replicas);
    snprintf(text, n_byte, "rank %d (process %d, %s), last seen %s after step %s", rank,
             atomic_load(&other->process), replicas, place_name[atomic_load(&other->place)],
             frx_number(atomic_load(&other->step), number));
}

/* One message per host: the first to come speaks for all. */
static void end_run(const struct frx_watchdog *w, const char *message) {
    if (atomic_exchange(&w->entry[0].has_spoken, 1)) return;
    fprintf(stderr, "flashrex: error: %s; --continue goes on from the last checkpoint\n", message);
    alarm(SECONDS_TO_DIE); /* in case that MPI cannot even abort */
    MPI_Abort(MPI_COMM_WORLD, frx_status_exit_code(FRX_ERR_COMM));
}

/* The lowest rank of this host that lives and finds another one gone says so. */
static void look_for_dead(const struct frx_watchdog *w) {
    const struct entry *gone = NULL;
    int speaker = -1;
    for (int p = w->n_entry - 1; p >= 0; p--) {
        if (is_gone(w, &w->entry[p]))
            gone = &w->entry[p];
        else
            speaker = p;
    }
    if (!gone || speaker != w->own) return;
    char other[400], message[500];
    describe(w, gone, other, sizeof other);
    snprintf(message, sizeof message, "%s, has died", other);
    end_run(w, message);
}

static int count_late(const struct frx_watchdog *w) {
    int n_late = 0;
    for (int p = 0; p < w->n_entry; p++)
        n_late += atomic_load(&w->entry[p].n_call) < atomic_load(&w->entry[w->own].n_call);
    return n_late;
}

static void give_up(const struct frx_watchdog *w, double waited) {
    const struct entry *own = &w->entry[w->own];
    char number[FRX_NUMBER_SIZE], other[400], message[900];
    size_t n = (size_t)snprintf(message, sizeof message, "rank %d has waited for %.0f s %s after step %s",
                                w->session->comm->rank, waited, place_name[atomic_load(&own->place)],
                                frx_number(atomic_load(&own->step), number));
    const int n_late = count_late(w);
    int late = 0;
    while (n_late && atomic_load(&w->entry[late].n_call) >= atomic_load(&own->n_call)) late++;
    if (n_late > 0) {
        describe(w, &w->entry[late], other, sizeof other);
        n += (size_t)snprintf(message + n, sizeof message - n, " for %s", other);
    }
    if (n_late == 0)
        snprintf(message + n, sizeof message - n, ": a rank%s, a GPU or a disk does not answer",
                 w->n_entry < w->session->comm->size ? " of another host" : "");
    else if (n_late > 1)
        snprintf(message + n, sizeof message - n, " and %d more", n_late - 1);
    end_run(w, message);
}

static void *watch(void *argument) {
    struct frx_watchdog *w = argument;
    const struct entry *own = &w->entry[w->own];
    const int rank = w->session->comm->rank;
    const double turn = BLIND_SECONDS + TURN * (rank < LAST_TURN ? rank : LAST_TURN);
    double waited = 0;
    for (int n_call = 0; !atomic_load(&w->ends);) {
        const struct timespec tick = {0, (long)(TICK * 1e9)};
        nanosleep(&tick, NULL);
        look_for_dead(w);
        waited += TICK; /* by looks, not by the clock, which goes on when processes are stopped */
        if (n_call != atomic_load(&own->n_call) || atomic_load(&own->place) == FRX_AT_STEPS) waited = 0;
        n_call = atomic_load(&own->n_call);
        const double limit = w->session->config.watchdog + PATIENCE * 1e-9 * (double)atomic_load(&w->longest);
        if (waited > limit + (count_late(w) ? 0 : turn)) give_up(w, waited);
    }
    return NULL;
}

/* ---- life ---- */

static enum frx_status share(struct frx_watchdog *w) {
    const struct frx_comm *comm = w->session->comm;
    int unit, host_rank;
    MPI_Aint n_byte;
    FRX_MPI(MPI_Comm_split_type(comm->mpi, MPI_COMM_TYPE_SHARED, comm->rank, MPI_INFO_NULL, &w->host));
    FRX_MPI(MPI_Comm_size(w->host, &w->n_entry));
    FRX_MPI(MPI_Comm_rank(w->host, &host_rank));
    w->own = host_rank;
    const size_t own_bytes = host_rank == 0 ? (size_t)w->n_entry * sizeof *w->entry : 0;
    FRX_MPI(MPI_Win_allocate_shared((MPI_Aint)own_bytes, 1, MPI_INFO_NULL, w->host, &w->entry, &w->window));
    FRX_MPI(MPI_Win_shared_query(w->window, 0, &n_byte, &unit, &w->entry));
    return FRX_OK;
}

static void introduce(struct frx_watchdog *w) {
    struct entry *own = &w->entry[w->own];
    struct stat name_space;
    atomic_store(&own->rank, w->session->comm->rank);
    atomic_store(&own->place, FRX_AT_START);
    atomic_store(&own->n_call, 0);
    atomic_store(&own->has_spoken, 0);
    atomic_store(&own->step, 0);
    atomic_store(&own->name_space, stat("/proc/self/ns/pid", &name_space) == 0 ? name_space.st_ino : 0);
    atomic_store(&own->process, atomic_load(&own->name_space) ? (int)getpid() : 0);
    MPI_Barrier(w->host); /* nobody looks at what is not written yet */
}

/* Signals are the main thread's. */
static enum frx_status start_thread(struct frx_watchdog *w) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    const int failed = pthread_create(&w->thread, NULL, watch, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) return FRX_FAIL(FRX_ERR_INTERNAL, "cannot start the watchdog: %s", strerror(failed));
    return FRX_OK;
}

enum frx_status frx_watchdog_start(const struct frx_session *session, struct frx_watchdog **watchdog) {
    *watchdog = NULL;
    if (session->config.watchdog == 0) return FRX_OK;
    struct frx_watchdog *w = calloc(1, sizeof *w);
    enum frx_status status = w ? FRX_OK : FRX_FAIL(FRX_ERR_MEMORY, "out of memory for the watchdog");
    status = frx_agree(session->comm, status);
    if (status != FRX_OK || !w) {
        free(w);
        return status;
    }
    w->session = session;
    status = share(w);
    if (status != FRX_OK) { /* not with the handler that MPI programs have */
        free(w);
        return status;
    }
    introduce(w);
    const enum frx_status started = start_thread(w);
    if (started != FRX_OK) atomic_store(&w->ends, 1);
    status = frx_agree(session->comm, started);
    if (status == FRX_OK)
        *watchdog = w;
    else
        frx_watchdog_stop(w);
    return status;
}

void frx_watchdog_tell(struct frx_watchdog *w, const struct frx_exchange_view *view) {
    if (w) atomic_store(&w->view, view);
}

void frx_watchdog_at(struct frx_watchdog *w, enum frx_place place, int64_t step) {
    if (!w) return;
    struct entry *own = &w->entry[w->own];
    const int64_t now = now_ns(), took = now - w->since;
    if (atomic_load(&own->place) == FRX_AT_STEPS && took > atomic_load(&w->longest))
        atomic_store(&w->longest, took);
    w->since = now;
    atomic_store(&own->place, (int)place);
    atomic_store(&own->step, step);
    atomic_fetch_add(&own->n_call, 1);
}

void frx_watchdog_stop(struct frx_watchdog *w) {
    if (!w) return;
    atomic_store(&w->entry[w->own].process, 0); /* from here on it may leave */
    const int has_thread = !atomic_exchange(&w->ends, 1);
    if (has_thread) pthread_join(w->thread, NULL);
    MPI_Barrier(w->host);
    MPI_Win_free(&w->window);
    MPI_Comm_free(&w->host);
    free(w);
}
