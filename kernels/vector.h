/* Three-vectors of float for device code. Distances must come out alike wherever they are computed, so their
 * rounding is written down. */
#ifndef FRX_KERNELS_VECTOR_H
#define FRX_KERNELS_VECTOR_H

#include <cuda_runtime.h>

static __device__ __forceinline__ float3 operator+(float3 a, float3 b) {
    return make_float3(a.x + b.x, a.y + b.y, a.z + b.z);
}
static __device__ __forceinline__ float3 operator-(float3 a, float3 b) {
    return make_float3(a.x - b.x, a.y - b.y, a.z - b.z);
}
static __device__ __forceinline__ float3 operator*(float s, float3 a) {
    return make_float3(s * a.x, s * a.y, s * a.z);
}
static __device__ __forceinline__ float dot(float3 a, float3 b) {
    return __fmaf_rn(a.x, b.x, __fmaf_rn(a.y, b.y, __fmul_rn(a.z, b.z)));
}
static __device__ __forceinline__ float3 cross(float3 a, float3 b) {
    return make_float3(a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x);
}
static __device__ __forceinline__ float3 load3(const float *array, size_t i) {
    return make_float3(array[3 * i], array[3 * i + 1], array[3 * i + 2]);
}
static __device__ __forceinline__ void store3(float *array, size_t i, float3 a) {
    array[3 * i] = a.x;
    array[3 * i + 1] = a.y;
    array[3 * i + 2] = a.z;
}

/* Sum over the warp, in a fixed order; every lane gets it. */
template <typename real> static __device__ __forceinline__ real warp_sum(real value) {
    for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
    return value;
}

#endif
