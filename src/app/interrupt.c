#include "interrupt.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

static volatile sig_atomic_t noted;
static volatile int64_t noted_at; /* ms; only the handler uses it */

static void note(int number) {
    const int saved = errno;
    struct timespec clock;
    clock_gettime(CLOCK_MONOTONIC, &clock);
    const int64_t now = (int64_t)clock.tv_sec * 1000 + clock.tv_nsec / 1000000;
    if (!noted) {
        noted = number;
        noted_at = now;
    } else if (now - noted_at > FRX_INTERRUPT_ECHO_MS) {
        signal(number, SIG_DFL); /* delivered when this handler returns */
        raise(number);
    }
    errno = saved;
}

void frx_interrupt_watch(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = note;
    action.sa_flags = SA_RESTART;
    sigaddset(&action.sa_mask, SIGINT); /* one at a time */
    sigaddset(&action.sa_mask, SIGTERM);
    sigaddset(&action.sa_mask, SIGUSR1);
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

int frx_interrupt_signal(void) {
    return noted;
}
