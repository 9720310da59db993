/* The CUDA engine under the physics that all engines share: in each precision, with steps of small molecules
 * in one kernel and with the kernels that large ones need; arguments
 * choose cases (physics.h). Skipped without a GPU. */
#include "check.h"
#include "cuda_engine.h"
#include "physics.h"

#include <cuda_runtime_api.h>

int main(int argc, char **argv) {
    int n = 0;
    if (cudaGetDeviceCount(&n) != cudaSuccess || n == 0) {
        puts("no GPU: skipped");
        return FRX_TEST_SKIP;
    }
    int failed = 0;
    for (int k = 0; k < 4; k++)
        failed |= physics_check_cases(
            &(struct physics_case){.engine = &frx_cuda_engine,
                                   .precision = k % 2 ? FRX_PRECISION_MIXED : FRX_PRECISION_SINGLE,
                                   .separate_kernels = k / 2},
            argc - 1, argv + 1);
    return failed;
}
