#include "device.h"

#include <stdlib.h>
#include <string.h>

enum frx_status frx_cuda_status(cudaError_t code, const char *call, const char *file, int line) {
    if (code == cudaSuccess) return FRX_OK;
    return frx_fail(code == cudaErrorMemoryAllocation ? FRX_ERR_MEMORY : FRX_ERR_DEVICE, file, line, "%s: %s",
                    call, cudaGetErrorString(code));
}

void *frx_arena_take(struct frx_arena *arena, size_t bytes) {
    char *taken = arena->base ? arena->base + arena->used : NULL;
    arena->used += (bytes + FRX_ARENA_ALIGNMENT - 1) / FRX_ARENA_ALIGNMENT * FRX_ARENA_ALIGNMENT;
    return taken;
}

/* ---- the device ---- */

/* Exists to be asked whether this build holds code for the device. */
static __global__ void probe_kernel(void) {}

enum frx_status frx_device_select(int device) {
    int n_device = 0;
    const cudaError_t found = cudaGetDeviceCount(&n_device);
    if (found != cudaSuccess || n_device == 0) {
        (void)cudaGetLastError(); /* not sticky, but it would be taken for that of the next launch */
        return FRX_FAIL(FRX_ERR_DEVICE, "no GPU: %s",
                        found != cudaSuccess ? cudaGetErrorString(found) : "the driver lists none");
    }
    if (device < 0 || device >= n_device)
        return FRX_FAIL(FRX_ERR_DEVICE, "there is no GPU %d, only 0 to %d", device, n_device - 1);
    FRX_CUDA(cudaSetDevice(device));
    struct cudaFuncAttributes attributes;
    if (cudaFuncGetAttributes(&attributes, probe_kernel) != cudaSuccess) {
        (void)cudaGetLastError();
        struct cudaDeviceProp properties;
        FRX_CUDA(cudaGetDeviceProperties(&properties, device));
        return FRX_FAIL(FRX_ERR_UNSUPPORTED,
                        "GPU %d (%s) has compute capability %d.%d, which this build has no code for", device,
                        properties.name, properties.major, properties.minor);
    }
    return FRX_OK;
}

static __global__ void trap_kernel(void) {
    asm volatile("trap;");
}

enum frx_status frx_device_break(void) {
    trap_kernel<<<1, 1>>>();
    FRX_CUDA(cudaDeviceSynchronize());
    return FRX_OK;
}

enum frx_status frx_device_shared_memory(size_t *per_block, size_t *per_multiprocessor) {
    int device, block, multiprocessor, reserved;
    FRX_CUDA(cudaGetDevice(&device));
    FRX_CUDA(cudaDeviceGetAttribute(&block, cudaDevAttrMaxSharedMemoryPerBlockOptin, device));
    FRX_CUDA(cudaDeviceGetAttribute(&multiprocessor, cudaDevAttrMaxSharedMemoryPerMultiprocessor, device));
    FRX_CUDA(cudaDeviceGetAttribute(&reserved, cudaDevAttrReservedSharedMemoryPerBlock, device));
    *per_block = (size_t)block;
    *per_multiprocessor = (size_t)multiprocessor;
    const char *wanted = getenv("FRX_CUDA_SHARED_LIMIT");
    const long less = wanted ? strtol(wanted, NULL, 10) : 0;
    if (less > 0 && less < block) {
        *per_block = (size_t)less;
        *per_multiprocessor = (size_t)(less + reserved);
    }
    return FRX_OK;
}

/* ---- stage times ---- */

enum { MAX_MARK = 256 };

struct frx_timer {
    cudaEvent_t event[MAX_MARK + 1]; /* event[k + 1] ends stage[k] */
    enum frx_stage stage[MAX_MARK];
    int n_mark, n_event;
    double seconds[FRX_N_STAGE];
};

enum frx_status frx_timer_create(struct frx_timer **timer) {
    struct frx_timer *t = (struct frx_timer *)calloc(1, sizeof *t);
    if (!t) return FRX_FAIL(FRX_ERR_MEMORY, "no memory for a timer");
    *timer = t;
    for (; t->n_event <= MAX_MARK; t->n_event++) FRX_CUDA(cudaEventCreate(&t->event[t->n_event]));
    return FRX_OK;
}

void frx_timer_destroy(struct frx_timer *timer) {
    if (!timer) return;
    for (int k = 0; k < timer->n_event; k++) (void)cudaEventDestroy(timer->event[k]);
    free(timer);
}

enum frx_status frx_timer_start(struct frx_timer *timer, cudaStream_t stream) {
    if (!timer) return FRX_OK;
    timer->n_mark = 0;
    FRX_CUDA(cudaEventRecord(timer->event[0], stream));
    return FRX_OK;
}

enum frx_status frx_timer_mark(struct frx_timer *timer, enum frx_stage stage, cudaStream_t stream) {
    if (!timer) return FRX_OK;
    if (timer->n_mark == MAX_MARK) return FRX_FAIL(FRX_ERR_INTERNAL, "more than %d stages to time", MAX_MARK);
    timer->stage[timer->n_mark++] = stage;
    FRX_CUDA(cudaEventRecord(timer->event[timer->n_mark], stream));
    return FRX_OK;
}

enum frx_status frx_timer_collect(struct frx_timer *timer) {
    if (!timer || timer->n_mark == 0) return FRX_OK;
    FRX_CUDA(cudaEventSynchronize(timer->event[timer->n_mark]));
    for (int k = 0; k < timer->n_mark; k++) {
        float milliseconds;
        FRX_CUDA(cudaEventElapsedTime(&milliseconds, timer->event[k], timer->event[k + 1]));
        timer->seconds[timer->stage[k]] += 1e-3 * milliseconds;
    }
    timer->n_mark = 0;
    return FRX_OK;
}

const char *frx_stage_name(enum frx_stage stage) {
    static const char *const name[FRX_N_STAGE] = {"neighbours",  "messages", "dense layers", "priors",
                                                  "integration", "energies", "whole steps"};
    return name[stage];
}

double frx_timer_seconds(const struct frx_timer *timer, enum frx_stage stage) {
    return timer ? timer->seconds[stage] : 0;
}
