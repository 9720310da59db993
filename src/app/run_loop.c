#include "run_loop.h"

#include "adaptation.h"
#include "meeting.h"
#include "mixing.h"
#include "print.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Buffers of this rank. */
struct loop {
    struct frx_run *run;
    const struct frx_engine_class *engine_class;
    struct frx_engine *engine;
    int n_rung, n_place, n_local, first_slot;
    struct frx_meeting meeting;
    uint32_t flags; /* what ranks told each other at the last meeting */
    int64_t step;   /* made by this rank; run->step: by all of them */
    int64_t shown_step;
    /* the frame being taken */
    int frame_pending; /* the same on all ranks */
    enum frx_status frame_status;
    struct frx_frame frame;
    int *place;         /* [n_local] */
    float *positions;   /* [n_local][n_bead][3] */
    double *energy;     /* [n_local] */
    double *kinetic;    /* [n_local] */
    double *all_energy; /* [n_slot], where there is no exchange */
    int *count, *first; /* [ranks] slots of each */
    uint32_t *identity; /* [n_local] */
    /* the exchange being recorded */
    int exchange_pending, commit_pending; /* the same on all ranks */
    int64_t exchange_step;
    int *from;           /* [n_ladder][n_rung] */
    double *probability; /* [n_ladder][n_rung-1] */
    int *n_attempt, *n_accept;
};

static int64_t next_multiple(int64_t step, int64_t interval) {
    return interval > 0 ? (step / interval + 1) * interval : INT64_MAX;
}

static int is_due(int64_t step, int64_t interval) {
    return interval > 0 && step % interval == 0;
}

static int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* ---- frames ---- */

static int place_of_slot(const struct loop *loop, int slot) {
    if (!loop->run->exchange) return slot;
    return slot - slot % loop->n_rung + frx_exchange_look(loop->run->exchange)->rung_of_slot[slot];
}

/* Local: let the engine note the present state, unless this rank has failed already. */
static void take_frame(struct loop *loop, enum frx_status status) {
    for (int r = 0; r < loop->n_local; r++) loop->place[r] = place_of_slot(loop, loop->first_slot + r);
    loop->frame.step = loop->step;
    loop->frame.adapting = loop->run->adapting;
    loop->frame_status = status == FRX_OK ? loop->engine_class->snapshot(loop->engine) : status;
    loop->frame_pending = 1;
}

/* Collective: fetch the noted state, if there is one, and append it. */
static enum frx_status collect_frame(struct loop *loop) {
    if (!loop->frame_pending) return FRX_OK;
    loop->frame_pending = 0;
    if (loop->frame_status == FRX_OK)
        loop->frame_status = loop->engine_class->snapshot_wait(loop->engine, loop->positions, loop->energy,
                                                               loop->kinetic, loop->identity);
    FRX_TRY(frx_agree(loop->run->session->comm, loop->frame_status));
    loop->run->row[0]++;
    return frx_trajectory_append_frame(loop->run->trajectory, &loop->frame);
}

/* ---- exchange and housekeeping ---- */

/* Count and append the last exchange, if that has not been done. */
static enum frx_status record_exchange(struct loop *loop) {
    if (!loop->exchange_pending) return FRX_OK;
    loop->exchange_pending = 0;
    const struct frx_exchange_view *view = frx_exchange_look(loop->run->exchange);
    const int n_rung = view->n_rung, n_pair = n_rung - 1;
    for (int p = 0; p < loop->n_place && !loop->run->adapting; p++)
        frx_tally_add(loop->run->tally, p % n_rung, view->energy[p]);
    if (!loop->run->trajectory) return FRX_OK;
    for (int l = 0; l < view->n_ladder; l++) {
        const struct frx_swap *swap = &view->swap[l];
        memcpy(loop->from + l * n_rung, swap->from, (size_t)n_rung * sizeof *loop->from);
        memcpy(loop->probability + l * n_pair, swap->probability, (size_t)n_pair * sizeof *loop->probability);
        memcpy(loop->n_attempt + l * n_pair, swap->n_attempt, (size_t)n_pair * sizeof *loop->n_attempt);
        memcpy(loop->n_accept + l * n_pair, swap->n_accept, (size_t)n_pair * sizeof *loop->n_accept);
    }
    const int64_t interval = loop->run->session->config.exchange_interval;
    const struct frx_exchange_record record = {.event = loop->exchange_step / interval - 1,
                                               .step = loop->exchange_step,
                                               .adapting = loop->run->adapting,
                                               .beta = loop->run->session->ladder.beta,
                                               .energy = view->energy,
                                               .identity = view->energy_identity,
                                               .from = loop->from,
                                               .probability = loop->probability,
                                               .n_attempt = loop->n_attempt,
                                               .n_accept = loop->n_accept};
    loop->run->row[1]++;
    return frx_trajectory_append_exchange(loop->run->trajectory, &record);
}

/* Put on the disk what was appended, and how replicas mix. Collective. */
static enum frx_status commit(struct loop *loop) {
    const struct frx_run *run = loop->run;
    loop->commit_pending = 0;
    if (!run->trajectory) return FRX_OK;
    if (run->exchange)
        FRX_TRY(frx_mixing_save(run->session, frx_exchange_statistics(run->exchange), run->trajectory));
    return frx_trajectory_commit(run->trajectory);
}

/* Everything that is to be written, while a GPU makes the steps that have been queued. Collective. */
static enum frx_status write_pending(struct loop *loop) {
    frx_clock_switch(&loop->run->clock, FRX_ACTIVITY_OUTPUT);
    FRX_TRY(collect_frame(loop));
    FRX_TRY(record_exchange(loop));
    return loop->commit_pending ? commit(loop) : FRX_OK;
}

/* Exchange. The time that it waited for the engine is that of the steps. Collective. */
static enum frx_status exchange(struct loop *loop, enum frx_status status) {
    struct frx_run *run = loop->run;
    frx_clock_switch(&run->clock, FRX_ACTIVITY_EXCHANGE);
    const struct frx_exchange_seconds before = frx_exchange_seconds(run->exchange);
    const int64_t event = loop->step / run->session->config.exchange_interval - 1;
    loop->flags = frx_meeting_flags(&loop->meeting, run->session->comm, loop->step);
    FRX_TRY(frx_exchange_attempt(run->exchange, status, event, &loop->flags));
    loop->exchange_pending = 1;
    loop->exchange_step = loop->step;
    if (run->adapting) { /* with the temperatures that it was made at */
        FRX_TRY(record_exchange(loop));
        FRX_TRY(frx_adaptation_event(run->session, run->exchange, event + 1));
    }
    const struct frx_exchange_seconds after = frx_exchange_seconds(run->exchange);
    frx_clock_switch(&run->clock, FRX_ACTIVITY_OTHER);
    frx_clock_move(&run->clock, FRX_ACTIVITY_EXCHANGE, FRX_ACTIVITY_STEPS, after.engine - before.engine);
    frx_clock_move(&run->clock, FRX_ACTIVITY_EXCHANGE, FRX_ACTIVITY_WAIT, after.gather - before.gather);
    return FRX_OK;
}

static void show_progress(struct loop *loop) {
    struct frx_run *run = loop->run;
    if (!run->progress || run->step == loop->shown_step) return;
    loop->shown_step = run->step;
    frx_progress_update(run->progress, run->step,
                        run->exchange ? frx_exchange_statistics(run->exchange) : NULL);
}

/* Where there is no exchange. The engine is waited for, so that a meeting is about what has been computed. */
static enum frx_status meet(struct loop *loop, enum frx_status status) {
    const struct frx_comm *comm = loop->run->session->comm;
    frx_clock_switch(&loop->run->clock, FRX_ACTIVITY_STEPS);
    if (status == FRX_OK) status = loop->engine_class->energies(loop->engine, loop->energy);
    frx_clock_switch(&loop->run->clock, FRX_ACTIVITY_WAIT);
    FRX_TRY(frx_agree(comm, status));
    loop->flags = frx_meeting_flags(&loop->meeting, comm, loop->step);
    FRX_MPI(MPI_Allreduce(MPI_IN_PLACE, &loop->flags, 1, MPI_UINT32_T, MPI_BOR, comm->mpi));
    frx_clock_switch(&loop->run->clock, FRX_ACTIVITY_OTHER);
    return FRX_OK;
}

/* Without exchange, after a meeting: energies for the averages. All ranks count all energies in the same
 * order: sums are the same to the bit for any number of ranks. */
static enum frx_status count_energies(struct loop *loop) {
    FRX_MPI(MPI_Allgatherv(loop->energy, loop->n_local, MPI_DOUBLE, loop->all_energy, loop->count,
                           loop->first, MPI_DOUBLE, loop->run->session->comm->mpi));
    for (int g = 0; g < loop->n_place; g++)
        frx_tally_add(loop->run->tally, g % loop->n_rung, loop->all_energy[g]);
    return FRX_OK;
}

/* Write everything that was appended, then a checkpoint that counts it. Collective. */
static enum frx_status save(struct loop *loop) {
    struct frx_run *run = loop->run;
    if (!run->trajectory) return FRX_OK;
    frx_watchdog_at(run->watchdog, FRX_AT_CHECKPOINT, loop->step);
    loop->commit_pending = 1;
    FRX_TRY(write_pending(loop));
    int64_t *present = run->segment[run->n_segment - 1];
    frx_trajectory_committed(run->trajectory, &present[0], &present[1]);
    const struct frx_restart_content content = {
        .session = run->session,
        .exchange = run->exchange,
        .tally = run->tally,
        .counts = {.step = run->step,
                   .seconds = run->progress ? frx_progress_seconds(run->progress) : 0,
                   .row = {run->row[0], run->row[1]}},
        .n_segment = run->n_segment,
        .n_adapting = run->adapting ? run->n_segment : run->n_adapting,
        .segment = (const int64_t(*)[2])run->segment};
    FRX_TRY(frx_restart_write(&content));
    frx_meeting_resume(&loop->meeting);
    return FRX_OK;
}

static enum frx_status interrupted(const struct frx_run *run, uint32_t flags) {
    char number[FRX_NUMBER_SIZE], message[200];
    snprintf(message, sizeof message,
             "stopped by %s after %s steps; everything up to there is saved: go on with --continue",
             flags & FRX_FLAG_SIGNAL ? "a signal" : run->stop_reason, frx_number(run->step, number));
    frx_error_set(message); /* the user's wish: no place in the source to blame */
    return FRX_ERR_INTERRUPTED;
}

/* The events after a block. *own is how this rank fares: it is told to the others where ranks meet, and what
 * fails afterwards is left in it for the next meeting. Returns what all ranks agreed on. Collective. */
static enum frx_status handle_events(struct loop *loop, enum frx_status *own) {
    struct frx_run *run = loop->run;
    const struct frx_config *config = &run->session->config;
    const int is_last = loop->step == run->end_step;
    if (run->trajectory && is_due(loop->step, config->save_interval)) take_frame(loop, *own);

    const int exchanges = run->exchange && is_due(loop->step, config->exchange_interval);
    const int tidies = is_due(loop->step, FRX_HOUSEKEEPING);
    if (!exchanges && !tidies && !is_last && loop->step != loop->meeting.next)
        return FRX_OK; /* only a frame */
    if (exchanges) {
        FRX_TRY(exchange(loop, *own));
    } else {
        FRX_TRY(meet(loop, *own));
        if (tidies && !run->exchange) FRX_TRY(count_energies(loop));
    }
    frx_meeting_held(&loop->meeting, loop->step, loop->flags);
    run->step = loop->step;
    if (tidies) *own = loop->engine_class->recentre(loop->engine);
    loop->commit_pending |= (loop->flags & FRX_FLAG_COMMIT) != 0;
    const uint32_t stops = loop->flags & (FRX_FLAG_SIGNAL | FRX_FLAG_TIME);
    if (is_last || !(stops || loop->flags & FRX_FLAG_CHECKPOINT)) return FRX_OK;
    FRX_TRY(frx_agree(run->session->comm, *own));
    FRX_TRY(save(loop));
    return stops ? interrupted(run, stops) : FRX_OK;
}

static enum frx_status make_steps(struct loop *loop) {
    struct frx_run *run = loop->run;
    const struct frx_config *config = &run->session->config;
    enum frx_status own = FRX_OK;
    FRX_TRY(save(loop)); /* also the first time: every run can be continued */
    while (loop->step < run->end_step) {
        int64_t next = smaller(run->end_step, next_multiple(loop->step, FRX_HOUSEKEEPING));
        next = smaller(next, loop->meeting.next);
        if (run->exchange) next = smaller(next, next_multiple(loop->step, config->exchange_interval));
        if (run->trajectory) next = smaller(next, next_multiple(loop->step, config->save_interval));
        frx_watchdog_at(run->watchdog, FRX_AT_STEPS, loop->step);
        frx_clock_switch(&run->clock, FRX_ACTIVITY_STEPS);
        if (own == FRX_OK)
            own = loop->engine_class->propagate(loop->engine, loop->step, (int)(next - loop->step));
        frx_watchdog_at(run->watchdog, FRX_AT_EXCHANGE, next);
        FRX_TRY(write_pending(loop));
        frx_clock_switch(&run->clock, FRX_ACTIVITY_OTHER);
        show_progress(loop);
        loop->step = next;
        FRX_TRY(handle_events(loop, &own));
    }
    FRX_TRY(frx_agree(run->session->comm, own));
    FRX_TRY(write_pending(loop));
    show_progress(loop);
    FRX_TRY(save(loop));
    /* energies of the last step, off the clock: a longer run does not count them */
    if (!run->exchange && !is_due(loop->step, FRX_HOUSEKEEPING)) {
        FRX_TRY(meet(loop, FRX_OK));
        FRX_TRY(count_energies(loop));
    }
    return FRX_OK;
}

static enum frx_status loop_create(struct frx_run *run, struct loop *loop) {
    const struct frx_session *session = run->session;
    const size_t n_local = (size_t)session->n_local, n_slot = (size_t)session->n_slot;
    *loop = (struct loop){.run = run,
                          .engine_class = session->engine_class,
                          .engine = session->engine,
                          .n_rung = session->ladder.n_rung,
                          .n_place = session->n_slot,
                          .n_local = session->n_local,
                          .first_slot = session->first_slot,
                          .step = run->step,
                          .shown_step = run->step};
    frx_meeting_start(&loop->meeting, run->step, session->config.checkpoint_interval, run->stop_time);
    loop->place = malloc(n_local * sizeof *loop->place);
    loop->positions = malloc(n_local * (size_t)session->system.n_bead * 3 * sizeof *loop->positions);
    loop->energy = malloc(n_local * sizeof *loop->energy);
    loop->kinetic = malloc(n_local * sizeof *loop->kinetic);
    loop->all_energy = calloc(n_slot, sizeof *loop->all_energy);
    loop->count = malloc((size_t)session->comm->size * sizeof *loop->count);
    loop->first = malloc((size_t)session->comm->size * sizeof *loop->first);
    loop->identity = malloc(n_local * sizeof *loop->identity);
    loop->from = malloc(n_slot * sizeof *loop->from);
    loop->probability = malloc(n_slot * sizeof *loop->probability);
    loop->n_attempt = malloc(n_slot * sizeof *loop->n_attempt);
    loop->n_accept = malloc(n_slot * sizeof *loop->n_accept);
    if (!loop->place || !loop->positions || !loop->energy || !loop->kinetic || !loop->all_energy ||
        !loop->count || !loop->first || !loop->identity || !loop->from || !loop->probability ||
        !loop->n_attempt || !loop->n_accept)
        return FRX_FAIL(FRX_ERR_MEMORY, "out of memory for output buffers of %d replicas", session->n_local);
    for (int p = 0; p < session->comm->size; p++)
        FRX_TRY(frx_slots_of_rank(session->n_slot, session->comm->size, p, &loop->first[p], &loop->count[p]));
    loop->frame.place = loop->place;
    loop->frame.positions = loop->positions;
    loop->frame.energy = loop->energy;
    loop->frame.kinetic = loop->kinetic;
    loop->frame.identity = loop->identity;
    return FRX_OK;
}

static void loop_clear(struct loop *loop) {
    free(loop->place), free(loop->positions), free(loop->energy), free(loop->kinetic);
    free(loop->identity);
    free(loop->all_energy), free(loop->count), free(loop->first);
    free(loop->from), free(loop->probability), free(loop->n_attempt), free(loop->n_accept);
}

enum frx_status frx_run_loop(struct frx_run *run) {
    struct loop loop;
    enum frx_status status = frx_agree(run->session->comm, loop_create(run, &loop));
    if (status == FRX_OK) status = make_steps(&loop);
    loop_clear(&loop);
    return status;
}
