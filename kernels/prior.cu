/* Prior kernels.
 *
 *   term_kernel: one thread per (term, replica). x and dx/dr of the feature, V and dV/dx of the form, the
 * force -V'(x) dx/dr_k of every atom k to its place; V to term_energy. bead_kernel: one warp per (bead,
 * replica). Sums the places of the bead, then goes through its repulsion partners, lane by lane: V = sigma^6
 * / r^6, force 6 V / r^2 (r_i - r_j); half of V to row_energy. Fixed order throughout.
 *
 * Float arithmetic: distances are differences of nearby floats and so nearly exact; angles and torsions go
 * through atan2, which keeps its accuracy where acos loses it. No shared memory; any size.
 *
 * Source: torsion gradient: Blondel and Karplus, J. Comput. Chem. 17, 1132 (1996). */
#include "prior.h"

#include "vector.h"

enum { TERM_BLOCK = 128, BEAD_WARPS = 8 };

/* ---- features: x and its gradient ---- */

static __device__ float distance_feature(const float3 r[4], float3 gradient[4]) {
    const float3 d = r[1] - r[0];
    const float x = sqrtf(dot(d, d));
    gradient[1] = (1.0f / x) * d;
    gradient[0] = -1.0f * gradient[1];
    return x;
}

/* The angle at atom 1, or its cosine. */
static __device__ float angle_feature(const float3 r[4], float3 gradient[4], int cosine) {
    const float3 a = r[0] - r[1], b = r[2] - r[1], n = cross(a, b);
    const float inverse_a = rsqrtf(dot(a, a)), inverse_b = rsqrtf(dot(b, b));
    const float3 u = inverse_a * a, v = inverse_b * b;
    const float c = dot(u, v), s = sqrtf(dot(n, n)) * inverse_a * inverse_b;
    gradient[0] = inverse_a * (v - c * u);
    gradient[2] = inverse_b * (u - c * v);
    if (!cosine) {
        gradient[0] = (-1.0f / s) * gradient[0];
        gradient[2] = (-1.0f / s) * gradient[2];
    }
    gradient[1] = -1.0f * (gradient[0] + gradient[2]);
    return cosine ? c : atan2f(s, c);
}

static __device__ float torsion_feature(const float3 r[4], float3 gradient[4]) {
    const float3 f = r[0] - r[1], g = r[1] - r[2], h = r[3] - r[2];
    const float3 a = cross(f, g), b = cross(h, g);
    const float length = sqrtf(dot(g, g));
    const float x = atan2f(dot(cross(b, a), g), length * dot(a, b));
    const float3 a2 = (1.0f / dot(a, a)) * a, b2 = (1.0f / dot(b, b)) * b;
    const float3 s = (dot(f, g) / length) * a2 - (dot(h, g) / length) * b2;
    gradient[0] = -length * a2;
    gradient[1] = length * a2 + s;
    gradient[2] = -length * b2 - s;
    gradient[3] = length * b2;
    return x;
}

static __device__ float feature(int kind, const float3 r[4], float3 gradient[4]) {
    const float pi = 3.14159265358979f;
    float x;
    switch (kind) {
    case FRX_FEATURE_DISTANCE:
        return distance_feature(r, gradient);
    case FRX_FEATURE_ANGLE_COS:
        return angle_feature(r, gradient, 1);
    case FRX_FEATURE_ANGLE:
        return angle_feature(r, gradient, 0);
    case FRX_FEATURE_TORSION:
        return torsion_feature(r, gradient);
    case FRX_FEATURE_TORSION_SHIFTED:
        x = torsion_feature(r, gradient);
        return x < 0 ? x + pi : x - pi;
    default: /* FRX_FEATURE_RADIUS_SQUARED */
        gradient[0] = 2.0f * r[0];
        return dot(r[0], r[0]);
    }
}

/* ---- forms: V and dV/dx ---- */

/* v0 + sum_{m=1..n} k_m x^m by Horner's rule, with its derivative. p: v0, k1, .., kn. */
static __device__ float polynomial(const float *p, int n, float x, float *slope) {
    float v = 0, d = 0;
    for (int m = n; m >= 0; m--) {
        d = d * x + v;
        v = v * x + p[m];
    }
    *slope = d;
    return v;
}

static __device__ float form(int kind, const float *p, int n_param, float x, float *slope) {
    float v;
    switch (kind) {
    case FRX_FORM_HARMONIC: {
        const float d = x - p[1];
        *slope = 2.0f * p[0] * d;
        return p[0] * d * d;
    }
    case FRX_FORM_POLYNOMIAL:
        return polynomial(p, n_param - 1, x, slope);
    case FRX_FORM_RESTRICTED: {
        const float inverse = 1.0f / ((1.0f - x) * (1.0f + x));
        v = polynomial(p + 1, n_param - 2, x, slope);
        *slope += 2.0f * p[0] * x * inverse * inverse;
        return v + p[0] * inverse;
    }
    case FRX_FORM_FOURIER:
        v = p[0];
        *slope = 0;
        for (int m = 1; 2 * m < n_param; m++) {
            float s, c;
            sincosf((float)m * x, &s, &c);
            v += p[2 * m - 1] * s + p[2 * m] * c;
            *slope += (float)m * (p[2 * m - 1] * c - p[2 * m] * s);
        }
        return v;
    default: { /* FRX_FORM_GAUSSIAN; repulsion has its own kernel */
        const float d = x - p[1], inverse = 1.0f / (p[2] * p[2]);
        v = -p[0] * expf(-0.5f * d * d * inverse);
        *slope = -d * inverse * v;
        return v;
    }
    }
}

/* ---- kernels ---- */

static __global__ void term_kernel(struct frx_gpu_prior prior, const float *__restrict__ positions,
                                   int with_energy) {
    const int t = blockIdx.x * blockDim.x + threadIdx.x, r = blockIdx.y;
    if (t >= prior.n_term) return;
    const struct frx_gpu_term term = prior.term[t];
    const float *x_r = positions + (size_t)r * prior.n_bead * 3;
    float3 atom[4], gradient[4];
    for (int k = 0; k < 4; k++)
        if (k < term.order) atom[k] = load3(x_r, (size_t)term.atom[k]);
    const float x = feature(term.feature, atom, gradient);
    float slope;
    const float v = form(term.form, prior.param + term.param, term.n_param, x, &slope);
    float *force = prior.place_force + (size_t)r * prior.n_place * 3;
    for (int k = 0; k < 4; k++)
        if (k < term.order) store3(force, (size_t)term.place[k], -slope * gradient[k]);
    if (with_energy) prior.term_energy[(size_t)r * prior.n_term + t] = v;
}

static __global__ void bead_kernel(struct frx_gpu_prior prior, const float *__restrict__ positions,
                                   float *__restrict__ forces, int with_energy) {
    const int i = blockIdx.x * BEAD_WARPS + threadIdx.x / 32, lane = threadIdx.x % 32, r = blockIdx.y;
    if (i >= prior.n_bead) return;
    const float *x_r = positions + (size_t)r * prior.n_bead * 3;
    const float *place_force = prior.place_force + (size_t)r * prior.n_place * 3;
    const float3 x_i = load3(x_r, (size_t)i);
    float3 force = make_float3(0, 0, 0);
    for (int k = prior.place_begin[i] + lane; k < prior.place_begin[i + 1]; k += 32)
        force = force + load3(place_force, (size_t)k);
    for (int q = 0; q < prior.n_repulsion; q++) {
        const int64_t *row = prior.row_begin + (size_t)q * prior.n_bead + i;
        float energy = 0;
        for (int64_t k = row[0] + lane; k < row[1]; k += 32) {
            const struct frx_gpu_partner partner = prior.partner[k];
            const float3 d = x_i - load3(x_r, (size_t)partner.bead);
            const float inverse2 = 1.0f / dot(d, d);
            const float v = partner.sigma6 * inverse2 * inverse2 * inverse2;
            force = force + (6.0f * v * inverse2) * d;
            energy += v;
        }
        if (!with_energy) continue;
        energy = warp_sum(energy);
        if (lane == 0)
            prior.row_energy[((size_t)r * prior.n_repulsion + q) * prior.n_bead + i] = 0.5f * energy;
    }
    force = make_float3(warp_sum(force.x), warp_sum(force.y), warp_sum(force.z));
    if (lane == 0) store3(forces, (size_t)r * prior.n_bead + i, force);
}

enum frx_status frx_gpu_prior_forces(const struct frx_gpu_prior *prior, const float *positions, float *forces,
                                     int with_energy, cudaStream_t stream) {
    const dim3 term_grid((prior->n_term + TERM_BLOCK - 1) / TERM_BLOCK, prior->n_rep);
    const dim3 bead_grid((prior->n_bead + BEAD_WARPS - 1) / BEAD_WARPS, prior->n_rep);
    if (prior->n_term > 0) {
        term_kernel<<<term_grid, TERM_BLOCK, 0, stream>>>(*prior, positions, with_energy);
        FRX_TRY(FRX_LAUNCHED("prior terms"));
    }
    bead_kernel<<<bead_grid, BEAD_WARPS * 32, 0, stream>>>(*prior, positions, forces, with_energy);
    return FRX_LAUNCHED("prior forces");
}
