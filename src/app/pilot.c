#include "pilot.h"

#include "adapt.h"
#include "interrupt.h"
#include "run_loop.h"

#include <stdlib.h>

static enum frx_status make_rounds(struct frx_run *run, int n_round) {
    const int64_t interval = run->session->config.exchange_interval;
    if (n_round > 1) {
        run->adapting = 1;
        run->end_step = frx_adapt_n_event(n_round - 1) * interval;
        FRX_TRY(frx_run_loop(run));
    }
    run->adapting = 0;
    run->end_step = frx_adapt_n_event(n_round) * interval;
    return frx_run_loop(run);
}

static enum frx_status measure(const struct frx_session *session, struct frx_exchange *exchange,
                               struct frx_pilot *pilot) {
    const int n_pair = session->ladder.n_rung - 1;
    FRX_TRY(frx_mixing_read(session, frx_exchange_statistics(exchange), FRX_ALL_LADDERS, &pilot->mixing));
    pilot->length = malloc((size_t)(n_pair + 1) * sizeof *pilot->length);
    if (!pilot->length) return FRX_FAIL(FRX_ERR_MEMORY, "out of memory for %d rungs", n_pair + 1);
    for (int p = 0; p < n_pair; p++) {
        pilot->length[p] = frx_length_of_acceptance(pilot->mixing.acceptance[p]);
        pilot->barrier += pilot->length[p];
    }
    return FRX_OK;
}

static enum frx_status run_exchange(struct frx_session *session, int n_round, enum frx_progress_mode mode,
                                    struct frx_exchange *exchange, struct frx_pilot *pilot) {
    struct frx_progress progress;
    struct frx_run run = {
        .session = session, .exchange = exchange, .tally = &pilot->tally, .progress = &progress};
    FRX_TRY(frx_agree(session->comm, session->engine_class->draw_velocities(session->engine)));
    frx_interrupt_watch();
    frx_progress_start(session, mode, 0, &progress);
    progress.is_said = 1; /* advice is what the pilot is for */
    const enum frx_status status = make_rounds(&run, n_round);
    pilot->n_step = run.step;
    pilot->seconds = frx_progress_seconds(&progress);
    frx_progress_clear(&progress);
    if (status == FRX_ERR_INTERRUPTED) frx_error_set("the pilot was stopped by a signal");
    FRX_TRY(status);
    return frx_agree(session->comm, measure(session, exchange, pilot));
}

enum frx_status frx_pilot_run(struct frx_session *session, int n_round, enum frx_progress_mode mode,
                              struct frx_pilot *pilot) {
    *pilot = (struct frx_pilot){0};
    session->config.adapt_ladder = n_round - 1; /* what progress shows */
    session->config.n_timesteps = frx_adapt_n_event(n_round) * session->config.exchange_interval;
    FRX_TRY(frx_agree(session->comm, frx_tally_create(session->ladder.n_rung, &pilot->tally)));
    FRX_TRY(frx_session_start(session));
    const struct frx_exchange_options options = frx_session_exchange_options(session);
    struct frx_exchange *exchange = NULL;
    enum frx_status status = frx_exchange_create(session->comm, &session->ladder, session->engine_class,
                                                 session->engine, &options, &exchange);
    if (status == FRX_OK) status = run_exchange(session, n_round, mode, exchange, pilot);
    frx_exchange_destroy(exchange);
    return status;
}

void frx_pilot_clear(struct frx_pilot *pilot) {
    frx_tally_clear(&pilot->tally);
    frx_mixing_clear(&pilot->mixing);
    free(pilot->length);
    *pilot = (struct frx_pilot){0};
}
