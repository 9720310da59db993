/* GPUs for tests that run on any engine: which one a rank uses, what can be tried with them. */
#ifndef FRX_TESTS_GPUS_H
#define FRX_TESTS_GPUS_H

#include "comm.h"
#include "engine.h"
#include "transport.h"

#include <stdio.h>
#include <string.h>
#ifdef FRX_TEST_WITH_CUDA
#include <cuda_runtime_api.h>
#endif

static inline int test_n_gpu(void) {
    int n = 0;
#ifdef FRX_TEST_WITH_CUDA
    if (cudaGetDeviceCount(&n) != cudaSuccess) n = 0;
    (void)cudaGetLastError();
#endif
    return n;
}

/* Ranks take GPUs in turn; tests have all ranks on one node. */
static inline int test_gpu_of_rank(const struct frx_comm *comm) {
    const int n = test_n_gpu();
    return n > 0 ? comm->local_rank % n : 0;
}

/* Whether this engine needs a GPU that is not there; says so. */
static inline int test_skips_gpu(const struct frx_engine_class *engine_class) {
    if (engine_class->memory == FRX_MEMORY_HOST || test_n_gpu() > 0) return 0;
    puts("no GPU: skipped");
    return 1;
}

/* Whether n_rank ranks can use a transport with an engine: it has to reach its memory, and NCCL wants a GPU
 * for each rank. */
static inline int test_transport_works(const struct frx_transport_class *transport,
                                       const struct frx_engine_class *engine_class, int n_rank) {
    if (transport->memory != engine_class->memory) return 0;
    return strcmp(transport->name, "nccl") != 0 || n_rank <= test_n_gpu();
}

/* The k-th transport that n_rank ranks can use with an engine, the preferred one first, or NULL. */
static inline const struct frx_transport_class *test_transport(const struct frx_engine_class *engine_class,
                                                               int n_rank, int k) {
    for (int t = 0; frx_transports[t]; t++)
        if (test_transport_works(frx_transports[t], engine_class, n_rank) && k-- == 0)
            return frx_transports[t];
    return NULL;
}

#endif
