/* The GPU as the engine sees it: CUDA errors as frx_status, the choice of a device, and the arena, the one
 * piece of device memory from which every array is taken.
 *
 * Memory: a part of the engine has one function that takes its arrays from an arena. Run on an arena without
 * memory it only counts, so that a plan needs no GPU; run on the real one it hands out pointers. Nothing is
 * allocated afterwards. */
#ifndef FRX_KERNELS_DEVICE_H
#define FRX_KERNELS_DEVICE_H

#include "cuda_engine.h"
#include "status.h"

#include <cuda_runtime.h>
#include <stddef.h>
#include <type_traits>

/* Translate a code of the CUDA runtime: FRX_ERR_MEMORY for a failed allocation, otherwise FRX_ERR_DEVICE.
 * Local. */
FRX_CHECKED enum frx_status frx_cuda_status(cudaError_t code, const char *call, const char *file, int line);

/* Evaluate a CUDA call; return its status from the calling function if it failed. */
#define FRX_CUDA(call) FRX_TRY(frx_cuda_status((call), #call, __FILE__, __LINE__))

/* What a launcher returns: the status of the launch just made. */
#define FRX_LAUNCHED(what) frx_cuda_status(cudaGetLastError(), (what), __FILE__, __LINE__)

#define FRX_ARENA_ALIGNMENT 256 /* bytes; what cudaMalloc guarantees too */

struct frx_arena {
    char *base;  /* device memory, or NULL: only count */
    size_t used; /* bytes */
};

/* Take `bytes` of device memory, aligned; NULL from an arena that only counts. Local. */
void *frx_arena_take(struct frx_arena *arena, size_t bytes);

/* pointer = count elements of its type */
#define FRX_TAKE(arena, pointer, count)                                                                      \
    ((pointer) = (std::remove_reference<decltype(pointer)>::type)frx_arena_take(                             \
         (arena), (size_t)(count) * sizeof *(pointer)))

/* Bytes of shared memory that one block may have on this thread's device, and that its multiprocessors have.
 * Less if FRX_CUDA_SHARED_LIMIT (bytes per block) is in the environment: a large card tested as a small one.
 * Local. */
FRX_CHECKED enum frx_status frx_device_shared_memory(size_t *per_block, size_t *per_multiprocessor);

/* ---- stage times ---- */

enum frx_stage {
    FRX_STAGE_NEIGHBOURS,
    FRX_STAGE_MESSAGES,
    FRX_STAGE_DENSE,
    FRX_STAGE_PRIORS,
    FRX_STAGE_INTEGRATION,
    FRX_STAGE_ENERGY,
    FRX_STAGE_FUSED, /* whole steps of a small molecule */
    FRX_N_STAGE
};

/* Marks on a stream: the time between two marks belongs to the stage named by the second. A NULL timer is
 * fine and costs nothing, so that the same code runs timed and captured in a graph. */
struct frx_timer;

enum frx_status frx_timer_create(struct frx_timer **timer);
void frx_timer_destroy(struct frx_timer *timer);

/* Start the clock on a stream; end a stage there; wait and add what was marked to the sums. Local. */
FRX_CHECKED enum frx_status frx_timer_start(struct frx_timer *timer, cudaStream_t stream);
FRX_CHECKED enum frx_status frx_timer_mark(struct frx_timer *timer, enum frx_stage stage,
                                           cudaStream_t stream);
FRX_CHECKED enum frx_status frx_timer_collect(struct frx_timer *timer);

/* Names, and seconds summed so far, by enum frx_stage. Local. */
const char *frx_stage_name(enum frx_stage stage);
double frx_timer_seconds(const struct frx_timer *timer, enum frx_stage stage);

#ifdef __CUDACC__
/* ---- launching ----
 *
 * A step is a chain of some thirty short kernels. On architectures that can (90 and up), a kernel launched by
 * frx_launch starts while the one before it in the stream still runs: what a kernel does before
 * frx_await_inputs - fetching weights, staging tables - overlaps with its predecessor's end. Every kernel so
 * launched must call frx_await_inputs before it touches anything that an earlier kernel writes or reads. */
static __device__ __forceinline__ void frx_await_inputs(void) {
#if __CUDA_ARCH__ >= 900
    cudaTriggerProgrammaticLaunchCompletion();
    cudaGridDependencySynchronize();
#endif
}

template <typename... parameters, typename... arguments>
static enum frx_status frx_launch(const char *what, void (*kernel)(parameters...), dim3 grid, dim3 block,
                                  size_t shared, cudaStream_t stream, const arguments &...argument) {
    int device, major;
    FRX_CUDA(cudaGetDevice(&device));
    FRX_CUDA(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
    cudaLaunchAttribute early = {};
    early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    early.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared;
    config.stream = stream;
    config.attrs = &early;
    config.numAttrs = major >= 9 ? 1 : 0;
    return frx_cuda_status(cudaLaunchKernelEx(&config, kernel, (parameters)argument...), what, __FILE__,
                           __LINE__);
}
#endif

#endif
