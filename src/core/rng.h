/* Counter-based random numbers: Philox4x32-10 and what the sampler draws from it.
 *
 * There is no generator state. A draw is a pure function of (seed, domain) = key and (identity, step, index)
 * = counter, so it does not depend on slot, batch, rank, GPU or restart. The same code runs on host and
 * device; the conversions to uniforms and normals use only IEEE-exact operations or double-precision
 * libm/libdevice.
 *
 * Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11. Known-answer
 * vectors of their Random123 distribution are in tests/core/test_rng.c. */
#ifndef FRX_CORE_RNG_H
#define FRX_CORE_RNG_H

#include <math.h>
#include <stdint.h>

#ifdef __CUDACC__
#define FRX_HOST_DEVICE __host__ __device__
#else
#define FRX_HOST_DEVICE
#endif

/* What a stream is for. Every use of random numbers has its own row; reusing one correlates two parts of the
 * physics. */
enum frx_rng_domain {
    FRX_RNG_NOISE = 1,    /* Langevin noise: counter = (replica identity, step, bead) */
    FRX_RNG_VELOCITY = 2, /* initial velocities: (replica identity, 0, bead) */
    FRX_RNG_SWAP = 3,     /* acceptance of a pair: (ladder, exchange index, pair) */
    FRX_RNG_SCHEME = 4,   /* choices of the exchange scheme: (ladder, exchange index, draw) */
    FRX_RNG_TEST = 5,     /* tests and benchmarks */
    FRX_RNG_PROBE = 6     /* shaken structures on which tables are judged: (structure, 0, bead) */
};

#define FRX_SEED_MAX ((UINT64_C(1) << 56) - 1)

struct frx_philox {
    uint32_t v[4];
};

static inline FRX_HOST_DEVICE uint32_t frx_mulhi32(uint32_t a, uint32_t b) {
    return (uint32_t)(((uint64_t)a * b) >> 32);
}

/* Philox4x32-10. counter: 128 bits, key: 64 bits, both little-endian words. Local. */
static inline FRX_HOST_DEVICE struct frx_philox frx_philox4x32(struct frx_philox counter, uint32_t key0,
                                                               uint32_t key1) {
    for (int round = 0; round < 10; round++) {
        const uint32_t lo0 = 0xD2511F53u * counter.v[0], hi0 = frx_mulhi32(0xD2511F53u, counter.v[0]);
        const uint32_t lo1 = 0xCD9E8D57u * counter.v[2], hi1 = frx_mulhi32(0xCD9E8D57u, counter.v[2]);
        counter.v[0] = hi1 ^ counter.v[1] ^ key0;
        counter.v[1] = lo1;
        counter.v[2] = hi0 ^ counter.v[3] ^ key1;
        counter.v[3] = lo0;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    return counter;
}

/* 128 random bits of (seed, domain; identity, step, index). The domain is folded into the top byte of the
 * key, which is why seeds are limited to 56 bits (FRX_SEED_MAX): then no two (seed, domain) share a key. */
static inline FRX_HOST_DEVICE struct frx_philox
frx_rng_draw(uint64_t seed, enum frx_rng_domain domain, uint32_t identity, uint64_t step, uint32_t index) {
    const struct frx_philox counter = {{(uint32_t)step, (uint32_t)(step >> 32), identity, index}};
    return frx_philox4x32(counter, (uint32_t)seed, (uint32_t)(seed >> 32) ^ ((uint32_t)domain << 24));
}

/* Uniform in (0, 1), 32 bits, never 0 and never 1. */
static inline FRX_HOST_DEVICE double frx_rng_uniform(uint32_t bits) {
    return ((double)bits + 0.5) * (1.0 / 4294967296.0);
}

/* Four independent standard normals by Box-Muller from one draw, single precision (a tail reaches 6.66
 * sigma). Host and device agree to rounding, not to the bit: libm and CUDA round differently. */
static inline FRX_HOST_DEVICE void frx_rng_normal4(struct frx_philox bits, float normal[4]) {
    for (int i = 0; i < 4; i += 2) {
        const float u = ((float)(bits.v[i] >> 8) + 0.5f) * (1.0f / 16777216.0f); /* 24 bits, exact */
        const float phase = ((float)(bits.v[i + 1] >> 8) + 0.5f) * (6.2831853071795865f / 16777216.0f);
        const float radius = sqrtf(-2.0f * logf(u));
        normal[i] = radius * cosf(phase);
        normal[i + 1] = radius * sinf(phase);
    }
}

#endif
