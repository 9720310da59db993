/* A GPU for which the build holds no code: this program is built for architecture 80 alone. Skipped without a
 * GPU and on one of architecture 8.x, which runs that code. */
#include "check.h"
#include "cuda_engine.h"

#include <cuda_runtime_api.h>
#include <string.h>

int main(void) {
    int n = 0, major = 0;
    if (cudaGetDeviceCount(&n) != cudaSuccess || n == 0) {
        puts("no GPU: skipped");
        return FRX_TEST_SKIP;
    }
    if (cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0) != cudaSuccess || major == 8) {
        puts("the GPU is of architecture 8: skipped");
        return FRX_TEST_SKIP;
    }
    CHECK_FAILS(frx_device_select(0), FRX_ERR_UNSUPPORTED, "which this build has no code for");
    printf("%s\n", frx_error_message());
    return frx_check_result();
}
