/* Tensor-core building blocks of mixed precision and of small molecules: D[16][8] += A[16][16] B[16][8],
 * 16-bit in, float out.
 *
 * Who holds what (lane 0..31, g = lane / 4, q = lane % 4):
 *   A  a0 = (g, 2q..2q+1)  a1 = (g+8, 2q..)  a2 = (g, 2q+8..)  a3 = (g+8, 2q+8..)
 *   B  b0 = (2q..2q+1, g)  b1 = (2q+8.., g)
 *   D  d0, d1 = (g, 2q), (g, 2q+1)   d2, d3 = (g+8, 2q), (g+8, 2q+1)
 * Source: PTX ISA, mma.m16n8k16 and ldmatrix (since architecture 80). */
#ifndef FRX_KERNELS_MMA_CUH
#define FRX_KERNELS_MMA_CUH

#include <cuda_fp16.h>
#include <stdint.h>

static __device__ __forceinline__ void mma_16x8x16(float d[4], const uint32_t a[4], uint32_t b0,
                                                   uint32_t b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/* D = A B: saves setting D to zero first. */
static __device__ __forceinline__ void mma_16x8x16_from_zero(float d[4], const uint32_t a[4], uint32_t b0,
                                                             uint32_t b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
        "{%10,%10,%10,%10};"
        : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1), "f"(0.0f));
}

static __device__ __forceinline__ uint32_t shared_address(const void *pointer) {
    return (uint32_t)__cvta_generic_to_shared(pointer);
}

/* Four 8x8 matrices of halves from shared memory; lane 8m + k gives the address of row k of matrix m. */
static __device__ __forceinline__ void ldmatrix_x4(uint32_t m[4], uint32_t address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3])
                 : "r"(address)
                 : "memory");
}

static __device__ __forceinline__ void ldmatrix_x4_trans(uint32_t m[4], uint32_t address) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3])
                 : "r"(address)
                 : "memory");
}

/* Asynchronous 16-byte copy from global to shared memory, bypassing registers. */
static __device__ __forceinline__ void copy_async_16(void *shared, const void *global) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(shared)), "l"(global)
                 : "memory");
}

static __device__ __forceinline__ void copy_async_wait(void) {
    asm volatile("cp.async.commit_group;\ncp.async.wait_group 0;" ::: "memory");
}

static __device__ __forceinline__ uint32_t half2_bits(half2 value) {
    return *reinterpret_cast<uint32_t *>(&value);
}
static __device__ __forceinline__ half2 bits_half2(uint32_t bits) {
    return *reinterpret_cast<half2 *>(&bits);
}

/* tanh to a few units of float's last place in absolute terms: 1 - 2 / (exp(2x) + 1); right at +-infinity
 * too. Where exp is too small to be normal it does not matter beside 1. */
static __device__ __forceinline__ float tanh_fast(float x) {
    float exponential, inverse;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(exponential) : "f"(2.885390082f * x));
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(inverse) : "f"(exponential + 1.0f));
    return __fmaf_rn(-2.0f, inverse, 1.0f);
}

#endif
