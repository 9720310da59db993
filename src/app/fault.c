#include "fault.h"

#include "user_error.h"
#ifdef FRX_WITH_CUDA
#include "cuda_engine.h"
#endif

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum kind { NONE, NOT_A_NUMBER, GPU_ERROR, LOST, HANG, STOP, KILL, SLOW };

static const struct {
    const char *name, *key; /* of its first value */
    int has_step;
} kinds[] = {[NOT_A_NUMBER] = {"nan", "replica", 1}, [GPU_ERROR] = {"gpu-error", "rank", 1},
             [LOST] = {"lost", "rank", 1},           [HANG] = {"hang", "rank", 1},
             [STOP] = {"stop", "rank", 1},           [KILL] = {"kill", "rank", 1},
             [SLOW] = {"slow", "seconds", 0}};

/* A class is a table of functions without data, and an engine is opaque: what they need to know is here. */
static struct {
    enum kind kind;
    int rank, is_here, done;
    uint32_t replica;
    int64_t step, now; /* when it is due; steps that were made */
    double seconds;
    int n_rep;
    size_t n_coordinate;
    const struct frx_engine_class *real;
    const struct frx_transport_class *real_transport;
    struct frx_engine_class engine;
    struct frx_transport_class transport;
} fault;

/* ---- what to do ---- */

static enum frx_status spoil_velocity(struct frx_engine *engine) {
    double *velocities = malloc(fault.n_coordinate * sizeof *velocities);
    enum frx_status status = velocities ? FRX_OK : FRX_FAIL(FRX_ERR_MEMORY, "out of memory for a fault");
    for (int r = 0; r < fault.n_rep && status == FRX_OK; r++) {
        uint32_t identity;
        const struct frx_state_view view = {.velocities = velocities, .identity = &identity};
        status = fault.real->get_state(engine, r, 1, &view);
        if (status != FRX_OK || !velocities || identity != fault.replica) continue;
        velocities[0] = NAN;
        status = fault.real->set_state(engine, r, 1, &(struct frx_state_view){.velocities = velocities});
    }
    free(velocities);
    return status;
}

static enum frx_status break_device(void) {
#ifdef FRX_WITH_CUDA
    if (fault.real == &frx_cuda_engine) return frx_device_break();
#endif
    return FRX_FAIL(FRX_ERR_DEVICE, "the GPU failed, as FRX_FAULT wants it");
}

static void hang(void) {
    for (;;) pause(); /* signals interrupt it, but do not end it */
}

static void linger(double seconds) {
    struct timespec left = {(time_t)seconds, (long)((seconds - floor(seconds)) * 1e9)};
    while (nanosleep(&left, &left) != 0) continue;
}

static enum frx_status strike(struct frx_engine *engine) {
    if (fault.kind == NOT_A_NUMBER) return spoil_velocity(engine);
    if (!fault.is_here) return FRX_OK;
    if (fault.kind == GPU_ERROR) return break_device();
    if (fault.kind == HANG) hang();
    if (fault.kind == STOP) raise(SIGSTOP);
    if (fault.kind == KILL) raise(SIGKILL);
    return FRX_OK;
}

/* ---- the wrapped functions ---- */

static enum frx_status create(const struct frx_system *system, const struct frx_engine_options *options,
                              struct frx_engine **engine) {
    fault.n_rep = options->n_rep;
    fault.n_coordinate = 3 * (size_t)system->n_bead;
    return fault.real->create(system, options, engine);
}

static enum frx_status propagate(struct frx_engine *engine, int64_t step, int n_step) {
    const int64_t end = step + n_step;
    fault.now = end;
    if (fault.kind == SLOW) linger(fault.seconds * n_step * (1 + fault.rank));
    if (fault.step < step || fault.step >= end) return fault.real->propagate(engine, step, n_step);
    FRX_TRY(fault.real->propagate(engine, step, (int)(fault.step - step)));
    FRX_TRY(strike(engine));
    return fault.real->propagate(engine, fault.step, (int)(end - fault.step));
}

static int has_other(int n, const struct frx_message *message) {
    while (n > 0 && message[n - 1].peer == fault.rank) n--;
    return n > 0;
}

static enum frx_status carry(struct frx_carrier *carrier, int n_send, const struct frx_message *send,
                             int n_receive, const struct frx_message *receive) {
    const int is_due = fault.is_here && fault.now > fault.step && !fault.done && has_other(n_send, send);
    if (!is_due) return fault.real_transport->carry(carrier, n_send, send, n_receive, receive);
    fault.done = 1;
    return FRX_OK;
}

/* ---- life ---- */

/* "key=value" after `opening`. Returns what follows, or NULL. */
static const char *read_value(const char *text, char opening, const char *key, double *value) {
    const size_t n = strlen(key);
    if (!text || text[0] != opening || strncmp(text + 1, key, n) != 0 || text[n + 1] != '=') return NULL;
    char *end;
    *value = strtod(text + n + 2, &end);
    return end > text + n + 2 && *value >= 0 && *value < 1e9 ? end : NULL;
}

static enum kind read_kind(const char *text, double *value, double *step) {
    for (enum kind k = NOT_A_NUMBER; k <= SLOW; k++) {
        const size_t n = strlen(kinds[k].name);
        if (strncmp(text, kinds[k].name, n) != 0) continue;
        const char *end = read_value(text + n, ':', kinds[k].key, value);
        if (kinds[k].has_step) end = read_value(end, ',', "step", step);
        if (end && !*end) return k;
    }
    return NONE;
}

enum frx_status frx_fault_read(int rank) {
    const char *text = getenv("FRX_FAULT");
    double value = 0, step = -1;
    fault.kind = NONE;
    if (!text || !*text) return FRX_OK;
    fault.kind = read_kind(text, &value, &step);
    if (!fault.kind)
        return frx_user_error(
            "FRX_FAULT: '%s' is none of nan:replica=R,step=S; slow:seconds=T; gpu-error, lost, "
            "hang, stop or kill:rank=P,step=S",
            text);
    fault.rank = rank;
    fault.is_here = rank == (int)value;
    fault.replica = (uint32_t)value;
    fault.seconds = value;
    fault.step = (int64_t)step;
    fault.done = 0;
    return FRX_OK;
}

const struct frx_engine_class *frx_fault_engine(const struct frx_engine_class *engine_class) {
    if (!fault.kind) return engine_class;
    fault.real = engine_class;
    fault.engine = *engine_class;
    fault.engine.create = create;
    fault.engine.propagate = propagate;
    return &fault.engine;
}

const struct frx_transport_class *frx_fault_transport(const struct frx_transport_class *transport_class) {
    if (fault.kind != LOST || !transport_class) return transport_class;
    fault.real_transport = transport_class;
    fault.transport = *transport_class;
    fault.transport.carry = carry;
    return &fault.transport;
}
