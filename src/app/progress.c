#include "progress.h"

#include "adapt.h"
#include "print.h"
#include "units.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define LIVE_SECONDS 0.25 /* between updates of the live line */
#define LINE_SECONDS 30.0 /* between lines in a log */
#define LINE_SIZE    320
#define MIXING_SIZE  160

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

/* Acceptance of the worst and of the average pair, barrier and round trips; while the ladder is adapted,
 * which round. Keeps what is to be said when mixing is stuck. */
static void describe_mixing(struct frx_progress *progress, int64_t step,
                            const struct frx_statistics *statistics, char text[MIXING_SIZE]) {
    const struct frx_session *session = progress->session;
    struct frx_mixing mixing = {0};
    text[0] = '\0';
    if (!statistics || statistics->n_rung < 2) return;
    const int adapting = step < frx_session_adapt_steps(session);
    size_t n = 0;
    if (adapting)
        n = (size_t)snprintf(text, MIXING_SIZE, "   adapting, round %d of %d",
                             frx_adapt_n_round(step / session->config.exchange_interval) + 1,
                             (int)session->config.adapt_ladder);
    if (statistics->n_event == 0 ||
        frx_mixing_read(session, statistics, FRX_ALL_LADDERS, &mixing) != FRX_OK) {
        frx_mixing_clear(&mixing);
        return;
    }
    double mean = 0;
    for (int p = 0; p < mixing.n_rung - 1; p++) mean += mixing.acceptance[p] / (mixing.n_rung - 1);
    n += (size_t)snprintf(text + n, MIXING_SIZE - n, "   acceptance %.2f min %.2f mean   barrier %.2f",
                          mixing.acceptance[mixing.weakest], mean, mixing.barrier[mixing.n_rung - 1]);
    if (!adapting) {
        const double expected = mixing.predicted * (double)mixing.n_event * mixing.n_ladder;
        char trips[FRX_NUMBER_SIZE], all[FRX_NUMBER_SIZE];
        frx_number(mixing.n_round_trip, trips);
        if (isfinite(expected))
            snprintf(text + n, MIXING_SIZE - n, "   %s of %s round trips", trips,
                     frx_number(llround(expected), all));
        else
            snprintf(text + n, MIXING_SIZE - n, "   %s round trip%s", trips,
                     mixing.n_round_trip == 1 ? "" : "s");
    }
    if (!adapting && !progress->advice[0] && !frx_mixing_advice(session, &mixing, progress->advice))
        progress->advice[0] = '\0';
    frx_mixing_clear(&mixing);
}

static void describe(struct frx_progress *progress, int64_t step, const struct frx_statistics *statistics,
                     char text[LINE_SIZE]) {
    const struct frx_session *session = progress->session;
    const int64_t n_step = session->config.n_timesteps;
    const double seconds = frx_progress_seconds(progress), ns = frx_session_ns(session, step);
    const double rate = seconds > 0 ? ns / seconds * FRX_S_PER_DAY : 0;
    const double left = step > 0 ? seconds / (double)step * (double)(n_step - step) : INFINITY;
    char steps[FRX_NUMBER_SIZE], all[FRX_NUMBER_SIZE], each[FRX_NUMBER_SIZE], eta[FRX_NUMBER_SIZE],
        time[FRX_NUMBER_SIZE], mixing[MIXING_SIZE];
    describe_mixing(progress, step, statistics, mixing);
    /* what matters most comes first: narrow terminals cut the end off */
    snprintf(text, LINE_SIZE, "%3.0f %%   %s left   step %s   %s ns   %s ns/day (%s each)%s",
             floor(100.0 * (double)step / (double)n_step), frx_duration(left, eta), frx_number(step, steps),
             frx_figure(ns, time), frx_figure(rate * session->n_slot, all), frx_figure(rate, each), mixing);
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
    if (progress->advice[0] && !progress->is_said) { /* once */
        frx_progress_clear(progress);
        fprintf(progress->lines ? stdout : stderr, "warning: %s\n", progress->advice);
        fflush(stdout);
        progress->is_said = 1;
    }
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
