#include "engines.h"

#include "cpu_engine.h"
#ifdef FRX_WITH_CUDA
#include "cuda_engine.h"
#endif

#include <sched.h>
#include <stdlib.h>
#include <string.h>

const char *const frx_engine_words[] = {"auto", "cpu", "cuda", NULL};
const char *const frx_precision_words[] = {"auto", "double", "single", "mixed", NULL};

enum frx_status frx_engine_choose(enum frx_config_engine wanted, int device,
                                  const struct frx_engine_class **engine_class) {
    *engine_class = &frx_cpu_engine;
    if (wanted == FRX_CONFIG_ENGINE_CPU) return FRX_OK;
#ifdef FRX_WITH_CUDA
    const enum frx_status status = frx_device_select(device);
    if (status == FRX_OK) *engine_class = &frx_cuda_engine;
    if (status == FRX_OK || wanted == FRX_CONFIG_ENGINE_AUTO) return FRX_OK;
    return FRX_FAIL(status, "%s; the engine cpu needs no GPU", frx_error_message());
#else
    (void)device;
    if (wanted == FRX_CONFIG_ENGINE_AUTO) return FRX_OK;
    return FRX_FAIL(FRX_ERR_UNSUPPORTED,
                    "this flashrex was built without CUDA: build it with -DFRX_CUDA=ON, or use "
                    "the engine cpu");
#endif
}

enum frx_precision frx_precision_choose(enum frx_config_precision wanted) {
    switch (wanted) {
    case FRX_CONFIG_PRECISION_DOUBLE:
        return FRX_PRECISION_DOUBLE;
    case FRX_CONFIG_PRECISION_MIXED:
        return FRX_PRECISION_MIXED;
    case FRX_CONFIG_PRECISION_AUTO:
    case FRX_CONFIG_PRECISION_SINGLE:
        break;
    }
    return FRX_PRECISION_SINGLE;
}

const char *frx_precision_name(enum frx_precision precision) {
    return frx_precision_words[precision == FRX_PRECISION_DOUBLE   ? FRX_CONFIG_PRECISION_DOUBLE
                               : precision == FRX_PRECISION_SINGLE ? FRX_CONFIG_PRECISION_SINGLE
                                                                   : FRX_CONFIG_PRECISION_MIXED];
}

int frx_threads_choose(const struct frx_comm *comm, int64_t wanted) {
    /* mpirun may pin each rank to cores of its own or let all use all: count who shares ours. */
    cpu_set_t mine;
    if (sched_getaffinity(0, sizeof mine, &mine)) {
        CPU_ZERO(&mine);
        CPU_SET(0, &mine);
    }
    MPI_Comm host;
    MPI_Comm_split_type(comm->mpi, MPI_COMM_TYPE_SHARED, comm->rank, MPI_INFO_NULL, &host);
    int n_sharing = 0; /* we do, at least */
    for (int rank = 0; rank < comm->local_size; rank++) {
        cpu_set_t theirs = mine, common;
        MPI_Bcast(&theirs, sizeof theirs, MPI_BYTE, rank, host);
        CPU_AND(&common, &mine, &theirs);
        n_sharing += CPU_COUNT(&common) > 0;
    }
    MPI_Comm_free(&host);

    if (wanted != FRX_AUTO) return (int)wanted;
    const char *text = getenv("OMP_NUM_THREADS");
    const int n_omp = text ? atoi(text) : 0;
    const int n_core = CPU_COUNT(&mine) / (n_sharing > 1 ? n_sharing : 1);
    return n_omp > 0 ? n_omp : n_core > 0 ? n_core : 1;
}
