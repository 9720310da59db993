/* One bead's share of a BAOAB step: device functions of every kernel that integrates. The equations are in
 * engine.h. Multiplications and additions are written as intrinsics, so that a trajectory has the same bits
 * whether a step was finished by itself or together with the start of the next. */
#ifndef FRX_KERNELS_INTEGRATE_CUH
#define FRX_KERNELS_INTEGRATE_CUH

#include "rng.h"
#include "state.h"
#include "vector.h"

static __device__ __forceinline__ int all_finite(float3 a) {
    return isfinite(a.x) && isfinite(a.y) && isfinite(a.z);
}

static __device__ __forceinline__ float3 fma3(float s, float3 a, float3 b) {
    return make_float3(__fmaf_rn(s, a.x, b.x), __fmaf_rn(s, a.y, b.y), __fmaf_rn(s, a.z, b.z));
}

static __device__ __forceinline__ float3 draw3(uint64_t seed, enum frx_rng_domain domain, uint32_t identity,
                                               int64_t step, int i) {
    float normal[4];
    frx_rng_normal4(frx_rng_draw(seed, domain, identity, (uint64_t)step, (uint32_t)i), normal);
    return make_float3(normal[0], normal[1], normal[2]);
}

/* B: dt/2 f/m */
static __device__ __forceinline__ float3 half_kick(const struct frx_integrator &integrator,
                                                   float inverse_mass, float3 force, float3 velocity) {
    return fma3(__fmul_rn(integrator.half_step, inverse_mass), force, velocity);
}

/* A O A. noise: standard normals, looked at if the integrator has noise; thermal: 1/sqrt(beta). Returns
 * whether the bead moved as far as a bead may: not too far, and to a place that is a number. */
static __device__ __forceinline__ int drift(const struct frx_integrator &integrator, float inverse_mass,
                                            float thermal, float3 noise, float3 *position, float3 *velocity) {
    const float3 start = *position;
    *position = fma3(integrator.half_step, *velocity, start);
    if (integrator.noise > 0) {
        const float strength = __fmul_rn(integrator.noise, __fmul_rn(thermal, __fsqrt_rn(inverse_mass)));
        const float3 kept =
            make_float3(__fmul_rn(integrator.memory, velocity->x), __fmul_rn(integrator.memory, velocity->y),
                        __fmul_rn(integrator.memory, velocity->z));
        *velocity = fma3(strength, noise, kept);
    }
    *position = fma3(integrator.half_step, *velocity, *position);
    const float3 moved = *position - start;
    return dot(moved, moved) <= (float)(FRX_DISPLACEMENT_LIMIT * FRX_DISPLACEMENT_LIMIT);
}

#endif
