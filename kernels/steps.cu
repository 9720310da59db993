/* Steps: force evaluations, the integrator between them, and the graphs that hold blocks of them.
 *
 * A block of n steps is  BEGIN F TURN F TURN .. F FINISH  with F a force evaluation; the index of its first
 * step is read from device memory, so that one captured graph serves every block of its length. propagate(n)
 * launches as many graphs of FRX_STEPS_PER_GRAPH steps as fit into n - 1, single steps for the rest, and a
 * last step with energies. The host does nothing else. Priors run on a stream of their own beside the network
 * and join before the integrator.
 *
 * With a timer nothing is captured and everything runs on one stream, stage by stage.
 *
 * The network of a small molecule makes whole steps itself (fused.h): a block is one launch and the sum of
 * its energies. */
#include "engine_parts.h"

#include <string.h>

/* Forces of the present positions; item energies too if with_energy. */
static enum frx_status queue_forces(struct frx_engine *engine, int with_energy) {
    const struct frx_gpu_state *state = &engine->state;
    const int beside = state->prior_force && engine->network && !engine->timer;
    cudaStream_t prior_stream = beside ? engine->side : engine->stream;
    if (beside) {
        FRX_CUDA(cudaEventRecord(engine->fork, engine->stream));
        FRX_CUDA(cudaStreamWaitEvent(engine->side, engine->fork, 0));
    }
    if (state->prior_force)
        FRX_TRY(frx_gpu_prior_forces(&engine->prior, state->position, state->prior_force, with_energy,
                                     prior_stream));
    FRX_TRY(frx_timer_mark(engine->timer, FRX_STAGE_PRIORS, engine->stream));
    if (engine->network)
        FRX_TRY(engine->network->ops->forces(engine->network, state->position, state->network_force,
                                             with_energy ? state->bead_energy : NULL, engine->timer,
                                             engine->stream));
    if (beside) {
        FRX_CUDA(cudaEventRecord(engine->join, engine->side));
        FRX_CUDA(cudaStreamWaitEvent(engine->stream, engine->join, 0));
    }
    return FRX_OK;
}

static enum frx_status queue_steps(struct frx_engine *engine, int n_step, int with_energy) {
    const struct frx_gpu_state *state = &engine->state;
    for (int k = 0; k <= n_step; k++) {
        const enum frx_phase phase = k == 0       ? FRX_PHASE_BEGIN
                                     : k < n_step ? FRX_PHASE_TURN
                                                  : FRX_PHASE_FINISH;
        FRX_TRY(frx_integrate(state, &engine->integrator, phase, k < n_step ? k : k - 1, engine->stream));
        FRX_TRY(frx_timer_mark(engine->timer, FRX_STAGE_INTEGRATION, engine->stream));
        if (k < n_step) FRX_TRY(queue_forces(engine, with_energy && k == n_step - 1));
    }
    if (!with_energy) return FRX_OK;
    FRX_TRY(frx_reduce_energies(state, 1, n_step - 1, engine->stream));
    return frx_timer_mark(engine->timer, FRX_STAGE_ENERGY, engine->stream);
}

/* Whether the network makes whole steps, in one kernel. */
static int is_fused(const struct frx_engine *engine) {
    return engine->network && engine->network->ops->steps;
}

static enum frx_status queue_fused(struct frx_engine *engine, int n_step, int with_energy) {
    FRX_TRY(engine->network->ops->steps(engine->network, &engine->state, &engine->prior, &engine->integrator,
                                        n_step, with_energy, engine->stream));
    return frx_timer_mark(engine->timer, FRX_STAGE_FUSED, engine->stream);
}

static enum frx_status queue_evaluation(struct frx_engine *engine) {
    FRX_TRY(is_fused(engine) ? queue_fused(engine, 0, 1) : queue_forces(engine, 1));
    FRX_TRY(frx_reduce_energies(&engine->state, 0, 0, engine->stream));
    return frx_timer_mark(engine->timer, FRX_STAGE_ENERGY, engine->stream);
}

static enum frx_status queue_kind(struct frx_engine *engine, enum frx_graph kind) {
    switch (kind) {
    case FRX_GRAPH_BLOCK:
        return queue_steps(engine, FRX_STEPS_PER_GRAPH, 0);
    case FRX_GRAPH_STEP:
        return queue_steps(engine, 1, 0);
    case FRX_GRAPH_LAST_STEP:
        return queue_steps(engine, 1, 1);
    default:
        return queue_evaluation(engine);
    }
}

static enum frx_status capture(struct frx_engine *engine, enum frx_graph kind) {
    cudaGraph_t graph = NULL;
    FRX_CUDA(cudaStreamBeginCapture(engine->stream, cudaStreamCaptureModeThreadLocal));
    const enum frx_status queued = queue_kind(engine, kind);
    const cudaError_t ended = cudaStreamEndCapture(engine->stream, &graph);
    enum frx_status status = queued;
    if (status == FRX_OK) status = frx_cuda_status(ended, "capturing steps", __FILE__, __LINE__);
    if (status == FRX_OK)
        status = frx_cuda_status(cudaGraphInstantiate(&engine->graph[kind], graph, 0),
                                 "making a graph of steps", __FILE__, __LINE__);
    if (graph) (void)cudaGraphDestroy(graph);
    return status;
}

static enum frx_status run(struct frx_engine *engine, enum frx_graph kind) {
    if (engine->timer) {
        FRX_TRY(frx_timer_start(engine->timer, engine->stream));
        FRX_TRY(queue_kind(engine, kind));
        return frx_timer_collect(engine->timer);
    }
    if (!engine->graph[kind]) FRX_TRY(capture(engine, kind));
    FRX_CUDA(cudaGraphLaunch(engine->graph[kind], engine->stream));
    return FRX_OK;
}

static int is_stale(const struct frx_engine *engine) {
    int stale = 0;
    for (int r = 0; r < engine->options.n_rep; r++) stale |= engine->host_stale[r];
    return stale;
}

enum frx_status frx_steps_evaluate(struct frx_engine *engine) {
    engine->n_force_evaluation += engine->options.n_rep;
    FRX_TRY(run(engine, FRX_GRAPH_EVALUATION));
    if (!is_stale(engine)) return FRX_OK;
    FRX_TRY(frx_state_refresh(&engine->state, engine->stream));
    memset(engine->host_stale, 0, engine->options.n_rep * sizeof *engine->host_stale);
    return FRX_OK;
}

enum frx_status frx_steps_refresh(struct frx_engine *engine) {
    return is_stale(engine) ? frx_steps_evaluate(engine) : FRX_OK;
}

static enum frx_status run_steps(struct frx_engine *engine, enum frx_graph kind, int n_step, int64_t *step) {
    FRX_TRY(frx_state_set_step(&engine->state, *step, engine->stream));
    FRX_TRY(run(engine, kind));
    *step += n_step;
    engine->n_force_evaluation += (int64_t)n_step * engine->options.n_rep;
    return FRX_OK;
}

/* A launch of so many steps takes a tenth of a second for as many replicas as a GPU has multiprocessors, and
 * seconds for thousands: display drivers allow a few. */
enum { MOST_FUSED_STEPS = 2048 };

static enum frx_status propagate_fused(struct frx_engine *engine, int64_t step, int n_step) {
    engine->n_force_evaluation += (int64_t)n_step * engine->options.n_rep;
    while (n_step > 0) {
        const int n = n_step < MOST_FUSED_STEPS ? n_step : MOST_FUSED_STEPS, last = n == n_step;
        FRX_TRY(frx_timer_start(engine->timer, engine->stream));
        FRX_TRY(frx_state_set_step(&engine->state, step, engine->stream));
        FRX_TRY(queue_fused(engine, n, last));
        if (last) FRX_TRY(frx_reduce_energies(&engine->state, 1, n - 1, engine->stream));
        if (last) FRX_TRY(frx_timer_mark(engine->timer, FRX_STAGE_ENERGY, engine->stream));
        FRX_TRY(frx_timer_collect(engine->timer));
        step += n;
        n_step -= n;
    }
    return FRX_OK;
}

enum frx_status frx_steps_propagate(struct frx_engine *engine, int64_t step, int n_step) {
    FRX_TRY(frx_steps_refresh(engine));
    if (n_step < 1) return FRX_OK;
    if (is_fused(engine)) return propagate_fused(engine, step, n_step);
    const int64_t last = step + n_step - 1;
    /* timed blocks are single steps: a timer holds the marks of one */
    while (!engine->timer && last - step >= FRX_STEPS_PER_GRAPH)
        FRX_TRY(run_steps(engine, FRX_GRAPH_BLOCK, FRX_STEPS_PER_GRAPH, &step));
    while (step < last) FRX_TRY(run_steps(engine, FRX_GRAPH_STEP, 1, &step));
    return run_steps(engine, FRX_GRAPH_LAST_STEP, 1, &step);
}
