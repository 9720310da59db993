/* CUDA's runtime for the transports between GPUs: its codes as frx_status. */
#ifndef FRX_EXCHANGE_CUDA_CALLS_H
#define FRX_EXCHANGE_CUDA_CALLS_H

#include "transport.h"

#include <cuda_runtime_api.h>

/* Translate a code of the CUDA runtime. Local. */
static inline enum frx_status frx_cuda_call(cudaError_t code, const char *call, const char *file, int line) {
    if (code == cudaSuccess) return FRX_OK;
    const enum frx_status status = code == cudaErrorMemoryAllocation ? FRX_ERR_MEMORY : FRX_ERR_DEVICE;
    return frx_fail(status, file, line, "%s: %s", call, cudaGetErrorString(code));
}

/* Evaluate a CUDA call; return its status from the calling function if it failed. */
#define FRX_CUDA(call) FRX_TRY(frx_cuda_call((call), #call, __FILE__, __LINE__))

/* Queue the copy of what a rank sends to itself, from its send to its receive buffer; NULL: nothing. Local.
 */
static inline enum frx_status frx_copy_within_gpu(const struct frx_buffers *buffers,
                                                  const struct frx_message *leaves,
                                                  const struct frx_message *enters) {
    if (!leaves || !enters) return FRX_OK;
    const size_t bytes = buffers->packed_bytes;
    FRX_CUDA(cudaMemcpyAsync((char *)buffers->receive + (size_t)enters->first * bytes,
                             (const char *)buffers->send + (size_t)leaves->first * bytes,
                             (size_t)leaves->n * bytes, cudaMemcpyDeviceToDevice, buffers->stream));
    return FRX_OK;
}

#endif
