#include "progress.h"

#include "print.h"
#include "units.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define LIVE_SECONDS 0.25 /* between updates of the live line */
#define LINE_SECONDS 30.0 /* between lines in a log */
#define LINE_SIZE    240

const char *const frx_progress_words[] = {"auto", "live", "lines", "quiet", NULL};

void frx_progress_start(const struct frx_session *session, enum frx_progress_mode mode, double seconds,
                        struct frx_progress *progress) {
    memset(progress, 0, sizeof *progress);
    progress->session = session;
    progress->start = MPI_Wtime() - seconds;
    progress->next_line = MPI_Wtime() + LINE_SECONDS;
    progress->next_line_step = session->config.log_interval;
    if (session->comm->rank != 0) return;
    progress->live = mode == FRX_PROGRESS_LIVE || (mode == FRX_PROGRESS_AUTO && isatty(STDERR_FILENO));
    progress->lines = mode == FRX_PROGRESS_LINES ||
                      (mode == FRX_PROGRESS_AUTO && !(progress->live && isatty(STDOUT_FILENO)));
}

double frx_progress_seconds(const struct frx_progress *progress) {
    return MPI_Wtime() - progress->start;
}

/* Smallest and mean acceptance over pairs and ladders, and round trips of all replicas. */
static void describe_mixing(const struct frx_statistics *statistics, char *text, size_t n_byte) {
    text[0] = '\0';
    if (!statistics || statistics->n_event == 0 || statistics->n_rung < 2) return;
    const int n_pair = statistics->n_rung - 1;
    double smallest = 1, mean = 0;
    for (int p = 0; p < n_pair; p++) {
        double sum = 0;
        for (int l = 0; l < statistics->n_ladder; l++) sum += statistics->probability_sum[l * n_pair + p];
        const double a = sum / ((double)statistics->n_event * statistics->n_ladder);
        smallest = fmin(smallest, a);
        mean += a / n_pair;
    }
    int64_t n_trip = 0;
    for (int r = 0; r < statistics->n_ladder * statistics->n_rung; r++) n_trip += statistics->n_round_trip[r];
    char number[FRX_NUMBER_SIZE];
    snprintf(text, n_byte, "   acceptance %.2f min %.2f mean   %s round trip%s", smallest, mean,
             frx_number(n_trip, number), n_trip == 1 ? "" : "s");
}

static void describe(const struct frx_progress *progress, int64_t step,
                     const struct frx_statistics *statistics, char text[LINE_SIZE]) {
    const struct frx_session *session = progress->session;
    const int64_t n_step = session->config.n_timesteps;
    const double seconds = frx_progress_seconds(progress), ns = frx_session_ns(session, step);
    const double rate = seconds > 0 ? ns / seconds * FRX_S_PER_DAY : 0;
    const double left = step > 0 ? seconds / (double)step * (double)(n_step - step) : INFINITY;
    char steps[FRX_NUMBER_SIZE], all[FRX_NUMBER_SIZE], each[FRX_NUMBER_SIZE], eta[FRX_NUMBER_SIZE],
        time[FRX_NUMBER_SIZE], mixing[100];
    describe_mixing(statistics, mixing, sizeof mixing);
    snprintf(text, LINE_SIZE, "%3.0f %%   step %s   %s ns   %s ns/day (%s each)%s   %s left",
             floor(100.0 * (double)step / (double)n_step), frx_number(step, steps), frx_figure(ns, time),
             frx_figure(rate * session->n_slot, all), frx_figure(rate, each), mixing,
             frx_duration(left, eta));
}

static int terminal_width(void) {
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : LINE_SIZE;
}

void frx_progress_update(struct frx_progress *progress, int64_t step,
                         const struct frx_statistics *statistics) {
    if (!progress->live && !progress->lines) return;
    const double now = MPI_Wtime();
    const int64_t interval = progress->session->config.log_interval;
    const int line_due = interval == FRX_AUTO ? now >= progress->next_line : step >= progress->next_line_step;
    const int live_due = now >= progress->next_live;
    if (!(progress->lines && line_due) && !(progress->live && live_due)) return;

    char text[LINE_SIZE];
    describe(progress, step, statistics, text);
    if (progress->lines && line_due) {
        frx_progress_clear(progress);
        printf("%s\n", text);
        fflush(stdout);
        while (progress->next_line <= now) progress->next_line += LINE_SECONDS;
        if (interval != FRX_AUTO) progress->next_line_step = (step / interval + 1) * interval;
    }
    if (progress->live) { /* shortened rather than wrapped: a wrapped line cannot be taken back */
        fprintf(stderr, "\r%.*s\033[K", terminal_width() - 1, text);
        fflush(stderr);
        progress->next_live = now + LIVE_SECONDS;
    }
}

void frx_progress_clear(const struct frx_progress *progress) {
    if (progress->live) fputs("\r\033[K", stderr), fflush(stderr);
}
